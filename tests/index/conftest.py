"""A bench, which is an index over a real store, and a second opinion on its scores: computed one
memory at a time, in plain Python, from the texts.

Vocabulary, stems and stop words of the texts made here are known by hand, so nothing of the
analyzer, the kernels or the index takes part in it.
"""

from __future__ import annotations

import datetime
import math
import random
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem.config import IndexConfig, RankingConfig, StoreConfig
from agentmem.index import hot, view
from agentmem.index.analyzer import EnglishAnalyzer
from agentmem.index.hot import HotIndex
from agentmem.ports import Snapshot
from agentmem.store import Store
from agentmem.types import Hit, NewMemory, PartitionKey, Scope, VectorSource

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


DIM = 16
#: Every part is on.
RANKING = RankingConfig(k1=1.2, b=0.6, recency_weight=0.1, importance_weight=0.1, recency_days=9.0)
NOW = 20_000 * DAY
ALICE = Scope("alice")
ANALYZER = EnglishAnalyzer()


class Bench:
    """A store, an index over it, and the truth in a dictionary."""

    dim = DIM
    ranking = RANKING
    now = NOW  # when every question is asked

    def __init__(self, path: Path, seed: int = 0) -> None:
        self.path = path
        self.store = self.open()
        self.index: Any = HotIndex(RANKING, IndexConfig())
        self.noise = np.random.default_rng(seed)
        self.truth: dict[int, tuple[Scope, Any]] = {}
        self.dice = random.Random(seed)

    def open(self) -> Store:
        return Store(
            self.path,
            StoreConfig(durability="off"),
            model_id="test",
            dim=DIM,
            analyzer=ANALYZER.recipe,
        )

    def vectors(self, n: int) -> np.ndarray:
        made = self.noise.standard_normal((n, DIM)).astype(np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    def add(
        self,
        texts: Sequence[str],
        scope: Scope = ALICE,
        *,
        source: VectorSource = VectorSource.MODEL,
        expires_at: int | None = None,
    ) -> list[int]:
        dice = self.dice
        drafts = [
            NewMemory(
                id=uuid.uuid4().bytes,
                scope=scope,
                content=text,
                content_hash=bytes(16),
                expires_at=expires_at,
                actor_id=dice.choice([None, "Red Teacher", "Piano", "the cats"]),
                event_at=NOW - dice.randrange(60 * DAY),
                importance=dice.choice([None, 0.0, 0.5, 1.0]),
            )
            for text in texts
        ]
        vectors = self.vectors(len(texts))
        with self.store.write() as tx:
            keys = tx.insert(drafts, vectors, [source] * len(texts), ANALYZER.analyze(texts))
        kept = vectors.astype(np.float16) if source is VectorSource.MODEL else vectors
        run = None if scope.run_id is None else scope
        for key, draft, vector in zip(keys, drafts, kept, strict=True):
            rest = (run, draft.actor_id, draft.event_at, draft.importance)
            self.truth[key] = (scope, Known(key, draft.content, vector, *rest))
        return keys

    def rewrite(self, keys: Sequence[int], texts: Sequence[str]) -> None:
        vectors = self.vectors(len(texts))
        with self.store.write() as tx:
            records = tx.view.records(keys)
            changed = [records[key] for key in keys]
            for record, text in zip(changed, texts, strict=True):
                record.content = text
            sources = [VectorSource.MODEL] * len(keys)
            tx.update(changed, vectors, sources, ANALYZER.analyze(texts))
        for key, text, vector in zip(keys, texts, vectors.astype(np.float16), strict=True):
            scope, known = self.truth[key]
            self.truth[key] = (scope, replace(known, text=text, vector=vector))

    def delete(self, keys: Sequence[int]) -> None:
        with self.store.write() as tx:
            tx.delete(keys)
        for key in keys:
            del self.truth[key]

    def ask(self, text: str, vector: np.ndarray, scope: Scope = ALICE, **options: Any) -> list[Hit]:
        with self.store.read() as snapshot:
            return self.ask_at(snapshot, text, vector, scope, **options)

    def ask_at(
        self,
        snapshot: Snapshot,
        text: str,
        vector: np.ndarray,
        scope: Scope = ALICE,
        **options: Any,
    ) -> list[Hit]:
        mode = options.get("mode", "hybrid")
        asked: dict[str, Any] = {
            "mode": mode,
            "vectors": None if mode == "keyword" else vector[None, :],
            "terms": None if mode == "dense" else ANALYZER.analyze([text]),
            "top_k": 1000,
            "now": None,
            "scope": scope,
            "allowed": None,
            "threshold": None,
            "explain": False,
            "at": NOW,
            **options,
        }
        return self.index.search(snapshot, PartitionKey.of(scope), **asked)[0]

    def partition(self, **given: str) -> list[Any]:
        return [
            m for s, m in self.truth.values() if all(getattr(s, k) == v for k, v in given.items())
        ]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "store")
    yield made
    made.store.close()


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a short test reaches."""
    monkeypatch.setattr(hot, "_TAIL_EVENTS", 5)
    monkeypatch.setattr(hot, "_JOURNAL_BATCHES", 3)
    monkeypatch.setattr(view, "_SMALL", 4)


@pytest.fixture
def brute_force() -> type[BruteForce]:
    return BruteForce


@pytest.fixture
def known() -> type[Known]:
    return Known


@pytest.fixture
def vocabulary() -> list[str]:
    return sorted(VOCABULARY)
