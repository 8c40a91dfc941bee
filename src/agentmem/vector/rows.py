"""Memories as rows of Arrow: what the LanceDB table and Parquet files hold.

=================  =======================  ====================================================
column             type                     meaning
=================  =======================  ====================================================
key                int64                    the integer key in SQLite; never reused in one epoch
seq                int64                    the last event that changed the memory
id                 fixed_size_binary[16]    the UUID; with ``text_ids`` a string
content            string
content_hash       fixed_size_binary[16]    BLAKE2b-128 of the content's UTF-8
metadata           string or null           a JSON object
user_id … org_id   string or null           the scope
actor_id, role     string or null
memory_type        string
level              string or null           a level that is a word
level_number       int64 or null            a level that is a number
importance         double or null
event_at           timestamp[us, UTC]       when it happened
created_at         timestamp[us, UTC]
updated_at         timestamp[us, UTC]
expires_at         timestamp[us, UTC]       null: never
position           int64                    0, 1, 2... within its exact scope
idempotency_key    string or null
vector             fixed_size_list[dim]     of float16 or float32, as the array given
vector_source      int32                    a ``VectorSource``; only where sources are given
=================  =======================  ====================================================

This module imports pyarrow, so import it where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from agentmem._native import arrow
from agentmem.ids import id_to_str

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.types import Record

__all__ = ["arrow_rows", "arrow_schema"]

_TIME = pa.timestamp("us", tz="UTC")
_BYTES16 = pa.binary(16)


def arrow_schema(
    dim: int, *, half: bool, text_ids: bool = False, sources: bool = False
) -> pa.Schema:
    """The schema of ``arrow_rows`` for vectors of ``dim`` numbers, float16 where ``half``."""
    text, number = pa.utf8(), pa.int64()
    fields = [
        ("key", number),
        ("seq", number),
        ("id", text if text_ids else _BYTES16),
        ("content", text),
        ("content_hash", _BYTES16),
        ("metadata", text),
        ("user_id", text),
        ("agent_id", text),
        ("run_id", text),
        ("org_id", text),
        ("actor_id", text),
        ("role", text),
        ("memory_type", text),
        ("level", text),
        ("level_number", number),
        ("importance", pa.float64()),
        ("event_at", _TIME),
        ("created_at", _TIME),
        ("updated_at", _TIME),
        ("expires_at", _TIME),
        ("position", number),
        ("idempotency_key", text),
        ("vector", pa.list_(pa.float16() if half else pa.float32(), dim)),
    ]
    if sources:
        fields.append(("vector_source", pa.int32()))
    return pa.schema(fields)


def arrow_rows(
    records: Sequence[Record],
    vectors: NDArray[np.float16] | NDArray[np.float32],
    *,
    sources: NDArray[np.uint8] | None = None,
    text_ids: bool = False,
) -> pa.RecordBatch:
    """One record batch of whole memories; ``vectors[i]`` (``(n, dim)``, taken without a copy if
    C-contiguous) and ``sources[i]`` belong to ``records[i]``."""
    sourced = sources is not None
    half = vectors.dtype == np.float16
    schema = arrow_schema(vectors.shape[1], half=half, text_ids=text_ids, sources=sourced)
    rows: Any = np.ascontiguousarray(vectors)
    scopes = [r.scope for r in records]
    levels = [r.level for r in records]
    ids = [r.id for r in records]
    columns = {
        "key": _numbers([r.key for r in records]),
        "seq": _numbers([r.seq for r in records]),
        "id": arrow.utf8([id_to_str(i) for i in ids]) if text_ids else _bytes16(ids),
        "content": arrow.utf8([r.content for r in records]),
        "content_hash": _bytes16([r.content_hash for r in records]),
        "metadata": arrow.utf8([r.metadata for r in records]),
        "user_id": arrow.utf8([s.user_id for s in scopes]),
        "agent_id": arrow.utf8([s.agent_id for s in scopes]),
        "run_id": arrow.utf8([s.run_id for s in scopes]),
        "org_id": arrow.utf8([s.org_id for s in scopes]),
        "actor_id": arrow.utf8([r.actor_id for r in records]),
        "role": arrow.utf8([r.role for r in records]),
        "memory_type": arrow.utf8([r.memory_type for r in records]),
        "level": arrow.utf8([level if isinstance(level, str) else None for level in levels]),
        "level_number": _optional([None if isinstance(level, str) else level for level in levels]),
        "importance": _optional([r.importance for r in records], np.float64),
        "event_at": arrow.timestamp(_int64([r.event_at for r in records])),
        "created_at": arrow.timestamp(_int64([r.created_at for r in records])),
        "updated_at": arrow.timestamp(_int64([r.updated_at for r in records])),
        "expires_at": _optional([r.expires_at for r in records], make=arrow.timestamp),
        "position": _numbers([r.position for r in records]),
        "idempotency_key": arrow.utf8([r.idempotency_key for r in records]),
        "vector": arrow.fixed_list(rows),
    }
    if sources is not None:
        columns["vector_source"] = arrow.int32(sources.astype(np.int32))
    batch = pa.record_batch(arrow.record_batch(columns))
    # The kernel has no float64; its eight bytes travelled as an integer.
    arrays = [
        column.view(pa.float64()) if name == "importance" else column
        for name, column in zip(schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _int64(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _numbers(values: Sequence[int]) -> arrow.Column:
    return arrow.int64(_int64(values))


def _bytes16(values: Sequence[bytes]) -> arrow.Column:
    return arrow.fixed_binary(b"".join(values), 16)


def _optional(
    values: Sequence[float | None],
    dtype: type[np.int64] | type[np.float64] = np.int64,
    make: Callable[[NDArray[np.int64], NDArray[np.bool_]], arrow.Column] = arrow.int64,
) -> arrow.Column:
    """A column of eight-byte numbers of which some are missing."""
    present = np.array([value is not None for value in values], dtype=np.bool_)
    filled = np.array([0 if value is None else value for value in values], dtype=dtype)
    return make(filled.view(np.int64), present)
