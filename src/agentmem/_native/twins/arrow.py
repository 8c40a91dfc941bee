"""The same columns by pyarrow itself, which copies what it does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem._native.twins.kinds import Floats, Halves, Mask

__all__ = [
    "fixed_binary",
    "fixed_list",
    "float32",
    "float64",
    "int32",
    "int64",
    "record_batch",
    "timestamp",
    "utf8",
    "utf8_at",
    "utf8_parts",
]


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


def float64(values: NDArray[np.float64], valid: Mask = None) -> Any:
    import pyarrow as pa

    return _primitive(values, pa.float64(), valid)


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


def utf8_parts(
    offsets: NDArray[np.int32], data: bytes | NDArray[np.uint8], valid: Mask = None
) -> Any:
    text, ends = bytes(data), offsets.tolist()
    if ends[0] != 0 or ends != sorted(ends) or ends[-1] > len(text):
        raise ValueError("offsets must begin with 0, not fall, and end inside the data")
    values = [text[a:b].decode() for a, b in pairwise(ends)]
    present = [True] * len(values) if valid is None else valid.tolist()
    return utf8([text if there else None for text, there in zip(values, present, strict=True)])


def utf8_at(places: NDArray[np.int64], values: Sequence[str | None]) -> Any:
    if any(not 0 <= place < len(values) for place in places.tolist()):
        raise ValueError(f"a place is none of {len(values)} values")
    return utf8([values[place] for place in places.tolist()])


def record_batch(columns: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    return pa.record_batch(dict(columns))
