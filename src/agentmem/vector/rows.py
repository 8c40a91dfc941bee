"""Memories as rows of Arrow: what the LanceDB table holds.

=================  =======================  ====================================================
column             type                     meaning
=================  =======================  ====================================================
key                int64                    the integer key in SQLite; never reused in one epoch
seq                int64                    the last event that changed the memory
id                 fixed_size_binary[16]    the UUID
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
vector             fixed_size_list[dim]     of float16
=================  =======================  ====================================================

This module imports pyarrow, so import it where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from agentmem._native import arrow
from agentmem._native import vectors as native
from agentmem.types import SCOPE_FIELDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.types import MemoryColumns

__all__ = ["arrow_rows", "arrow_schema"]

_TIME = pa.timestamp("us", tz="UTC")
_BYTES16 = pa.binary(16)


def arrow_schema(dim: int) -> pa.Schema:
    """The schema of ``arrow_rows`` for vectors of ``dim`` numbers."""
    text, number = pa.utf8(), pa.int64()
    return pa.schema(
        [
            ("key", number),
            ("seq", number),
            ("id", _BYTES16),
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
            ("vector", pa.list_(pa.float16(), dim)),
        ]
    )


def arrow_rows(rows: MemoryColumns) -> pa.RecordBatch:
    """One record batch of whole memories; a caller's vectors are rounded to float16, others are
    taken without a copy."""
    vectors: NDArray[Any] = rows.vectors
    if vectors.dtype != np.float16:
        vectors = native.to_f16(vectors)
    scopes = rows.scope_table
    schema = arrow_schema(vectors.shape[1])
    columns = {
        "key": _numbers(rows.key),
        "seq": _numbers(rows.seq),
        "id": _bytes16(rows.id),
        "content": arrow.utf8(rows.content),
        "content_hash": _bytes16(rows.content_hash),
        "metadata": arrow.utf8(rows.metadata),
        **{
            name: arrow.utf8(_looked_up({i: getattr(s, name) for i, s in scopes.items()}, rows))
            for name in SCOPE_FIELDS
        },
        "actor_id": arrow.utf8(rows.actor_id),
        "role": arrow.utf8(rows.role),
        "memory_type": arrow.utf8(rows.memory_type),
        "level": arrow.utf8([level if isinstance(level, str) else None for level in rows.level]),
        "level_number": _optional([None if isinstance(n, str) else n for n in rows.level]),
        "importance": _optional(rows.importance, np.float64),
        "event_at": arrow.timestamp(_int64(rows.event_at)),
        "created_at": arrow.timestamp(_int64(rows.created_at)),
        "updated_at": arrow.timestamp(_int64(rows.updated_at)),
        "expires_at": _optional(rows.expires_at, make=arrow.timestamp),
        "position": _numbers(rows.position),
        "idempotency_key": arrow.utf8(rows.idempotency_key),
        "vector": arrow.fixed_list(vectors),
    }
    batch = pa.record_batch(arrow.record_batch(columns))
    # The kernel has no float64; its eight bytes travelled as an integer.
    arrays = [
        column.view(pa.float64()) if name == "importance" else column
        for name, column in zip(schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _looked_up(names: dict[int, str | None], rows: MemoryColumns) -> list[str | None]:
    return list(map(names.__getitem__, rows.scope))


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
