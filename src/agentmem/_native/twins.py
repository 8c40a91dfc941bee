"""What each kernel computes, in NumPy and plain Python.

Same names, arguments and results as the compiled modules, for tests that compare the two and
for benchmarks that show what compiling gains.  Written to be read: where a docstring of a kernel
leaves a doubt, this is the answer.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem._native.lexical import LONE_BLOCKS

__all__ = [
    "Batches",
    "Postings",
    "TermMemo",
    "count_terms",
    "dense_scores",
    "dequantize_int8",
    "fixed_binary",
    "fixed_list",
    "flatten",
    "float32",
    "fold",
    "from_f16",
    "hash_texts",
    "int8_scores",
    "int32",
    "int64",
    "make_batches",
    "mean_pool",
    "normalize",
    "pool_table",
    "quantize_int8",
    "record_batch",
    "rotate",
    "timestamp",
    "to_f16",
    "top_k",
    "top_k_dot",
    "unit",
    "utf8",
    "words_of",
]

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Mask = NDArray[np.uint8] | NDArray[np.bool_] | None


# -- hashing


def hash_texts(texts: Sequence[str]) -> bytes:
    return b"".join([hashlib.blake2b(t.encode(), digest_size=16).digest() for t in texts])


# -- batching


class Batches(NamedTuple):
    order: NDArray[np.int64]
    inverse: NDArray[np.int64]
    batches: list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def make_batches(
    ids: Sequence[Sequence[int]], max_tokens: int, max_rows: int, pad_id: int = 0
) -> Batches:
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    groups: list[list[int]] = []
    for i in order:
        width = max(len(ids[i]), 1)
        if not groups or len(groups[-1]) == max_rows or (len(groups[-1]) + 1) * width > max_tokens:
            groups.append([])
        groups[-1].append(i)
    batches = []
    for group in groups:
        width = max(1, *[len(ids[i]) for i in group])
        rows = [list(ids[i]) + [pad_id] * (width - len(ids[i])) for i in group]
        mask = [[1] * len(ids[i]) + [0] * (width - len(ids[i])) for i in group]
        batches.append((np.array(rows, np.int64), np.array(mask, np.int64)))
    numbers = np.array(order, np.int64)
    return Batches(numbers, np.argsort(numbers), batches)


def flatten(ids: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    flat = np.array([token for row in ids for token in row], np.int32)
    return flat, np.cumsum([0, *map(len, ids)], dtype=np.int64)


# -- vectors


def mean_pool(hidden: Floats, mask: NDArray[np.int64], out: Floats | None = None) -> Floats:
    if mask.ndim == 1:
        mask = (np.arange(hidden.shape[1]) < mask[:, None]).astype(np.int64)
    kept = (mask != 0).astype(np.float32)
    # Multiplying by 0 would let a NaN of a padded token through.
    states = np.where(kept[:, :, None] != 0, hidden, np.float32(0))
    totals = kept.sum(1, keepdims=True)
    means: Floats = (states.sum(1) / np.where(totals == 0, 1, totals)).astype(np.float32)
    if out is None:
        return means
    out[:] = means
    return out


def normalize(x: Floats) -> Floats:
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        exact = np.sqrt((wide * wide).sum(1, keepdims=True))
        norms: Floats = exact[:, 0].astype(np.float32)
        x[:] = wide / np.where(exact == 0, 1, exact)
    x[~np.isfinite(norms)] = np.nan
    return norms


def unit(vector: object, dim: int) -> Floats | None:
    if not isinstance(vector, np.ndarray) or vector.dtype != np.float32 or vector.shape != (dim,):
        return None
    made = vector[None, :].copy()
    norm = float(normalize(made)[0])
    return made if 1e-18 < norm < 3.4e38 else None


def rotate(x: Floats) -> None:
    start = 0
    while start < x.shape[1]:
        block = 1 << ((x.shape[1] - start).bit_length() - 1)
        mixed = (np.arange(1, block + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        negative = (mixed ^ mixed >> np.uint64(29)) >> np.uint64(40) & np.uint64(1)
        matrix = np.ones((1, 1))
        while len(matrix) < block:
            matrix = np.block([[matrix, matrix], [matrix, -matrix]])
        part = x[:, start : start + block].astype(np.float64) * (1.0 - 2.0 * negative)
        x[:, start : start + block] = part @ matrix / np.sqrt(block)
        start += block


def to_f16(x: Floats) -> Halves:
    with np.errstate(over="ignore"):
        return x.astype(np.float16)


def from_f16(x: Halves) -> Floats:
    return x.astype(np.float32)


def quantize_int8(x: Floats) -> tuple[NDArray[np.int8], Floats]:
    peaks = np.abs(x).max(1, initial=0)
    small, bad = peaks < np.float32(1e-30), ~np.isfinite(peaks)
    safe = np.where(small | bad, np.float32(1), peaks)
    with np.errstate(all="ignore"):
        codes = np.rint(x * (np.float32(127) / safe)[:, None])
    codes[small | bad] = 0
    scales = np.where(bad, np.float32(np.nan), np.where(small, np.float32(0), safe / 127))
    return codes.astype(np.int8), scales.astype(np.float32)


def dequantize_int8(codes: NDArray[np.int8], scales: Floats) -> Floats:
    with np.errstate(over="ignore"):  # 127 steps of the largest float32 are infinite
        return codes.astype(np.float32) * scales[:, None]


def top_k_dot(matrix: Floats | Halves, query: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    return top_k(matrix.astype(np.float32, copy=False) @ query, None, k)


def pool_table(
    table: Floats | Halves,
    weights: Floats | None,
    flat: NDArray[np.int32],
    offsets: NDArray[np.int64],
) -> Floats:
    out = np.zeros((len(offsets) - 1, table.shape[1]), np.float32)
    for i in range(len(out)):
        ids = flat[offsets[i] : offsets[i + 1]]
        factors = np.ones(len(ids), np.float32) if weights is None else weights[ids]
        total = factors.astype(np.float64).sum()
        if total != 0:
            out[i] = factors @ table[ids].astype(np.float32) / np.float32(total)
    return out


# -- lexical


def fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join([c for c in decomposed if not unicodedata.combining(c)])


def _is_word(c: str) -> bool:
    return c.isalnum() or unicodedata.category(c)[0] == "M"


def _is_lone(c: str) -> bool:
    return _is_word(c) and any(low <= ord(c) <= high for low, high in LONE_BLOCKS)


def words_of(text: str) -> Iterator[str]:
    """The words of a text, in order; ``lexical`` says what they are."""
    folded = fold(text)
    i = 0
    while i < len(folded):
        start = i
        if _is_lone(folded[i]):
            i += 1
            yield folded[start]
            if i < len(folded) and _is_lone(folded[i]):
                yield folded[start : i + 1]
            continue
        while i < len(folded) and _is_word(folded[i]) and not _is_lone(folded[i]):
            i += 1
        if i == start:
            i += 1
            continue
        yield folded[start:i][:64]
        if folded[i : i + 2] in ("'s", "\u2019s") and not any(map(_is_word, folded[i + 2 : i + 3])):
            i += 2


class TermMemo:
    def __init__(self, resolve: Callable[[str], int], limit: int = 262144) -> None:
        self._resolve = resolve
        self._limit = limit
        self._terms: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._terms)

    def term(self, word: str) -> int:
        known = self._terms.get(word)
        if known is None:
            known = self._resolve(word)
            if len(self._terms) >= self._limit:
                self._terms.clear()
            self._terms[word] = known
        return known


def count_terms(
    texts: Sequence[str], memo: TermMemo
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint16], NDArray[np.uint32]]:
    found = [Counter(map(memo.term, words_of(text))) for text in texts]
    rows = [sorted((t, min(c, 65535)) for t, c in counter.items() if t) for counter in found]
    return (
        np.cumsum([0, *map(len, rows)], dtype=np.int64),
        np.array([term for row in rows for term, _ in row], np.uint64),
        np.array([count for row in rows for _, count in row], np.uint16),
        np.array([sum(count for _, count in row) for row in rows], np.uint32),
    )


# -- scan


def dense_scores(matrix: Floats | Halves, query: Floats, out: Floats) -> None:
    out[:] = matrix.astype(np.float32, copy=False) @ query


def int8_scores(codes: NDArray[np.int8], query: NDArray[np.int8], out: NDArray[np.int32]) -> None:
    out[:] = codes.astype(np.int32) @ query.astype(np.int32)


def top_k(
    scores: Floats, mask: Mask, k: int, threshold: float | None = None
) -> tuple[NDArray[np.int64], Floats]:
    allowed = np.ones(len(scores), bool) if mask is None else mask != 0
    if threshold is not None:
        allowed = allowed & (scores >= np.float32(threshold))
    indices = np.flatnonzero(allowed)
    # Stable, so equal scores keep their order; NaN sorts last.
    best = indices[np.argsort(-scores[indices], kind="stable")][:k]
    return best, scores[best]


class Postings:
    def __init__(
        self,
        offsets: NDArray[np.int64],
        terms: NDArray[np.uint64],
        counts: NDArray[np.uint16],
        lengths: NDArray[np.uint32],
    ) -> None:
        self._docs = np.repeat(np.arange(len(lengths)), np.diff(offsets))
        self._terms = terms.copy()
        self._counts = counts.copy()
        self._lengths = lengths.copy()

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def nbytes(self) -> int:
        arrays = (self._docs, self._terms, self._counts, self._lengths)
        return sum(array.nbytes for array in arrays)

    def df(self, terms: NDArray[np.uint64], live: Mask = None) -> NDArray[np.int64]:
        alive = np.ones(len(self), bool) if live is None else live != 0
        have = [alive[self._docs[self._terms == term]].sum() for term in terms]
        return np.array(have, np.int64)

    def bm25(
        self,
        terms: NDArray[np.uint64],
        weights: Floats,
        k1: float,
        b: float,
        avg_length: float,
        out: Floats,
    ) -> None:
        out[:] = 0
        ratio = self._lengths / avg_length if avg_length else np.zeros(len(self))
        for term, weight in zip(terms, weights, strict=True):
            has = self._terms == term
            docs, count = self._docs[has], self._counts[has].astype(np.float64)
            out[docs] += weight * count * (k1 + 1) / (count + k1 * (1 - b + b * ratio[docs]))


class Conversation:
    """Everything in float64 and by whole matrices: term counts of texts, windows and runs."""

    def __init__(
        self,
        parts: list[tuple[Floats, Postings, NDArray[np.int32], Any, Any, Any]],
        starts: NDArray[np.int32],
        length_part: Floats,
        actors: NDArray[np.int32],
        n_actors: int,
        window: int,
        means: tuple[float, float, float] | None = None,
    ) -> None:
        self._means = means
        self._parts, self._starts, self._actors = parts, starts, actors
        self._length_part = length_part
        self._run_of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        slots = np.arange(len(length_part))
        same = self._run_of[:, None] == self._run_of[None, :]
        apart = np.abs(slots[:, None] - slots[None, :])
        self._windows = (same & (apart <= window)).astype(np.float64)
        self._beside = (same & (apart == 1)).astype(np.float64)
        self._runs = (np.arange(len(starts) - 1)[:, None] == self._run_of).astype(np.float64)
        self._lengths = np.zeros(len(slots))
        for _, postings, places, *_ in parts:
            live = places >= 0
            self._lengths[places[live]] = postings._lengths[live]

    @property
    def rows(self) -> int:
        return sum(len(places) for _, _, places, *_ in self._parts)

    @property
    def work_size(self) -> int:
        return 4 * len(self._lengths) + 2 * len(self._runs)

    def score(
        self,
        vector: Floats,
        terms: NDArray[np.uint64],
        counts: NDArray[np.uint16],
        names: Mask,
        asked: Mask,
        extra: Floats | None,
        weights: Floats,
        k1: float,
        b: float,
        work: Floats,
        out: Floats,
        whole: tuple[int, int, NDArray[np.int32], NDArray[np.int32]] | None = None,
    ) -> None:
        dense = np.zeros(len(self._lengths))
        found = np.zeros((len(terms), len(self._lengths)))
        for matrix, postings, places, *_ in self._parts:
            live = places >= 0
            dense[places[live]] = (matrix.astype(np.float64) @ vector.astype(np.float64))[live]
            for i, term in enumerate(terms):
                has = postings._terms == term
                docs, times = postings._docs[has], postings._counts[has]
                found[i, places[docs[live[docs]]]] = times[live[docs]]

        def bm25(
            level: int, tf: NDArray[Any], lengths: NDArray[Any], idf: NDArray[Any]
        ) -> NDArray[Any]:
            mean = lengths.mean() if len(lengths) else 0.0
            if self._means is not None:
                mean = self._means[level]
            norm = k1 * (1 - b + b * (lengths / mean if mean else 0 * lengths))
            with np.errstate(invalid="ignore"):
                sums = (counts * idf) @ np.where(tf > 0, tf / (tf + norm), 0.0)
            return np.asarray(sums / (counts * idf).sum() if len(terms) else sums)

        in_runs = found @ self._runs.T
        n, n_runs = len(dense), len(self._runs)
        df, run_df = (found > 0).sum(axis=1), (in_runs > 0).sum(axis=1)
        if whole is not None:
            n, n_runs, df, run_df = whole[0], whole[1], whole[2], whole[3]
        idf = np.log1p((n - df + 0.5) / (df + 0.5))
        run_idf = np.log1p((n_runs - run_df + 0.5) / (run_df + 0.5))
        own = bm25(0, found, self._lengths, idf)
        window = bm25(1, found @ self._windows, self._windows @ self._lengths, idf)
        run = bm25(2, in_runs, self._runs @ self._lengths, run_idf)
        named = np.zeros(len(dense))
        if names is not None:
            familiar = df * 10 >= n
            named = (found[(names != 0) & familiar] > 0).any(axis=0).astype(np.float64)
        best = np.array([dense[r > 0].max() for r in self._runs])
        w = dict(zip(WEIGHTS, weights.astype(np.float64), strict=True))
        mine = w["dense"] * dense + w["keyword"] * own
        both = w["dense"] + w["keyword"]
        said = np.zeros(len(dense)) if asked is None else asked[self._actors].astype(np.float64)
        total = mine + w["window"] * window + w["length"] * self._length_part
        total += (w["neighbour"] / both if both else 0.0) * (self._beside @ mine)
        total += w["actor"] * np.where(self._actors == 0, named, said)
        if len(best):
            total += (w["run_keyword"] * run + w["run_dense"] * best)[self._run_of]
        if extra is not None:
            total += extra
        work[: self.work_size] = np.concatenate([dense, own, window, named, run, best])
        places = np.concatenate([part[2] for part in self._parts] or [np.zeros(0, int)])
        out[:] = 0
        out[places >= 0] = total[places[places >= 0]]

    def best(
        self,
        vector: Floats,
        terms: NDArray[np.uint64],
        counts: NDArray[np.uint16],
        names: Mask,
        asked: Mask,
        extra: Floats | None,
        weights: Floats,
        k1: float,
        b: float,
        work: Floats,
        masks: Sequence[Mask],
        k: int,
        threshold: float | None = None,
    ) -> tuple[list[int], list[float], list[int]]:
        out = np.empty(self.rows, np.float32)
        self.score(vector, terms, counts, names, asked, extra, weights, k1, b, work, out)
        found = []
        for part, mask in zip(self._parts, masks, strict=True):
            keys, seqs, mine = part[3], part[4], out[: len(part[3])]
            out = out[len(keys) :]
            rows, scores = top_k(mine, mask, len(keys), threshold)
            chosen = (scores.tolist(), keys[rows].tolist(), seqs[rows].tolist())
            found += [(-score, key, seq) for score, key, seq in zip(*chosen, strict=True)]
        found = sorted(found)[:k]
        return [f[1] for f in found], [-f[0] for f in found], [f[2] for f in found]


WEIGHTS = (
    "dense",
    "keyword",
    "window",
    "neighbour",
    "run_keyword",
    "run_dense",
    "actor",
    "length",
)


# -- volume


def invert(
    offsets: NDArray[np.int64], terms: NDArray[np.uint64], counts: NDArray[np.uint16]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int32], NDArray[np.uint16]]:
    texts = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
    order = np.lexsort((texts, terms))
    found, sizes = np.unique(terms, return_counts=True)
    return found, np.cumsum([0, *sizes], dtype=np.int64), texts[order], counts[order]


class Texts:
    """Slot by slot, in float64."""

    def __init__(
        self,
        starts: NDArray[np.int32],
        lengths: Floats,
        window_lengths: Floats,
        run_lengths: Floats,
        keys: NDArray[np.int64],
        actors: NDArray[np.int32],
        event_at: NDArray[np.int64],
        n_actors: int,
        window: int,
    ) -> None:
        self._starts, self._keys, self._actors, self._event_at = starts, keys, actors, event_at
        self._lengths, self._window_lengths, self._run_lengths = (
            lengths,
            window_lengths,
            run_lengths,
        )
        self._window = window

    def best(
        self,
        lists: Sequence[tuple[NDArray[np.int32], NDArray[np.uint16], float, float, bool]],
        weights: Floats,
        k1: float,
        b: float,
        means: tuple[float, float, float],
        room: int,
        *,
        asked: Mask = None,
        spans: NDArray[np.int64] | None = None,
        fade: float = 1.0,
        date: float = 0.0,
        length_part: Floats | None = None,
        extra: Floats | None = None,
        live: Mask = None,
        mask: Mask = None,
    ) -> tuple[NDArray[np.int32], Floats]:
        n = len(self._keys)
        w = dict(zip(WEIGHTS, weights.astype(np.float64), strict=True))
        run_of = np.repeat(np.arange(len(self._starts) - 1), np.diff(self._starts))
        alive = np.ones(len(self._starts) - 1, bool) if live is None else live != 0
        own, window, named = np.zeros(n), np.zeros(n), np.zeros(n)
        run = np.zeros(len(alive))
        touched = np.zeros(len(alive), bool)

        def bm25(tf: NDArray[Any], lengths: Floats, mean: float) -> NDArray[Any]:
            norm = k1 * (1 - b + b * (lengths / mean if mean else 0 * lengths))
            with np.errstate(invalid="ignore"):
                return np.where(tf > 0, tf / (tf + norm), 0.0)

        for slots, counts, weight, run_weight, name in lists:
            tf, in_runs, around = np.zeros(n), np.zeros(len(alive)), np.zeros(n)
            kept = alive[run_of[slots]]
            tf[slots[kept]] = counts[kept]
            for slot in np.flatnonzero(tf).tolist():
                low = max(slot - self._window, self._starts[run_of[slot]])
                high = min(slot + self._window + 1, self._starts[run_of[slot] + 1])
                around[low:high] += tf[slot]
                in_runs[run_of[slot]] += tf[slot]
            touched |= in_runs > 0
            own += weight * bm25(tf, self._lengths, means[0])
            window += weight * bm25(around, self._window_lengths, means[1])
            run += run_weight * bm25(in_runs, self._run_lengths, means[2])
            if name:
                named[tf > 0] = 1.0
        both = w["dense"] + w["keyword"]
        share = w["neighbour"] / both * w["keyword"] if both else 0.0
        scores = []
        for slot in range(n):
            here = int(run_of[slot])
            total = w["keyword"] * own[slot] + w["window"] * window[slot]
            total += w["run_keyword"] * run[here]
            total += share * own[max(slot - 1, self._starts[here]) : slot].sum()
            total += share * own[slot + 1 : min(slot + 2, self._starts[here + 1])].sum()
            if length_part is not None and len(length_part):
                longest = len(length_part) - 1
                total += w["length"] * length_part[min(int(self._lengths[slot]), longest)]
            actor = self._actors[slot]
            said = named[slot] if not actor else float(asked is not None and asked[actor])
            total += w["actor"] * said
            when = int(self._event_at[slot])
            pairs = [] if spans is None else spans.reshape(-1, 2).tolist()
            fits = [1 - max(when - to + 1, 0) / fade for begin, to in pairs if when >= begin]
            total += date * max([0.0, *fits])
            if extra is not None:
                total += extra[slot]
            may = touched[here] and (mask is None or mask[slot]) and np.float32(total) > 0
            scores.append(total if may else -np.inf)
        order = np.lexsort((self._keys, -np.array(scores, np.float32)))[:room]
        best = order[np.isfinite(np.array(scores)[order])] if n else order
        return best.astype(np.int32), np.array(scores, np.float32)[best]


# -- arrow: the same columns by pyarrow itself, which copies what it does not know


def _primitive(values: NDArray[Any], kind: Any, valid: Mask) -> Any:
    import pyarrow as pa

    return pa.array(values, kind, mask=None if valid is None else valid == 0)


def int64(values: NDArray[np.int64], valid: Mask = None) -> Any:
    return _primitive(values, "int64", valid)


def int32(values: NDArray[np.int32], valid: Mask = None) -> Any:
    return _primitive(values, "int32", valid)


def float32(values: Floats, valid: Mask = None) -> Any:
    import pyarrow as pa

    return _primitive(values, pa.float32(), valid)


def timestamp(values: NDArray[np.int64], valid: Mask = None) -> Any:
    import pyarrow as pa

    return _primitive(values, pa.timestamp("us", "UTC"), valid)


def fixed_binary(data: bytes, width: int) -> Any:
    import pyarrow as pa

    values = [data[i : i + width] for i in range(0, len(data), width)]
    return pa.array(values, pa.binary(width))


def fixed_list(vectors: Floats | Halves) -> Any:
    import pyarrow as pa

    kind = pa.float16() if vectors.dtype == np.float16 else pa.float32()
    return pa.array(list(vectors), pa.list_(kind, vectors.shape[1]))


def utf8(values: Sequence[str | None]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.string())


def record_batch(columns: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    return pa.record_batch(dict(columns))
