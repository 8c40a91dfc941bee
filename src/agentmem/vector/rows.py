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

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

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
    n, dim = vectors.shape
    schema = arrow_schema(
        dim, half=vectors.dtype == np.float16, text_ids=text_ids, sources=sources is not None
    )
    levels = [r.level for r in records]
    scopes = [r.scope for r in records]
    columns: list[Any] = [
        [r.key for r in records],
        [r.seq for r in records],
        [id_to_str(r.id) for r in records] if text_ids else [r.id for r in records],
        [r.content for r in records],
        [r.content_hash for r in records],
        [r.metadata for r in records],
        [s.user_id for s in scopes],
        [s.agent_id for s in scopes],
        [s.run_id for s in scopes],
        [s.org_id for s in scopes],
        [r.actor_id for r in records],
        [r.role for r in records],
        [r.memory_type for r in records],
        [level if isinstance(level, str) else None for level in levels],
        [level if isinstance(level, int) else None for level in levels],
        [r.importance for r in records],
        [r.event_at for r in records],
        [r.created_at for r in records],
        [r.updated_at for r in records],
        [r.expires_at for r in records],
        [r.position for r in records],
        [r.idempotency_key for r in records],
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=False)]
    flat = np.ascontiguousarray(vectors).reshape(-1)
    arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), dim))
    if sources is not None:
        arrays.append(pa.array(sources.astype(np.int32)))
    assert len(records) == n
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
