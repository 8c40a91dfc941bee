"""Searches a second in one scope, and how that compares with NumPy and Python alone."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from statistics import median
from typing import Any

from . import common

#: Before NumPy is loaded: its products are to take one thread, where threads are compared.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

TOP_K = 10


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


#: Nothing is answered from among the answers given before.
NO_ANSWERS = {"search": {"answers": 0}}


class Scope(common.Scopes):
    """One user's memories in runs of 25, static embeddings, one thread, no kept answers."""

    params = (1_000, 10_000)
    param_names = ("memories",)
    timeout = 600

    def setup(self, folder: str, memories: int) -> None:
        embedder = self.open(folder, memories, NO_ANSWERS)._engine.embedder
        asked = common.questions()
        self.asked = [asked[i % len(asked)] for i in range(20)]
        self.vectors = embedder.embed_queries(self.asked)
        said = " ".join(common.sentences())
        self.words = sorted(set(re.findall(r"[a-z]{3,}", said)))

    def _text(self, i: int) -> object:
        """Another text each time: no vector is taken from among those computed before."""
        words = self.words
        more = f"{words[i % len(words)]} {words[i // len(words) % len(words)]}"
        return self.memory.search(f"{self.asked[i % 20]} {more}", top_k=TOP_K)

    def _given(self, i: int) -> object:
        return self.memory.search(self.asked[i % 20], top_k=TOP_K, vector=self.vectors[i % 20])

    def track_text(self, folder: str, memories: int) -> float:
        return common.rate(self._text)

    def track_vector_given(self, folder: str, memories: int) -> float:
        return common.rate(self._given)

    def track_keyword(self, folder: str, memories: int) -> float:
        return common.rate(lambda i: self.memory.search(self.asked[i % 20], mode="keyword"))

    def track_against_plain_python(self, folder: str, memories: int) -> float:
        """Vector given, over the same in NumPy and Python, in turns, one thread each."""
        texts = common.texts(memories)
        plain = PlainPython(texts, self.memory._engine.embedder.embed(texts))
        ours, theirs = common.rates(
            self._given, lambda i: plain.search(self.asked[i % 20], self.vectors[i % 20])
        )
        return ours / theirs

    def track_two_threads(self, folder: str, memories: int) -> float:
        """Vector given, searches a second of two threads over those of one, in turns."""
        from concurrent.futures import ThreadPoolExecutor

        alone = together = 0.0
        with ThreadPoolExecutor(2) as pool:
            for _ in range(4):
                alone = max(alone, common.rates(self._given, seconds=0.1, turns=1)[0])
                two = pool.map(
                    lambda _: common.rates(self._given, seconds=0.1, turns=1)[0], range(2)
                )
                together = max(together, sum(two))
        return together / alone

    def track_text_p99(self, folder: str, memories: int) -> float:
        return common.percentile_ms(self._text, 0.99)

    def track_vector_given_p95(self, folder: str, memories: int) -> float:
        return common.percentile_ms(self._given, 0.95, 2_000 if memories < 100_000 else 300)

    def track_vector_given_p99(self, folder: str, memories: int) -> float:
        return common.percentile_ms(self._given, 0.99)

    # What a hundred times the memories do to a search; ``growth`` has more of that.
    track_vector_given_p95.params = common.SCOPES  # type: ignore[attr-defined]

    track_text.unit = "searches/s"  # type: ignore[attr-defined]
    track_vector_given.unit = "searches/s"  # type: ignore[attr-defined]
    track_keyword.unit = "searches/s"  # type: ignore[attr-defined]
    track_against_plain_python.unit = "ratio"  # type: ignore[attr-defined]
    track_two_threads.unit = "ratio"  # type: ignore[attr-defined]
    track_text_p99.unit = "ms"  # type: ignore[attr-defined]
    track_vector_given_p95.unit = "ms"  # type: ignore[attr-defined]
    track_vector_given_p99.unit = "ms"  # type: ignore[attr-defined]


class AfterWrite(common.TemporaryStore):
    """A search right after an ``add``, as agents do in turn; static, vectors given."""

    params = (1_000, 10_000)
    param_names = ("memories",)
    timeout = 600

    def setup(self, memories: int) -> None:
        memory = self.open("static", {"projection": {"enabled": False}})
        for first in range(0, memories, 5_000):
            memory.add_batch(common.in_runs(common.texts(memories)[first : first + 5_000]))
        self.asked = common.questions()
        self.vectors = memory._engine.embedder.embed_queries(self.asked)

    def _pair(self, i: int) -> float:
        """Milliseconds of the search."""
        k = i % len(self.asked)
        text, vector = self.asked[k], self.vectors[k]
        self.memory.add(f"Note {i}: {text}", vector=vector, run_id=f"now {i // common.RUN}")
        begin = time.perf_counter()
        self.memory.search(text, top_k=TOP_K, vector=vector)
        return 1e3 * (time.perf_counter() - begin)

    def track_search(self, memories: int) -> float:
        """The median of 300."""
        return median(self._pair(i) for i in range(300))

    track_search.unit = "ms"  # type: ignore[attr-defined]


class SameQuestion(common.Scopes):
    """The same questions asked again, answered from what was kept; a scope of 1,000."""

    def setup(self, folder: str) -> None:
        self.open(folder, 1_000)
        self.asked = common.questions()

    def track_repeated(self, folder: str) -> float:
        asked = self.asked
        return common.rate(lambda i: self.memory.search(asked[i % len(asked)], top_k=TOP_K))

    track_repeated.unit = "searches/s"  # type: ignore[attr-defined]


class Transformer(common.TemporaryStore):
    """Text in, embedded by MiniLM, over the embedder alone, in turns; a scope of 1,000."""

    def setup(self) -> None:
        config = NO_ANSWERS | {"projection": {"enabled": False}, "embedding": {"cache_entries": 0}}
        memory = self.open("minilm", config)
        # Vectors of whatever kind are as far to search; the model is asked for the questions'.
        memory.add_batch(common.in_runs(common.texts(1_000)), vectors=common.vectors(1_000, 384))
        self.embedder = memory._engine.embedder
        self.queries = [f"{asked} {i}" for i in range(50) for asked in common.questions()]

    def _batch(self, i: int) -> list[str]:
        begin = 50 * (i % (len(self.queries) // 50))
        return self.queries[begin : begin + 50]

    def _one(self, i: int) -> str:
        return self.queries[i % len(self.queries)]

    def _search_one(self, i: int) -> object:
        return self.memory.search(self._one(i), top_k=TOP_K)

    def _search_batch(self, i: int) -> object:
        return self.memory.search_batch(self._batch(i), top_k=TOP_K)

    def track_text_over_embedding(self) -> float:
        """Searches a second over embeddings a second, one text a call."""
        searches, embeddings = common.rates(
            self._search_one, lambda i: self.embedder.embed_queries([self._one(i)]), seconds=1.0
        )
        return searches / embeddings

    def track_batch_over_embedding(self) -> float:
        """Calls of 50 a second, searches over embeddings."""
        searches, embeddings = common.rates(
            self._search_batch, lambda i: self.embedder.embed_queries(self._batch(i)), seconds=1.0
        )
        return searches / embeddings

    def track_batch_over_one_by_one(self) -> float:
        """Queries a second in calls of 50 over one a call."""
        batches, single = common.rates(self._search_batch, self._search_one, seconds=1.0)
        return 50 * batches / single

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

        coded, full = common.rates(
            lambda i: self.codes.best(self.queries[i % 20], None, TOP_K),
            lambda i: top_k_dot(self.matrix, self.queries[i % 20], TOP_K),
        )
        return coded / full

    track_against_full_scan.unit = "ratio"  # type: ignore[attr-defined]


class FirstSearch(common.Scopes):
    """A partition is read from the store when it is first asked for."""

    params = (1_000, 10_000)
    param_names = ("memories",)

    def setup(self, folder: str, memories: int) -> None:
        memory = self.open(folder, memories)
        self.vector = memory._engine.embedder.embed_queries(["Lisbon"])[0]
        self.time_first_search(folder, memories)  # what happens once in a process

    def time_first_search(self, folder: str, memories: int) -> None:
        self.memory._engine.index.clear()
        self.memory.search("Lisbon", vector=self.vector)
