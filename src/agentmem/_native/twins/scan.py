"""Scores of a segment and the best of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentmem._native.twins.kinds import Floats, Halves, Mask

__all__ = ["Postings", "coded_scores", "dense_scores", "int8_scores", "top_k"]


def dense_scores(matrix: Floats | Halves, query: Floats, out: Floats) -> None:
    out[:] = matrix.astype(np.float32, copy=False) @ query


def int8_scores(codes: NDArray[np.int8], query: NDArray[np.int8], out: NDArray[np.int32]) -> None:
    out[:] = codes.astype(np.int32) @ query.astype(np.int32)


def coded_scores(
    codes: NDArray[np.int8],
    scales: Floats,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    query: NDArray[np.int8],
    factor: float,
    out: Floats,
) -> None:
    rows = [row for a, b in zip(begins, ends, strict=True) for row in range(a, b)]
    products = codes[rows].astype(np.int32) @ query.astype(np.int32)
    out[:] = np.float32(factor) * scales[rows] * products


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
