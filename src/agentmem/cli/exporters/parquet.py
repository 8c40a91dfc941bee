"""Parquet: one row per memory, typed columns, for pandas, Polars, DuckDB, Spark.

Metadata and history are JSON text, a level is text, vectors are float32 lists of fixed size; the
model's id is in the schema's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from agentmem.cli.exporters.rows import Export, Row

__all__ = ["write"]

_TEXTS = (
    "id",
    "memory",
    "hash",
    "metadata",
    "user_id",
    "agent_id",
    "run_id",
    "org_id",
    "actor_id",
    "role",
    "memory_type",
    "level",
    "idempotency_key",
)
_TIMES = ("timestamp", "created_at", "updated_at", "expiration_date")


def write(export: Export, stream: IO[bytes], progress: Callable[[int], None]) -> int:
    """Write all rows, a row group per page; returns how many rows."""
    import pyarrow.parquet as pq

    schema = _schema(export)
    written = 0
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for page in export.pages:
            writer.write_table(_table(page, schema))
            written += len(page)
            progress(written)
    return written


def _schema(export: Export) -> pa.Schema:
    import pyarrow as pa

    fields = [pa.field(name, pa.string()) for name in _TEXTS]
    fields += [pa.field(name, pa.timestamp("us", tz="UTC")) for name in _TIMES]
    fields.append(pa.field("importance", pa.float64()))
    if export.with_vectors:
        fields.append(pa.field("vector", pa.list_(pa.float32(), export.dim or -1)))
        fields.append(pa.field("vector_source", pa.string()))
    if export.with_history:
        fields.append(pa.field("history", pa.string()))
    return pa.schema(fields, metadata={"agentmem.model_id": export.model_id})


def _table(page: list[Row], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = [pa.array(_column(page, field), type=field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(page: list[Row], field: pa.Field) -> list[Any]:
    name = field.name
    if name == "vector":
        return [row.vector for row in page]
    if name == "vector_source":
        return [row.source for row in page]
    if name == "history":
        return [_json(row.history) for row in page]
    values = [row.item.get(name) for row in page]
    if name in _TIMES:
        return [None if value is None else datetime.fromisoformat(value) for value in values]
    if name in ("metadata", "level"):
        return [value if isinstance(value, str) else _json(value) for value in values]
    return values


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)
