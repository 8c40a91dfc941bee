"""The same columns by way of lists."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np

__all__ = ["gather"]

_TYPES: dict[str, type] = {"i": int, "d": float, "t": str, "b": bytes, "o": object}


def gather(
    rows: Iterator[tuple[Any, ...]], kinds: str, most: int, size: int
) -> tuple[int, int, list[Any]]:
    if not set(kinds) <= set(_TYPES):
        raise ValueError(f"a column is of kind i, d, t, b or o, not {kinds!r}")
    taken: list[tuple[Any, ...]] = []
    filled = 0
    while len(taken) < most and (not taken or filled < size):
        row = next(rows, None)
        if row is None:
            break
        if type(row) is not tuple or len(row) != len(kinds):
            raise ValueError(f"a row must be a tuple of {len(kinds)} values")
        for kind, value in zip(kinds, row, strict=True):
            if value is not None and not isinstance(value, _TYPES[kind]):
                raise TypeError(f"a column of kind {kind} holds a {type(value).__name__}")
            filled += 8 if kind in "ido" else 4 + len(_bytes(value))
        taken.append(row)
    return len(taken), filled, [_column(k, [row[j] for row in taken]) for j, k in enumerate(kinds)]


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return value or b""


def _column(kind: str, values: list[Any]) -> Any:
    if kind == "o":
        return values
    present = np.array([value is not None for value in values], dtype=np.uint8)
    valid = None if present.all() else present
    if kind in "id":
        dtype = np.int64 if kind == "i" else np.float64
        return np.array([0 if value is None else value for value in values], dtype=dtype), valid
    pieces = [_bytes(value) for value in values]
    offsets = np.array(list(accumulate(map(len, pieces), initial=0)), dtype=np.int32)
    return offsets, np.frombuffer(b"".join(pieces), dtype=np.uint8), valid
