"""The rows of a shelf nearest to a vector: of a large volume by somebody else's index and a scan
of what that does not know yet, of small ones by a scan."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from agentmem._native import scan
from agentmem.index.question import Found

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.index.question import Masks, Near
    from agentmem.index.shelf import Shelf
    from agentmem.index.volume import Volume

__all__ = ["nearest"]

_SCANNED = 20_000  # rows of a volume that are scanned sooner than asked for elsewhere
_MOST = 8_192  # rows asked for elsewhere; where masks would need more, a scan costs less
_FEW = 4  # a share of 1/_FEW of a volume is gathered before it is scanned


def nearest(
    shelf: Shelf, vector: NDArray[np.float32], near: Near | None, masks: Masks, limit: int
) -> Found:
    """About ``limit`` rows that the masks let through, with their exact cosines."""
    answer = None
    if near is not None and any(holding.volume.n > _SCANNED for holding in shelf.holdings):
        wide = ceil(limit * _widening(shelf, masks))
        answer = near(vector, wide) if wide <= _MOST else None
    parts = []
    for number, (holding, mask) in enumerate(zip(shelf.holdings, masks, strict=True)):
        volume = holding.volume
        slots = None
        if answer is not None and volume.n > _SCANNED:
            keys, seq = answer
            late = volume.since(seq)
            if len(late) * _FEW < volume.n:
                slots = np.unique(np.concatenate([volume.find(keys), late]))
                slots = slots if mask is None else slots[mask[slots] == 1]
        if slots is None and mask is not None and np.count_nonzero(mask) * _FEW < volume.n:
            slots = np.flatnonzero(mask)
        scores, best = _scan(volume, vector, slots, mask, limit)
        parts.append(Found(scores, np.full(len(best), number), best.astype(np.int64)))
    return Found.best(parts)


def _widening(shelf: Shelf, masks: Masks) -> float:
    """How many rows there are for each one that the masks let through."""
    if all(mask is None for mask in masks):
        return 1.0
    left = sum(
        holding.volume.n if mask is None else int(np.count_nonzero(mask))
        for holding, mask in zip(shelf.holdings, masks, strict=True)
    )
    return sum(holding.volume.n for holding in shelf.holdings) / left if left else 1.0


def _scan(
    volume: Volume,
    vector: NDArray[np.float32],
    slots: NDArray[np.int64] | NDArray[np.int32] | None,
    mask: NDArray[np.uint8] | None,
    limit: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64] | NDArray[np.int32]]:
    """The best of some slots, which the mask has let through already, or of all."""
    if slots is None:
        slots, matrix = volume.slot_of, volume.vectors
        mask = None if mask is None else mask[slots]
    else:
        matrix, mask = volume.vectors_of(slots), None
    scores = np.empty(len(matrix), np.float32)
    scan.dense_scores(matrix, vector, scores)
    best, top = scan.top_k(scores, mask, limit, None)
    return top, slots[best]
