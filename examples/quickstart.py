"""Store a few sentences, search them, and see why each was found.

    python examples/quickstart.py

The store is the folder ``mem`` in the current folder; a second run finds the first run's
memories still there, and adds none twice.
"""

from __future__ import annotations

from agentmem import Memory

FACTS = [
    "I moved to Lisbon in March",
    "I'm allergic to hazelnuts",
    {"content": "I work at a bakery near the river", "metadata": {"topic": "work"}},
    {"content": "My sister Ana is a marine biologist", "metadata": {"topic": "family"}},
]


def main() -> None:
    with Memory("./mem", user_id="alice") as memory:
        memory.add_batch(FACTS, dedupe=True)

        for question in ("which city do I live in?", "what food must I avoid?"):
            print(question)
            for hit in memory.search(question, top_k=2)["results"]:
                print(f"  {hit['score']:.3f}  {hit['memory']}")

        print("only family:")
        found = memory.search("who studies the sea?", filters={"metadata.topic": "family"})
        for hit in found["results"]:
            print(f"  {hit['score']:.3f}  {hit['memory']}")


if __name__ == "__main__":
    main()
