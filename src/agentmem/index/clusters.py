"""Which vectors lie close together: an inverted file over 8-bit codes.

Spherical k-means on a sample cuts the vectors into as many clusters as a cluster has members
(``sqrt(n)``); a search looks into the clusters whose centroids are nearest.  The codes lie
cluster by cluster, so that a probe reads one stretch of memory.  They only name candidates:
whoever asks scores those again from the vectors themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem._native import scan, vectors
from agentmem.index.volume import ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["CLUSTERED_FROM", "PROBED", "Clusters", "cluster", "coded"]

#: Rows from which clusters are worth making: below, a scan takes less than a millisecond.
CLUSTERED_FROM = 20_000
#: The share of the clusters that a search looks into (see docs/architecture.md for the recall).  In
#: hybrid search words name most of what matters, and what they miss costs less.
PROBED = {"hybrid": 1 / 12, "dense": 1 / 4}

_SAMPLE = 48  # vectors per cluster that k-means looks at
_ROUNDS = 8
_BLOCK = 8_192  # vectors at a time
_SLACK = 2  # candidates by codes for each one that is wanted


@dataclass(eq=False, slots=True)
class Clusters:
    """Of ``n`` vectors; nothing in it ever changes."""

    centroids: NDArray[np.float32]  # (c, dim), normalised
    starts: NDArray[np.int64]  # (c + 1,) into what follows
    ranks: NDArray[np.int32]  # (n,) the vectors, cluster after cluster
    scales: NDArray[np.float32]  # (n,) of their codes
    codes: NDArray[np.int8]  # (n, dim)

    def near(
        self, query: NDArray[np.float32], mask: NDArray[np.uint8] | None, limit: int, share: float
    ) -> NDArray[np.int32]:
        """About the ``limit`` nearest vectors that ``mask`` (by rank) lets through, and some more:
        from so large a share of the clusters, the nearest ones."""
        centred = np.empty(len(self.centroids), np.float32)
        scan.dense_scores(self.centroids, query, centred)
        probes, _ = scan.top_k(centred, None, max(1, round(share * len(centred))), None)
        codes, scales = vectors.quantize_int8(query[None, :])
        begins, ends = self.starts[probes], self.starts[probes + 1]
        sizes = ends - begins
        heads = np.cumsum(sizes) - sizes
        scores = np.empty(int(sizes.sum()), np.float32)
        scan.coded_scores(self.codes, self.scales, begins, ends, codes[0], float(scales[0]), scores)
        allowed = None if mask is None else mask[self.ranks[ranges(begins, sizes)]]
        best, _ = scan.top_k(scores, allowed, _SLACK * limit, None)
        probe = np.searchsorted(heads, best, side="right") - 1
        found: NDArray[np.int32] = self.ranks[begins[probe] + best - heads[probe]]
        return found

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, field.name).nbytes for field in fields(self))


def cluster(
    matrix: NDArray[Any],
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int32]]:
    """Centroids, starts and ranks of ``(n, dim)`` vectors; the same for the same vectors."""
    count = isqrt(len(matrix))
    step = max(1, len(matrix) // (_SAMPLE * count))
    sample = np.asarray(matrix[::step], np.float32)
    centroids = sample[:: max(1, len(sample) // count)][:count].copy()
    vectors.normalize(centroids)
    for _ in range(_ROUNDS):
        nearest = _assign(sample, centroids)
        order = np.argsort(nearest, kind="stable")
        found, first = np.unique(nearest[order], return_index=True)
        centroids[found] = np.add.reduceat(sample[order], first)  # an empty one stays
        vectors.normalize(centroids)
    assigned = np.concatenate([_assign(part, centroids) for part in _blocks(matrix)])
    starts = np.zeros(len(centroids) + 1, np.int64)
    np.cumsum(np.bincount(assigned, minlength=len(centroids)), out=starts[1:])
    return centroids, starts, np.argsort(assigned, kind="stable").astype(np.int32)


def coded(
    matrix: NDArray[Any], ranks: NDArray[np.int32]
) -> Iterator[tuple[NDArray[np.int8], NDArray[np.float32]]]:
    """Codes and scales of the vectors in the order of ``ranks``, a block at a time."""
    for begin in range(0, len(ranks), _BLOCK):
        part = np.asarray(matrix[ranks[begin : begin + _BLOCK]], np.float32)
        yield vectors.quantize_int8(part)


def _assign(part: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    """The nearest centroid of each vector."""
    nearest = np.empty(len(part), np.int64)
    for begin in range(0, len(part), _BLOCK):
        products = part[begin : begin + _BLOCK] @ centroids.T
        np.argmax(products, axis=1, out=nearest[begin : begin + _BLOCK])
    return nearest


def _blocks(matrix: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
    for begin in range(0, len(matrix), _BLOCK):
        yield np.asarray(matrix[begin : begin + _BLOCK], np.float32)
