"""JSONL: one memory per line, everything in it, read again by ``agentmem import``.

A line is what ``Memory.get`` returns, with ``idempotency_key`` and, where asked for, ``history``
and ``vector``: ``{"model_id", "source", "dtype", "data"}``, ``data`` being the base64 of the
stored little-endian numbers, ``source`` "model" (float16) or "caller" (float32).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentmem.cli.exporters.rows import Export, Row

__all__ = ["write"]

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def write(export: Export, stream: IO[bytes], progress: Callable[[int], None]) -> int:
    """Write all rows; returns how many.  ``progress`` hears the number after each page."""
    written = 0
    for page in export.pages:
        stream.write("".join(f"{_encode(_line(row, export))}\n" for row in page).encode())
        written += len(page)
        progress(written)
    return written


def _line(row: Row, export: Export) -> dict[str, Any]:
    line = dict(row.item)
    if row.vector is not None:
        kind = row.vector.dtype
        data = row.vector.astype(kind.newbyteorder("<")).tobytes()
        line["vector"] = {
            "model_id": export.model_id,
            "source": row.source,
            "dtype": kind.name,
            "data": base64.b64encode(data).decode(),
        }
    if row.history is not None:
        line["history"] = row.history
    return line
