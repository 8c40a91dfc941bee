"""Dense search of a large segment: 8-bit codes name the candidates, exact scores decide.

All vectors are turned by one rotation first, which leaves their products and makes codes finer
(``_native.vectors.rotate``).  A row ``x`` is then coded as ``s c`` with ``x = s c + e``, a query
as ``q = r d + f``, and

    x . q  =  s r (c . d)  +  s c . f  +  e . q

and by Cauchy-Schwarz the last two terms are at most ``|s c| |f| + |e| |q|``, which is known.
Whatever belongs to the best k has a coded score no lower than the k-th coded score less twice the
largest such error of the segment; only those rows are scored again.  So the answer is the one of
a full scan, to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem._native import scan, vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CODED_FROM", "Codes", "codes_nbytes"]

#: Rows from which a segment is worth coding: below, a hybrid search of all is as quick.
CODED_FROM = 512

_BLOCK = 16_384  # rows that are widened at a time while codes are made
_ROUNDING = 1e-5  # of float32 sums and products over a few hundred dimensions
_MANY = 8  # a share of 1/_MANY candidates is no gain over a full scan


def codes_nbytes(n: int, dim: int) -> int:
    """What the codes of ``n`` rows occupy; 0 where a segment of that size has none."""
    return n * (dim + 4) if n >= CODED_FROM else 0


class Codes:
    """8-bit codes of the rows of a matrix; immutable, so any thread may search."""

    __slots__ = ("_codes", "_error", "_length", "_matrix", "_scales")

    def __init__(self, matrix: NDArray[np.float16] | NDArray[np.float32]) -> None:
        """Code ``matrix`` ``(n, dim)``, which must not change."""
        self._matrix = matrix
        self._codes = np.empty(matrix.shape, np.int8)
        self._scales = np.empty(len(matrix), np.float32)
        self._error = 0.0  # the largest |e| of a row
        self._length = 0.0  # the largest |s c|
        for start in range(0, len(matrix), _BLOCK):
            wide = _wide(matrix[start : start + _BLOCK])
            vectors.rotate(wide)
            codes, scales = vectors.quantize_int8(wide)
            coded = vectors.dequantize_int8(codes, scales)
            self._length = max(self._length, _longest(coded))
            self._error = max(self._error, _longest(wide - coded))
            self._codes[start : start + len(wide)] = codes
            self._scales[start : start + len(wide)] = scales

    @property
    def parts(self) -> tuple[NDArray[np.int8], NDArray[np.float32], float, float]:
        """Codes, scales, and the largest |s c| and |e| of a row."""
        return self._codes, self._scales, self._length, self._error

    def candidates(
        self, query: NDArray[np.float32], mask: NDArray[np.uint8] | None, k: int
    ) -> NDArray[np.int64] | None:
        """Ascending rows among which the best ``k`` that ``mask`` lets through are; None where
        they are so many that a full scan costs no more."""
        turned = query[None, :].copy()
        vectors.rotate(turned)
        codes, scales = vectors.quantize_int8(turned)
        missed = float(np.linalg.norm(turned - vectors.dequantize_int8(codes, scales)))
        products = np.empty(len(self._codes), np.int32)
        scan.int8_scores(self._codes, codes[0], products)
        scores = products.astype(np.float32)
        scores *= self._scales * scales[0]
        _, best = scan.top_k(scores, mask, k, None)
        if len(best) < k:
            return None
        error = self._length * missed + self._error * float(np.linalg.norm(query)) + _ROUNDING
        near = scores >= best[-1] - 2 * error
        if mask is not None:
            near &= mask.view(np.bool_)
        found = np.flatnonzero(near)
        return None if len(found) * _MANY > len(scores) else found

    def best(
        self, query: NDArray[np.float32], mask: NDArray[np.uint8] | None, k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """The best ``k`` rows and their exact scores, best first, ties by smaller row; None where
        a full scan had better answer."""
        found = self.candidates(query, mask, k)
        if found is None:
            return None
        places, scores = vectors.top_k_dot(self._matrix[found], query, k)
        return found[places], scores


def _wide(rows: NDArray[Any]) -> NDArray[np.float32]:
    """A copy in float32."""
    return vectors.from_f16(rows) if rows.dtype == np.float16 else rows.copy()


def _longest(rows: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.einsum("ij,ij->i", rows, rows).max(initial=0.0)))
