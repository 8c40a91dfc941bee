"""How well ``support`` tells questions that the memories answer from those that they do not.

    python asv_benchmarks/support.py --embedder minilm --locomo PATH [--longmemeval PATH]

Area under the ROC curve of ``support`` and of the best score alone.  A question has no answer if
LoCoMo says so (category 5), or if it is put to another conversation or haystack than its own.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from parts import DataSet, fill, locomo, longmemeval

from agentmem import Memory
from agentmem.evaluation.metrics import auroc

Scores = list[tuple[float, float]]  # (support, best score) per question


def asked(memory: Memory, texts: list[str], user: str) -> Scores:
    answers = memory.search_batch(texts, user_id=user, top_k=1, support=True)
    return [
        (answer["support"], answer["results"][0]["score"] if answer["results"] else 0.0)
        for answer in answers
    ]


def elsewhere(memory: Memory, data: DataSet, steps: tuple[int, ...]) -> tuple[Scores, Scores]:
    """The questions with an answer put to their own memories, and to those of other users."""
    users = list(dict.fromkeys(question.user for question in data.questions))
    own: Scores = []
    other: Scores = []
    for i, user in enumerate(users):
        texts = [q.text for q in data.questions if q.user == user and q.category != 5]
        own += asked(memory, texts, user)
        for step in steps:
            other += asked(memory, texts, users[(i + step) % len(users)])
    return own, other


def adversarial(memory: Memory, data: DataSet) -> Scores:
    found: Scores = []
    for user in dict.fromkeys(question.user for question in data.questions):
        texts = [q.text for q in data.questions if q.user == user and q.category == 5]
        found += asked(memory, texts, user)
    return found


def show(name: str, answered: Scores, not_answered: Scores) -> None:
    support, best = (
        auroc([scores[i] for scores in answered], [scores[i] for scores in not_answered])
        for i in (0, 1)
    )
    print(f"| {name} | {support:.3f} | {best:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--locomo", type=Path)
    parser.add_argument("--longmemeval", type=Path)
    options = parser.parse_args()
    print("| not answered | support | best score |\n|---|---|---|")
    for path, read, steps in (
        (options.locomo, lambda p: locomo(p, True), (1,)),
        (options.longmemeval, longmemeval, (1, 7, 13)),
    ):
        if path is None:
            continue
        data = read(path)
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder) / "store", options.embedder, data)
            with Memory(Path(folder) / "store", embedder=options.embedder) as memory:
                own, other = elsewhere(memory, data, steps)
                show(f"{path.name}: put to others", own, other)
                if path == options.locomo:
                    show(f"{path.name}: category 5", own, adversarial(memory, data))


if __name__ == "__main__":
    main()
