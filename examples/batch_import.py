"""Import a long conversation, one atomic batch per session, and time it.

    python examples/batch_import.py [conversation.json]

Each turn keeps its session as ``run_id``, its speaker and its time.  Idempotency keys make the
import safe to repeat: what is already there is left alone.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agentmem import Memory


def items(session: dict[str, Any]) -> list[dict[str, Any]]:
    """A session's turns as ``add_batch`` takes them, a minute apart."""
    begin = datetime.fromisoformat(session["date"])
    return [
        {
            "content": turn["content"],
            "role": turn["role"],
            "actor_id": turn["name"],
            "timestamp": begin + timedelta(minutes=number),
            "idempotency_key": f"turn {number}",
        }
        for number, turn in enumerate(session["turns"])
    ]


def main() -> None:
    default = Path(__file__).with_name("conversation.json")
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    data = json.loads(path.read_text("utf-8"))

    with Memory("./mem", user_id=data["user_id"]) as memory:
        memory.warm_up()  # so that the time below is the import's own
        begun = time.perf_counter()
        results = []
        for session in data["sessions"]:
            results += memory.add_batch(items(session), run_id=session["run_id"])["results"]
        took = time.perf_counter() - begun

        new = sum(result["event"] == "ADD" for result in results)
        print(f"{len(results)} turns, {new} of them new, in {took:.2f} s")
        for question in data["questions"][:3]:
            best = memory.search(question["question"], top_k=1)["results"][0]
            print(f"\n{question['question']}\n  {best['timestamp'][:10]}  {best['memory']}")


if __name__ == "__main__":
    main()
