"""What each compiled kernel gains over its twin in NumPy and plain Python.

``track_gain`` times both in the same process on the same data, taking turns, so that a busy or a
slow machine weighs on both alike: it is the ratio to watch.  ``time_*`` are the kernel alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from agentmem._native import arrow, batching, hashing, lexical, scan, twins, vectors
from benchmarks import common

if TYPE_CHECKING:
    from collections.abc import Callable

DIM = 384
VOCABULARY = 30_522


def gain(native: Callable[[], object], twin: Callable[[], object]) -> float:
    """How many times faster ``native`` is: the ratio of the best times of at least five turns."""
    best = {native: float("inf"), twin: float("inf")}
    native(), twin()
    stop = time.perf_counter() + 0.4
    turns = 0
    while turns < 5 or time.perf_counter() < stop:
        for call in best:
            begin = time.perf_counter()
            call()
            best[call] = min(best[call], time.perf_counter() - begin)
        turns += 1
    return best[twin] / best[native]


class _Gain:
    """A kernel and its twin; ``setup`` makes ``native`` and ``twin``, calls without arguments."""

    native: Callable[[], object]
    twin: Callable[[], object]

    def track_gain(self) -> float:
        return gain(self.native, self.twin)

    track_gain.unit = "times the twin's speed"  # type: ignore[attr-defined]
    track_gain.timeout = 120  # type: ignore[attr-defined]

    def time_native(self) -> None:
        self.native()


def token_ids(n: int) -> list[list[int]]:
    """Rows of as many tokens as memories have: 4 to 40, on average 17."""
    chance = np.random.default_rng(common.SEED)
    lengths = np.clip(chance.gamma(4, 4.25, n), 4, 40).astype(int)
    return [chance.integers(0, VOCABULARY, length).tolist() for length in lengths]


class HashTexts(_Gain):
    def setup(self) -> None:
        texts = common.texts(1000)
        self.native = lambda: hashing.hash_texts(texts)
        self.twin = lambda: twins.hash_texts(texts)


class MakeBatches(_Gain):
    def setup(self) -> None:
        ids = token_ids(1000)
        self.native = lambda: batching.make_batches(ids, 1024, 64)
        self.twin = lambda: twins.make_batches(ids, 1024, 64)


class Flatten(_Gain):
    def setup(self) -> None:
        ids = token_ids(1000)
        self.native = lambda: batching.flatten(ids)
        self.twin = lambda: twins.flatten(ids)


class MeanPool(_Gain):
    def setup(self) -> None:
        chance = np.random.default_rng(common.SEED)
        hidden = chance.standard_normal((32, 24, DIM), dtype=np.float32)
        mask = (np.arange(24) < chance.integers(4, 25, 32)[:, None]).astype(np.int64)
        self.native = lambda: vectors.mean_pool(hidden, mask)
        self.twin = lambda: twins.mean_pool(hidden, mask)


class PoolTable(_Gain):
    def setup(self) -> None:
        chance = np.random.default_rng(common.SEED)
        table = chance.standard_normal((VOCABULARY, 256), dtype=np.float32).astype(np.float16)
        weights = chance.random(VOCABULARY, dtype=np.float32)
        flat, offsets = batching.flatten(token_ids(1000))
        self.native = lambda: vectors.pool_table(table, weights, flat, offsets)
        self.twin = lambda: twins.pool_table(table, weights, flat, offsets)


class Normalize(_Gain):
    def setup(self) -> None:
        ours = common.vectors(1000, DIM) * 3
        theirs = ours.copy()
        self.native = lambda: vectors.normalize(ours)
        self.twin = lambda: twins.normalize(theirs)


class ToF16(_Gain):
    def setup(self) -> None:
        x = common.vectors(1000, DIM)
        self.native = lambda: vectors.to_f16(x)
        self.twin = lambda: twins.to_f16(x)


class FromF16(_Gain):
    def setup(self) -> None:
        x = common.vectors(1000, DIM).astype(np.float16)
        self.native = lambda: vectors.from_f16(x)
        self.twin = lambda: twins.from_f16(x)


class QuantizeInt8(_Gain):
    def setup(self) -> None:
        x = common.vectors(1000, DIM)
        self.native = lambda: vectors.quantize_int8(x)
        self.twin = lambda: twins.quantize_int8(x)


class DequantizeInt8(_Gain):
    def setup(self) -> None:
        codes, scales = vectors.quantize_int8(common.vectors(1000, DIM))
        self.native = lambda: vectors.dequantize_int8(codes, scales)
        self.twin = lambda: twins.dequantize_int8(codes, scales)


class TopKDot(_Gain):
    params = ((1_000, 10_000), ("float16", "float32"))
    param_names = ("rows", "dtype")

    def setup(self, rows: int, dtype: str) -> None:
        matrix = common.vectors(rows, DIM).astype(dtype)
        query = common.vectors(1, DIM, seed=1)[0]
        self.native = lambda: vectors.top_k_dot(matrix, query, 10)
        self.twin = lambda: twins.top_k_dot(matrix, query, 10)

    def track_gain(self, rows: int, dtype: str) -> float:
        return gain(self.native, self.twin)

    track_gain.unit = "times the twin's speed"  # type: ignore[attr-defined]

    def time_native(self, rows: int, dtype: str) -> None:
        self.native()


class DenseScores(TopKDot):
    def setup(self, rows: int, dtype: str) -> None:
        matrix = common.vectors(rows, DIM).astype(dtype)
        query = common.vectors(1, DIM, seed=1)[0]
        out = np.empty(rows, np.float32)
        self.native = lambda: scan.dense_scores(matrix, query, out)
        self.twin = lambda: twins.dense_scores(matrix, query, out)


class Int8Scores(_Gain):
    def setup(self) -> None:
        codes, _ = vectors.quantize_int8(common.vectors(10_000, DIM))
        query = vectors.quantize_int8(common.vectors(1, DIM, seed=1))[0][0]
        out = np.empty(10_000, np.int32)
        self.native = lambda: scan.int8_scores(codes, query, out)
        self.twin = lambda: twins.int8_scores(codes, query, out)


class TopK(_Gain):
    def setup(self) -> None:
        scores = np.random.default_rng(common.SEED).random(100_000, dtype=np.float32)
        self.native = lambda: scan.top_k(scores, None, 10)
        self.twin = lambda: twins.top_k(scores, None, 10)


class CountTerms(_Gain):
    def setup(self) -> None:
        texts = common.texts(1000)
        ours, theirs = lexical.TermMemo(hash_word), twins.TermMemo(hash_word)
        self.native = lambda: lexical.count_terms(texts, ours)
        self.twin = lambda: twins.count_terms(texts, theirs)


class CountTermsAccented(_Gain):
    def setup(self) -> None:
        texts = [f"{text} – naïve café" for text in common.texts(1000)]
        ours, theirs = lexical.TermMemo(hash_word), twins.TermMemo(hash_word)
        self.native = lambda: lexical.count_terms(texts, ours)
        self.twin = lambda: twins.count_terms(texts, theirs)


def hash_word(word: str) -> int:
    return int.from_bytes(hashing.hash_texts([word])[:8], "little") or 1


class Bm25(_Gain):
    """Five words of one query against 10,000 memories."""

    def setup(self) -> None:
        batch = lexical.count_terms(common.texts(10_000), lexical.TermMemo(hash_word))
        terms = lexical.count_terms(common.questions()[:1], lexical.TermMemo(hash_word))[1][:5]
        weights = np.ones(len(terms), np.float32)
        average = float(batch[3].mean())
        out = np.empty(10_000, np.float32)
        ours, theirs = scan.Postings(*batch), twins.Postings(*batch)
        self.native = lambda: ours.bm25(terms, weights, 1.2, 0.75, average, out)
        self.twin = lambda: theirs.bm25(terms, weights, 1.2, 0.75, average, out)


class DocumentFrequencies(_Gain):
    def setup(self) -> None:
        batch = lexical.count_terms(common.texts(10_000), lexical.TermMemo(hash_word))
        terms = lexical.count_terms(common.questions()[:1], lexical.TermMemo(hash_word))[1][:5]
        ours, theirs = scan.Postings(*batch), twins.Postings(*batch)
        self.native = lambda: ours.df(terms)
        self.twin = lambda: theirs.df(terms)


class BuildPostings:
    def setup(self) -> None:
        self.batch = lexical.count_terms(common.texts(10_000), lexical.TermMemo(hash_word))

    def time_native(self) -> None:
        scan.Postings(*self.batch)


class RecordBatch(_Gain):
    """The columns that a projection takes, of 1,000 memories."""

    def setup(self) -> None:
        texts = common.texts(1000)
        ids = hashing.hash_texts(texts)
        rows = common.vectors(1000, DIM).astype(np.float16)
        times = np.arange(1000, dtype=np.int64)

        def assemble(make: object) -> object:
            kinds = vars(make)
            return kinds["record_batch"](
                {
                    "id": kinds["fixed_binary"](ids, 16),
                    "content": kinds["utf8"](texts),
                    "vector": kinds["fixed_list"](rows),
                    "event_at": kinds["timestamp"](times),
                    "seq": kinds["int64"](times),
                }
            )

        import pyarrow as pa

        self.native = lambda: pa.record_batch(assemble(arrow))
        self.twin = lambda: assemble(twins)
