"""An agent that remembers across sessions, with no language model in sight.

    python examples/agent_loop.py

The loop is the one an agent with a model has: look up what is relevant, answer, store both
sides of the exchange.  Here ``answer`` is a few lines of Python; put your model call in its
place and hand it ``recalled`` as context.  Run it twice: the second run knows the first.
"""

from __future__ import annotations

from datetime import datetime

from agentmem import Memory

SCRIPT = {
    "monday": [
        "Hi, I'm Tomas. I'm allergic to penicillin, by the way.",
        "My train to Ghent leaves on Friday at 9:12.",
    ],
    "thursday": [
        "What time is my train?",
        "Which medicine must a doctor not give me?",
    ],
}


def answer(message: str, recalled: list[str]) -> str:
    """What a model would write, given the message and what memory holds on it."""
    if not message.endswith("?"):
        return "Noted."
    if not recalled:
        return "You have not told me."
    return f"I recall that you said: {recalled[0]!r}"


def recall(memory: Memory, message: str) -> list[str]:
    """What this user said before that bears on ``message``, best first."""
    hits = memory.search(message, filters={"role": "user"}, top_k=5, threshold=0.1)["results"]
    return [hit["memory"] for hit in hits if not hit["memory"].endswith("?")]


def converse(memory: Memory, session: str, messages: list[str]) -> None:
    print(f"--- {session}")
    for message in messages:
        reply = answer(message, recall(memory, message))
        memory.add(
            [{"role": "user", "content": message}, {"role": "assistant", "content": reply}],
            run_id=session,
        )
        print(f"you:   {message}\nagent: {reply}")


def main() -> None:
    # Everything below is scoped to one user and one agent; no other user's memory is read.
    with Memory("./agent-mem", user_id="tomas", agent_id="assistant") as memory:
        print(f"(I remember {memory.count()} messages of ours.)")
        today = datetime.now().isoformat(timespec="seconds")
        for day, messages in SCRIPT.items():
            converse(memory, f"{today} {day}", messages)


if __name__ == "__main__":
    main()
