"""Rows to columns."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["split"]

_DTYPES = {"q": np.int64, "I": np.uint32, "f": np.float32}


def split(rows: list[tuple[Any, ...]], kinds: str) -> list[Any]:
    made: list[Any] = []
    for at, kind in enumerate(kinds):
        column = [row[at] for row in rows]
        if kind == "b":
            made.append((b"".join(column), np.array([len(one) for one in column], np.int64)))
        elif kind == "o":
            made.append(column)
        else:
            made.append(np.array(column, _DTYPES[kind]))  # None becomes NaN
    return made
