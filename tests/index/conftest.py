"""A second opinion: scores computed one memory at a time, in plain Python, from the texts.

Vocabulary, stems and stop words of the texts made here are known by hand, so nothing of the
analyzer, the kernels or the index takes part.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from agentmem.config import RankingConfig

#: word -> stem; "" for a stop word.
VOCABULARY = {
    "running": "run",
    "runs": "run",
    "cats": "cat",
    "cat": "cat",
    "house": "hous",
    "houses": "hous",
    "the": "",
    "and": "",
    "lisbon": "lisbon",
    "surfing": "surf",
    "surf": "surf",
    "moved": "move",
    "march": "march",
    "teacher": "teacher",
    "teachers": "teacher",
    "guitar": "guitar",
    "red": "red",
    "was": "",
    "piano": "piano",
    "zurich": "zurich",
    "2023": "2023",
    "mondays": "monday",
}


@dataclass(frozen=True)
class Known:
    """A memory as the brute-force evaluator knows it."""

    key: int
    text: str
    vector: np.ndarray  # as stored
    run: object = None  # equal for memories of one run; None: it stands alone
    actor: str | None = None
    event_at: int = 0
    importance: float | None = None


def stems(text: str) -> Counter[str]:
    return Counter(s for word in text.lower().split() if (s := VOCABULARY[word]))


Bag = Counter[str]


class BruteForce:
    """The formulas of ``index.scoring`` and ``index.hybrid``, in float64, one memory at a time."""

    def __init__(self, ranking: RankingConfig) -> None:
        self.ranking = ranking

    def scores(
        self,
        partition: list[Known],
        text: str,
        vector: np.ndarray | None,
        mode: str,
        *,
        names: tuple[str, ...] = (),
        dates: tuple[tuple[int, int, int], ...] = (),
        at: int = 0,
    ) -> dict[int, dict[str, float]]:
        """The parts of every memory's score.  In keyword mode only memories with a term."""
        members = sorted(partition, key=lambda m: m.key)
        bags = {m.key: stems(m.text) for m in members}
        asked = stems(text)
        keyword = self.bm25(asked, bags, bags)
        cosine = {}
        if vector is not None:
            wide = vector.astype(np.float64)
            cosine = {m.key: float(np.dot(m.vector.astype(np.float64), wide)) for m in members}
        if mode == "keyword":
            hit = [m.key for m in members if any(bags[m.key][stem] for stem in asked)]
            return {key: {"keyword": keyword[key]} for key in hit}
        if mode == "dense":
            return {key: {"dense": value} for key, value in cosine.items()}
        return self.hybrid(members, asked, bags, keyword, cosine, names, dates, at)

    def bm25(self, asked: Bag, bags: dict[int, Bag], documents: dict[int, Bag]) -> dict[int, float]:
        """BM25 of each bag over the bound; idf as among the documents, lengths as in ``bags``."""
        n = len(documents)
        sizes = {key: bag.total() for key, bag in bags.items()}
        mean = sum(sizes.values()) / len(bags) if bags else 0.0
        idf = {}
        for stem in asked:
            df = sum(stem in bag for bag in documents.values())
            idf[stem] = math.log(1 + (n - df + 0.5) / (df + 0.5))
        bound = sum(count * idf[stem] for stem, count in asked.items())
        k1, b = self.ranking.k1, self.ranking.b
        found = dict.fromkeys(bags, 0.0)
        for key, bag in bags.items():
            ratio = sizes[key] / mean if mean else 0.0
            for stem, count in asked.items():
                if tf := bag[stem]:
                    found[key] += count * idf[stem] * tf / (tf + k1 * (1 - b + b * ratio)) / bound
        return found

    def hybrid(
        self,
        members: list[Known],
        asked: Bag,
        bags: dict[int, Bag],
        keyword: dict[int, float],
        cosine: dict[int, float],
        names: tuple[str, ...],
        dates: tuple[tuple[int, int, int], ...],
        at: int,
    ) -> dict[int, dict[str, float]]:
        r = self.ranking
        runs: dict[object, list[int]] = {}
        for m in members:
            runs.setdefault(("alone", m.key) if m.run is None else m.run, []).append(m.key)
        number = {key: i for i, run in enumerate(runs.values()) for key in run}
        around: dict[int, list[int]] = {}
        beside: dict[int, list[int]] = {}
        for run in runs.values():
            for i, key in enumerate(run):
                around[key] = run[max(i - r.window, 0) : i + r.window + 1]
                beside[key] = [*run[max(i - 1, 0) : i], *run[i + 1 : i + 2]]
        windows = {key: sum((bags[k] for k in around[key]), Bag()) for key in bags}
        wholes = {i: sum((bags[k] for k in run), Bag()) for i, run in enumerate(runs.values())}
        window = self.bm25(asked, windows, bags)
        whole = self.bm25(asked, wholes, wholes)
        best = {i: max(cosine[k] for k in run) for i, run in enumerate(runs.values())}
        mean = sum(bag.total() for bag in bags.values()) / len(bags) if bags else 0.0
        weights = {
            "dense": r.dense_weight,
            "keyword": r.keyword_weight,
            "window": r.window_weight,
            "neighbours": r.neighbour_weight,
            "run_keyword": r.run_keyword_weight,
            "run_dense": r.run_dense_weight,
            "actor": r.actor_weight,
            "date": r.date_weight,
            "length": r.length_weight,
            "recency": r.recency_weight,
            "importance": r.importance_weight,
        }
        total = sum(weights.values()) + r.neighbour_weight
        own = {
            key: (r.dense_weight * cosine[key] + r.keyword_weight * keyword[key])
            / (r.dense_weight + r.keyword_weight)
            for key in bags
        }
        found = {}
        familiar = [
            stem
            for stem in names
            if stem in asked and 10 * sum(stem in bag for bag in bags.values()) >= len(bags)
        ]
        for m in members:
            if m.actor is None:
                said = any(bags[m.key][stem] for stem in familiar)
            else:
                said = any(stem in asked for stem in stems(m.actor))
            length = bags[m.key].total() / mean if mean else 0.0
            parts = {
                "dense": cosine[m.key],
                "keyword": keyword[m.key],
                "window": window[m.key],
                "neighbours": sum(own[key] for key in beside[m.key]),
                "run_keyword": whole[number[m.key]],
                "run_dense": best[number[m.key]],
                "actor": float(said),
                "date": max((fits(m.event_at, date, r.date_days) for date in dates), default=0.0),
                "length": min(1.0, math.log(1 + length) / math.log(5)),
                "recency": 0.5 ** (max(at - m.event_at, 0) / DAY / r.recency_days),
                "importance": m.importance or 0.0,
            }
            found[m.key] = {k: w * parts[k] / total for k, w in weights.items() if w}
        return found


DAY = 86_400_000_000


def fits(event_at: int, date: tuple[int, int, int], days: float) -> float:
    """Day by day: 1 inside, a straight line to 0 ``days`` after the last moment inside."""
    year, month, day = date
    moment = datetime.datetime.fromtimestamp(0, datetime.UTC)
    for back in range(math.ceil(days) + 1):
        at = moment + datetime.timedelta(microseconds=event_at - back * DAY)
        if year in (0, at.year) and month in (0, at.month) and day in (0, at.day):
            if not back:
                return 1.0
            midnight = (event_at // DAY - back + 1) * DAY
            return max(0.0, 1 - (event_at - midnight + 1) / (days * DAY))
    return 0.0


@pytest.fixture
def brute_force() -> type[BruteForce]:
    return BruteForce


@pytest.fixture
def known() -> type[Known]:
    return Known


@pytest.fixture
def vocabulary() -> list[str]:
    return sorted(VOCABULARY)
