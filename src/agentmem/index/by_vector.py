"""The rows of a shelf nearest to a vector: of a large volume by its clusters, of small ones by a
scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agentmem._native import scan
from agentmem.index.clusters import PROBED
from agentmem.index.question import Found

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.index.question import Masks, Question
    from agentmem.index.shelf import Shelf
    from agentmem.index.volume import Volume

__all__ = ["nearest"]

#: What the masks let through is gathered, and scored exactly, if it is this little.
_GATHERED = 1 / 16


def nearest(shelf: Shelf, asked: Question, masks: Masks, limit: int) -> Found:
    """The best ``limit`` rows of each volume that the masks let through, with exact cosines; of a
    volume with clusters about as many."""
    assert asked.vector is not None
    probed = PROBED[asked.mode]
    parts = []
    for number, (holding, mask) in enumerate(zip(shelf.holdings, masks, strict=True)):
        scores, slots = _of_volume(holding.volume, asked.vector, mask, limit, probed)
        below = float(scores[-1]) if len(scores) else 0.0
        parts.append(Found.of(number, scores, slots, below))
    return Found.best(parts)


def _of_volume(
    volume: Volume,
    vector: NDArray[np.float32],
    mask: NDArray[np.uint8] | None,
    limit: int,
    probed: float,
) -> tuple[NDArray[np.float32], NDArray[np.int32] | NDArray[np.int64]]:
    left = 1.0
    if mask is not None and volume.n:
        left = int(np.count_nonzero(mask)) / volume.n
        if left <= _GATHERED:
            return _best_of(volume, vector, np.flatnonzero(mask), limit)
    ranked = None if mask is None else mask[volume.slot_of]
    if volume.clusters is not None:
        share = min(1.0, probed / left)
        ranks = volume.clusters.near(vector, ranked, limit, share)
        return _best_of(volume, vector, volume.slot_of[ranks], limit)
    scores = np.empty(volume.n, np.float32)
    scan.dense_scores(volume.vectors, vector, scores)
    best, top = scan.top_k(scores, ranked, limit, None)
    return top, volume.slot_of[best]


def _best_of(
    volume: Volume,
    vector: NDArray[np.float32],
    slots: NDArray[np.int32] | NDArray[np.int64],
    limit: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32] | NDArray[np.int64]]:
    scores = np.empty(len(slots), np.float32)
    scan.dense_scores(volume.vectors_of(slots), vector, scores)
    best, top = scan.top_k(scores, None, limit, None)
    return top, slots[best]
