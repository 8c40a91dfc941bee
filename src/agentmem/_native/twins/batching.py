"""Tokenised batching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Batches", "flatten", "make_batches"]


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
