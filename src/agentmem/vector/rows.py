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

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from agentmem._native import arrow
from agentmem._native import vectors as native
from agentmem.types import SCOPE_FIELDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.types import MemoryColumns, Strings

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
    """One record batch of whole memories, made of their buffers; a caller's vectors are rounded
    to float16."""
    vectors: NDArray[Any] = rows.vectors
    if vectors.dtype != np.float16:
        vectors = native.to_f16(vectors)
    columns = {
        "key": arrow.int64(rows.key),
        "seq": arrow.int64(rows.seq),
        "id": arrow.fixed_binary(rows.id, 16),
        "content": _texts(rows.content),
        "content_hash": arrow.fixed_binary(rows.content_hash, 16),
        "metadata": _texts(rows.metadata),
        **_scopes(rows),
        "actor_id": _texts(rows.actor_id),
        "role": _texts(rows.role),
        "memory_type": _texts(rows.memory_type),
        "level": _texts(rows.level),
        "level_number": arrow.int64(rows.level_number.values, rows.level_number.valid),
        "importance": arrow.float64(rows.importance.values, rows.importance.valid),
        "event_at": arrow.timestamp(rows.event_at),
        "created_at": arrow.timestamp(rows.created_at),
        "updated_at": arrow.timestamp(rows.updated_at),
        "expires_at": arrow.timestamp(rows.expires_at.values, rows.expires_at.valid),
        "position": arrow.int64(rows.position),
        "idempotency_key": _texts(rows.idempotency_key),
        "vector": arrow.fixed_list(vectors),
    }
    return pa.record_batch(arrow.record_batch(columns))


def _texts(column: Strings) -> arrow.Column:
    return arrow.utf8_parts(column.offsets, column.data, column.valid)


def _scopes(rows: MemoryColumns) -> dict[str, arrow.Column]:
    """The columns of the scope's ids: few different ones, each of many rows."""
    numbers, places = np.unique(rows.scope, return_inverse=True)
    scopes = [rows.scope_table[number] for number in numbers.tolist()]
    return {
        name: arrow.utf8_at(places, [getattr(scope, name) for scope in scopes])
        for name in SCOPE_FIELDS
    }
