"""An archive: a store, or the part of it that belongs to some scope, as it is.

The first line says what it is and how many rows of each kind follow; then there is one row per
line, as ``store.archive.COLUMNS`` names its values, with ``kind`` before them and nulls left out.
Ids are UUIDs, times are microseconds since 1970 UTC, ``metadata`` is the JSON text as it is
stored, ``vector`` and the ``data`` of a past one the base64 of the stored little-endian numbers
(float16 of a ``source`` "model", float32 of a "caller").  The last line is ``{"kind": "end"}``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from agentmem.ids import id_to_str
from agentmem.types import Event, VectorSource

if TYPE_CHECKING:
    from agentmem.ports import Progress
    from agentmem.store import Store
    from agentmem.types import Scope

__all__ = ["VERSION", "write"]

#: Of the layout; a reader refuses a higher one.
VERSION = 1

_ROWS = 1000  # lines written at once
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_AS_JSON: dict[str, Callable[[Any], Any]] = {
    "id": id_to_str,
    "event": lambda number: Event(number).name,
    "source": lambda number: VectorSource(number).name.lower(),
    "vector": lambda data: base64.b64encode(data).decode(),
    "data": lambda data: base64.b64encode(data).decode(),
}


def write(store: Store, scope: Scope, stream: IO[bytes], progress: Progress) -> dict[str, int]:
    """Write everything of ``scope``, or with an empty one of the whole store, as of now.

    Returns how many rows of each kind there are.
    """
    from agentmem.store.archive import COLUMNS, header_of, rows_of

    with store.read() as snapshot:
        header = header_of(snapshot, scope)
        lines = [
            _encode(
                {
                    "agentmem": "archive",
                    "version": VERSION,
                    "model_id": header.model_id,
                    "dim": header.dim,
                    "seq": header.seq,
                    "rows": header.counts,
                }
            )
        ]
        done, total = 0, sum(header.counts.values())
        for kind, values in rows_of(snapshot, scope):
            lines.append(_line(kind, COLUMNS[kind], values))
            done += 1
            if len(lines) >= _ROWS:
                stream.write(("\n".join(lines) + "\n").encode())
                lines.clear()
                progress(done, total)
        lines.append(_encode({"kind": "end"}))
        stream.write(("\n".join(lines) + "\n").encode())
        progress(done, total)
    return header.counts


def _line(kind: str, names: tuple[str, ...], values: tuple[Any, ...]) -> str:
    line = {"kind": kind}
    for name, value in zip(names, values, strict=True):
        if value is not None:
            line[name] = _AS_JSON[name](value) if name in _AS_JSON else value
    return _encode(line)
