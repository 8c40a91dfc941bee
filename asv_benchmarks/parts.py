"""What each part of the hybrid score is worth: an ablation on LoCoMo and LongMemEval-S.

    python asv_benchmarks/parts.py --embedder minilm --locomo PATH [--longmemeval PATH]

Everything goes through the public face: the data set is stored once, and the store is opened again
with each ranking.  Recall is in percent; "held out" chooses among all these rankings by the other
conversations and measures the choice on the one left out, for each in turn.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from agentmem import Memory
from agentmem.config import RankingConfig

PARTS = (
    "window_weight",
    "neighbour_weight",
    "run_keyword_weight",
    "run_dense_weight",
    "actor_weight",
    "date_weight",
    "length_weight",
)


@dataclass(frozen=True)
class Question:
    user: str
    text: str
    category: Any
    evidence: frozenset[str]  # labels of turns or sessions


@dataclass(frozen=True)
class DataSet:
    items: list[dict[str, Any]]
    questions: list[Question]


def rankings() -> Iterator[tuple[str, dict[str, float]]]:
    """A name and settings other than the default ones."""
    default = {part: getattr(RankingConfig(), part) for part in PARTS}
    yield "all", {}
    yield "none of them", dict.fromkeys(PARTS, 0.0)
    for part in PARTS:
        yield f"without {part.removesuffix('_weight')}", {part: 0.0}
    for part in PARTS:
        alone = dict.fromkeys(PARTS, 0.0) | {part: default[part]}
        yield f"only {part.removesuffix('_weight')}", alone
    for part in PARTS:
        yield f"half {part.removesuffix('_weight')}", {part: default[part] / 2}
        yield f"twice {part.removesuffix('_weight')}", {part: default[part] * 2}
    yield "window of 1", {"window": 1}
    yield "window of 3", {"window": 3}
    yield "b = 0.4", {"b": 0.4}
    yield "k1 = 1.2", {"k1": 1.2}
    yield "more dense", {"dense_weight": 0.5, "keyword_weight": 0.5}
    yield "less dense", {"dense_weight": 0.3, "keyword_weight": 0.7}


def locomo(path: Path, actors: bool) -> DataSet:
    """One memory per turn, the conversation as user, the session as run."""
    items: list[dict[str, Any]] = []
    questions = []
    for sample in json.loads(path.read_text("utf-8")):
        user, talk, known = sample["sample_id"], sample["conversation"], set()
        names = (name for name in talk if re.fullmatch(r"session_\d+", name))
        for name in sorted(names, key=lambda session: int(session[8:])):
            when = datetime.strptime(talk[f"{name}_date_time"], "%I:%M %p on %d %B, %Y")
            for turn in talk[name]:
                text = f"{turn['speaker']}: {turn.get('text', '')}"
                if turn.get("blip_caption"):
                    text += f" [shared image: {turn['blip_caption']}]"
                item = {"user_id": user, "run_id": name, "content": text}
                item |= {"timestamp": when.replace(tzinfo=UTC), "metadata": {"at": turn["dia_id"]}}
                if actors:
                    item["actor_id"] = turn["speaker"]
                items.append(item)
                known.add(turn["dia_id"])
        for asked in sample["qa"]:
            labels = " ".join(asked.get("evidence", [])).replace(";", " ").split()
            evidence = frozenset(known.intersection(labels))
            if evidence:
                questions.append(Question(user, asked["question"], asked["category"], evidence))
    return DataSet(items, questions)


def longmemeval(path: Path) -> DataSet:
    """One memory per turn, the question as user, the session as run."""
    items: list[dict[str, Any]] = []
    questions = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            asked = json.loads(line)
            user = asked["question_id"]
            sessions = zip(
                asked["haystack_session_ids"],
                asked["haystack_dates"],
                asked["haystack_sessions"],
                strict=True,
            )
            for run, date, turns in sessions:
                when = datetime.strptime(re.sub(r" \(\w+\)", "", date), "%Y/%m/%d %H:%M")
                for turn in turns:
                    if not turn["content"].strip():
                        continue  # a few say nothing
                    item = {"user_id": user, "run_id": run, "content": turn["content"]}
                    item |= {"timestamp": when.replace(tzinfo=UTC), "role": turn["role"]}
                    items.append(item | {"metadata": {"at": run}})
            evidence = frozenset(asked["answer_session_ids"])
            questions.append(Question(user, asked["question"], asked["question_type"], evidence))
    return DataSet(items, questions)


def labels_of(memory: Memory, data: DataSet, top_k: int) -> list[list[str]]:
    """The distinct labels that each question finds, best first."""
    found: dict[Question, list[str]] = {}
    for user in dict.fromkeys(question.user for question in data.questions):
        asked = [question for question in data.questions if question.user == user]
        answers = memory.search_batch([q.text for q in asked], user_id=user, top_k=top_k)
        for question, answer in zip(asked, answers, strict=True):
            labels = (item["metadata"]["at"] for item in answer["results"])
            found[question] = list(dict.fromkeys(labels))
    return [found[question] for question in data.questions]


def fill(path: Path, embedder: str, data: DataSet) -> None:
    with Memory(path, embedder=embedder) as memory:
        for start in range(0, len(data.items), 1000):
            memory.add_batch(data.items[start : start + 1000])


def each_ranking(
    path: Path, embedder: str, measure: Callable[[Memory], np.ndarray]
) -> dict[str, np.ndarray]:
    measured = {}
    for name, settings in rankings():
        with Memory(path, embedder=embedder, config={"ranking": settings}) as memory:
            measured[name] = measure(memory)
    return measured


def report_locomo(path: Path, embedder: str, data: DataSet) -> None:
    asked = DataSet(data.items, [q for q in data.questions if q.category != 5])
    users = list(dict.fromkeys(q.user for q in asked.questions))
    user = np.array([users.index(q.user) for q in asked.questions])
    category = np.array([q.category for q in asked.questions])

    def measure(memory: Memory) -> np.ndarray:
        found = labels_of(memory, asked, 20)
        return np.array(
            [
                [len(q.evidence.intersection(labels[:k])) / len(q.evidence) for k in (5, 10, 20)]
                for q, labels in zip(asked.questions, found, strict=True)
            ]
        )

    measured = {k: 100 * v for k, v in each_ranking(path, embedder, measure).items()}
    print("| ranking | @5 | @10 | @20 | cat. 1 | 2 | 3 | 4 |", *users, "", sep=" | ")
    print("|---" * (8 + len(users)) + "|")
    for name, values in measured.items():
        cells = [f"{values[:, i].mean():.1f}" for i in range(3)]
        cells += [f"{values[category == c, 1].mean():.1f}" for c in (1, 2, 3, 4)]
        cells += [f"{values[user == u, 1].mean():.1f}" for u in range(len(users))]
        print(f"| {name} |", " | ".join(cells), "|")
    held = np.zeros(len(user))
    for left_out in range(len(users)):
        rest = user != left_out
        choice = max(measured, key=lambda name: measured[name][rest, 1].mean())
        held[~rest] = measured[choice][~rest, 1]
        print(f"held out {users[left_out]}: {choice}")
    print(f"held out, all: {held.mean():.1f} @10")


def report_longmemeval(path: Path, embedder: str, data: DataSet) -> None:
    def measure(memory: Memory) -> np.ndarray:
        found = labels_of(memory, data, 1000)
        hits = [q.evidence.intersection(f[:5]) for q, f in zip(data.questions, found, strict=True)]
        return np.array(
            [[bool(h), h == q.evidence] for q, h in zip(data.questions, hits, strict=True)]
        )

    print("| ranking | any@5 | all@5 |\n|---|---|---|")
    for name, values in each_ranking(path, embedder, measure).items():
        print(f"| {name} | {100 * values[:, 0].mean():.1f} | {100 * values[:, 1].mean():.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--locomo", type=Path)
    parser.add_argument("--longmemeval", type=Path)
    parser.add_argument("--no-actors", action="store_true", help="store no actor_id")
    options = parser.parse_args()
    for given, read, report in (
        (options.locomo, lambda p: locomo(p, not options.no_actors), report_locomo),
        (options.longmemeval, longmemeval, report_longmemeval),
    ):
        if given is None:
            continue
        data = read(given)
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder) / "store", options.embedder, data)
            report(Path(folder) / "store", options.embedder, data)


if __name__ == "__main__":
    main()
