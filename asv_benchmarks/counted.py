"""The work whose instructions ``benchmarks/instructions.py`` counts; run under callgrind.

    valgrind --tool=callgrind --dump-before=_PyEval_SetSwitchInterval --combine-dumps=yes \\
        python counted.py

Each piece is done a few times first, then counted between two calls of ``sys.setswitchinterval``,
whose function in the interpreter nothing else calls.  The numbers of calls are printed as JSON, in
order.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from benchmarks import common

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Piece = tuple[str, Callable[[int], object], int]

DIM = 384
WARM = 3  # calls of each piece that are not counted


def mark() -> None:
    sys.setswitchinterval(sys.getswitchinterval())


class Given:
    """An embedder that is never asked: every vector is given."""

    dim = DIM
    name = "given"

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        raise AssertionError("a text was embedded")


def kernels() -> Iterator[Piece]:
    from agentmem._native import batching, hashing, lexical, scan, vectors
    from agentmem.index.analyzer import EnglishAnalyzer

    texts = common.texts(200)
    rows = common.vectors(1000, DIM)
    halves = rows.astype(np.float16)
    out = np.empty(1000, np.float32)
    chance = np.random.default_rng(common.SEED)
    ids = [chance.integers(0, 30_000, 17).tolist() for _ in range(200)]
    analyzer = EnglishAnalyzer()
    terms = analyzer.analyze(texts)
    postings = scan.Postings(terms.offsets, terms.terms, terms.counts, terms.lengths)
    asked = analyzer.analyze(common.questions()[:1]).terms
    weights = np.ones(len(asked), np.float32)
    found = np.zeros(200, np.float32)
    memo = lexical.TermMemo(lambda word: len(word) + 1)
    yield "hash_texts of 200", lambda i: hashing.hash_texts(texts), 5
    yield "make_batches of 200", lambda i: batching.make_batches(ids, 512, 64), 5
    yield "count_terms of 200", lambda i: lexical.count_terms(texts, memo), 5
    yield "dense_scores of 1,000", lambda i: scan.dense_scores(halves, rows[0], out), 5
    yield "top_k of 1,000", lambda i: scan.top_k(out, None, 10, None), 5
    yield "top_k_dot of 1,000", lambda i: vectors.top_k_dot(halves, rows[0], 10), 5
    yield (
        "bm25 of 200",
        lambda i: postings.bm25(asked, weights, 0.9, 0.75, 20.0, found),
        5,
    )


def paths(folder: str) -> Iterator[Piece]:
    from agentmem import Memory

    settings = {"projection": {"enabled": False}, "store": {"durability": "off"}}
    memory = Memory(folder, embedder=Given(), config=settings, user_id="bench")
    size = 1000
    texts = common.texts(size + 64 + 12 * 100)
    rows = common.vectors(len(texts), DIM)
    memory.add_batch(texts[:size], vectors=rows[:size])
    asked = common.questions()
    batches = range(size + 64, len(texts), 100)
    stored = [item["id"] for item in memory.get_all(limit=100)["results"]]
    yield (
        "search in 1,000",
        lambda i: memory.search(asked[i % len(asked)], vector=rows[i]),
        20,
    )
    yield "dense search in 1,000", lambda i: memory.search(mode="dense", vector=rows[i]), 20
    yield "get", lambda i: memory.get(stored[i]), 20
    yield "add", lambda i: memory.add(texts[size + i], vector=rows[size + i]), 20
    yield (
        "add_batch of 100",
        lambda i: memory.add_batch(
            texts[batches[i] : batches[i] + 100], vectors=rows[batches[i] : batches[i] + 100]
        ),
        5,
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="agentmem-bench-") as folder:
        counted = []
        for name, work, calls in (*kernels(), *paths(folder)):
            for i in range(WARM):
                work(i)
            mark()
            for i in range(WARM, WARM + calls):
                work(i)
            mark()
            counted.append([name, calls])
    print(json.dumps(counted))


if __name__ == "__main__":
    main()
