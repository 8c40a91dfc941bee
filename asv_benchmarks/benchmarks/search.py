"""Searches a second in one scope, and how that compares with NumPy and Python alone."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    from collections.abc import Callable

TOP_K = 10
SECONDS = 1.0  # of each measurement


def rate(search: Callable[[int], object]) -> float:
    """Calls a second; ``search(i)`` is warm before the clock starts."""
    for i in range(20):
        search(i)
    calls = 0
    begin = time.perf_counter()
    while (passed := time.perf_counter() - begin) < SECONDS:
        for i in range(calls, calls + 20):
            search(i)
        calls += 20
    return calls / passed


class PlainPython:
    """``dense`` and ``keyword`` alone, with NumPy for the vectors and postings prepared in Python.

    Each term's contribution to each document is computed beforehand, so that a search only adds
    arrays; rows are dictionaries in memory and there is no store to keep up with.
    """

    def __init__(self, texts: list[str], vectors: Any, k1: float = 0.9, b: float = 0.75) -> None:
        import numpy as np
        import Stemmer

        self._stem = Stemmer.Stemmer("english").stemWord
        self._matrix = vectors
        self._rows = [{"id": str(i), "memory": text} for i, text in enumerate(texts)]
        bags = [Counter(self._terms(text)) for text in texts]
        mean = sum(bag.total() for bag in bags) / len(bags)
        postings: dict[str, list[tuple[int, float]]] = {}
        for i, bag in enumerate(bags):
            norm = k1 * (1 - b + b * bag.total() / mean)
            for term, count in bag.items():
                postings.setdefault(term, []).append((i, count / (count + norm)))
        self._postings = {}
        for term, found in postings.items():
            idf = np.log1p((len(texts) - len(found) + 0.5) / (len(found) + 0.5))
            ids, weights = zip(*found, strict=True)
            self._postings[term] = (np.array(ids), idf * np.array(weights, np.float32), idf)

    def _terms(self, text: str) -> list[str]:
        return [self._stem(word) for word in re.findall(r"\w+", text.lower())]

    def search(self, text: str, vector: Any) -> list[dict[str, Any]]:
        import numpy as np

        words = np.zeros(len(self._rows), np.float32)
        bound = 0.0
        for term in self._terms(text):
            if term in self._postings:
                ids, weights, idf = self._postings[term]
                words[ids] += weights
                bound += idf
        scores = 0.4 * (self._matrix @ vector)
        if bound:
            scores += 0.6 / bound * words
        best = np.argpartition(-scores, TOP_K)[:TOP_K]
        best = best[np.argsort(-scores[best])]
        return [{**self._rows[i], "score": float(scores[i])} for i in best]


#: No answer is taken from among those given before.
#: Nothing is answered from memory, and nothing goes on beside (``projection.Meanwhile`` has that).
NO_ANSWERS = {"search": {"answers": 0}, "projection": {"enabled": False}}


def sessions(texts: list[str]) -> list[dict[str, str]]:
    """Memories in runs of 25."""
    return [{"content": t, "run_id": str(i // 25)} for i, t in enumerate(texts)]


def percentile(search: Callable[[int], object], share: float, calls: int = 2_000) -> float:
    """Milliseconds that this share of the calls does not exceed."""
    for i in range(50):
        search(i)
    times = []
    for i in range(calls):
        begin = time.perf_counter()
        search(i)
        times.append(time.perf_counter() - begin)
    return 1e3 * sorted(times)[int(share * calls)]


class Scope(common.TemporaryStore):
    """One user's memories in sessions of 25, static embeddings, one thread, no kept answers."""

    params = (1_000, 10_000, 100_000)
    param_names = ("memories",)
    timeout = 600

    def setup(self, memories: int) -> None:
        memory = self.open("static", NO_ANSWERS)
        self.texts = common.texts(memories)
        for start in range(0, memories, 5_000):
            memory.add_batch(sessions(self.texts[start : start + 5_000]))
        embedder = memory._engine.embedder
        asked = common.questions()
        self.asked = [asked[i % len(asked)] for i in range(20)]
        self.vectors = embedder.embed_queries(self.asked)
        said = " ".join(common.sentences())
        self.words = sorted(set(re.findall(r"[a-z]{3,}", said)))
        self.memory = memory

    def _text(self, i: int) -> object:
        """Another text each time: no vector is taken from among those computed before."""
        words = self.words
        more = f"{words[i % len(words)]} {words[i // len(words) % len(words)]}"
        return self.memory.search(f"{self.asked[i % 20]} {more}", top_k=TOP_K)

    def _given(self, i: int) -> object:
        return self.memory.search(self.asked[i % 20], top_k=TOP_K, vector=self.vectors[i % 20])

    def track_text(self, memories: int) -> float:
        return rate(self._text)

    def track_vector_given(self, memories: int) -> float:
        return rate(self._given)

    def track_keyword(self, memories: int) -> float:
        return rate(lambda i: self.memory.search(self.asked[i % 20], mode="keyword"))

    def track_against_plain_python(self, memories: int) -> float:
        """Vector given, over the same in NumPy and Python, in one run."""
        plain = PlainPython(self.texts, self.memory._engine.embedder.embed(self.texts))
        theirs = rate(lambda i: plain.search(self.asked[i % 20], self.vectors[i % 20]))
        return rate(self._given) / theirs

    def track_two_threads(self, memories: int) -> float:
        """Vector given, searches a second of two threads over those of one."""
        from concurrent.futures import ThreadPoolExecutor

        alone = rate(self._given)
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(lambda _: rate(self._given), range(2))) / alone

    def track_text_p99(self, memories: int) -> float:
        return percentile(self._text, 0.99)

    def track_vector_given_p95(self, memories: int) -> float:
        return percentile(self._given, 0.95, 2_000 if memories < 100_000 else 300)

    def track_vector_given_p99(self, memories: int) -> float:
        return percentile(self._given, 0.99, 2_000 if memories < 100_000 else 300)

    track_text.unit = "searches/s"  # type: ignore[attr-defined]
    track_vector_given.unit = "searches/s"  # type: ignore[attr-defined]
    track_keyword.unit = "searches/s"  # type: ignore[attr-defined]
    track_against_plain_python.unit = "ratio"  # type: ignore[attr-defined]
    track_two_threads.unit = "ratio"  # type: ignore[attr-defined]
    track_text_p99.unit = "ms"  # type: ignore[attr-defined]
    track_vector_given_p95.unit = "ms"  # type: ignore[attr-defined]
    track_vector_given_p99.unit = "ms"  # type: ignore[attr-defined]


class SameQuestion(common.TemporaryStore):
    """The same questions asked again, answered from what was kept; a scope of 1,000."""

    def setup(self) -> None:
        memory = self.open("static")
        memory.add_batch(sessions(common.texts(1_000)))
        self.asked = common.questions()

    def track_repeated(self) -> float:
        asked = self.asked
        return rate(lambda i: self.memory.search(asked[i % len(asked)], top_k=TOP_K))

    track_repeated.unit = "searches/s"  # type: ignore[attr-defined]


class Transformer(common.TemporaryStore):
    """Text in, embedded by MiniLM, over the embedder alone; a scope of 1,000."""

    def setup(self) -> None:
        memory = self.open("minilm", NO_ANSWERS | {"embedding": {"cache_entries": 0}})
        memory.add_batch(sessions(common.texts(1_000)))
        self.embedder = memory._engine.embedder
        self.queries = [f"{asked} {i}" for i in range(50) for asked in common.questions()]

    def _batch(self, i: int) -> list[str]:
        begin = 50 * (i % (len(self.queries) // 50))
        return self.queries[begin : begin + 50]

    def _one(self, i: int) -> str:
        return self.queries[i % len(self.queries)]

    def track_text_over_embedding(self) -> float:
        """Searches a second over embeddings a second, one text a call."""
        searches = rate(lambda i: self.memory.search(self._one(i), top_k=TOP_K))
        return searches / rate(lambda i: self.embedder.embed_queries([self._one(i)]))

    def track_batch_over_embedding(self) -> float:
        """Calls of 50 a second, searches over embeddings."""
        searches = rate(lambda i: self.memory.search_batch(self._batch(i), top_k=TOP_K))
        return searches / rate(lambda i: self.embedder.embed_queries(self._batch(i)))

    def track_batch_over_one_by_one(self) -> float:
        """Queries a second in calls of 50 over one a call."""
        batches = rate(lambda i: self.memory.search_batch(self._batch(i), top_k=TOP_K))
        return 50 * batches / rate(lambda i: self.memory.search(self._one(i), top_k=TOP_K))

    track_text_over_embedding.unit = "ratio"  # type: ignore[attr-defined]
    track_batch_over_embedding.unit = "ratio"  # type: ignore[attr-defined]
    track_batch_over_one_by_one.unit = "ratio"  # type: ignore[attr-defined]


class LargeDense:
    """The ten nearest of many vectors: codes and exact re-scoring over the plain scan."""

    params = (10_000, 100_000)
    param_names = ("memories",)

    def setup(self, memories: int) -> None:
        import numpy as np

        from agentmem.index.codes import Codes

        vectors = common.vectors(memories + 20, 384)
        self.queries = vectors[-20:]
        self.matrix = vectors[:memories].astype(np.float16)
        self.codes = Codes(self.matrix)

    def track_against_full_scan(self, memories: int) -> float:
        """Searches a second, over those of a float16 scan that ranks every row."""
        from agentmem._native.vectors import top_k_dot

        coded = rate(lambda i: self.codes.best(self.queries[i % 20], None, TOP_K))
        full = rate(lambda i: top_k_dot(self.matrix, self.queries[i % 20], TOP_K))
        return coded / full

    track_against_full_scan.unit = "ratio"  # type: ignore[attr-defined]


class FirstSearch(common.TemporaryStore):
    """A partition is read from the store when it is first asked for."""

    params = (1_000, 10_000)
    param_names = ("memories",)

    def setup(self, memories: int) -> None:
        memory = self.open("static")
        memory.add_batch(common.texts(memories))
        self.memory = memory
        self.vector = memory._engine.embedder.embed_queries(["Lisbon"])[0]

    def time_first_search(self, memories: int) -> None:
        self.memory._engine.index.clear()
        self.memory.search("Lisbon", vector=self.vector)
