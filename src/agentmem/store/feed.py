"""The log's tail as whole rows, column by column: what a projection copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from agentmem.store.arrays import join_vectors
from agentmem.store.connection import Connection
from agentmem.store.rows import integers, scope_table
from agentmem.types import MemoryColumns, Scope, Tail

__all__ = ["columns_of", "tail"]

_T = TypeVar("_T")

#: Of ``memories``; the fields of ``MemoryColumns`` that are columns.
_NAMES = (
    "key", "seq", "id", "content", "content_hash", "metadata", "scope", "actor_id", "role",
    "memory_type", "level", "importance", "event_at", "created_at", "updated_at", "expires_at",
    "position", "idempotency_key",
)  # fmt: skip
_COLUMNS = ", ".join(f"m.{name}" for name in _NAMES) + ", v.source, v.data"
#: CROSS JOIN keeps the order: walk the keys, look each one up.
_KEYED = (
    f"SELECT {_COLUMNS} FROM carray(?) c CROSS JOIN memories m ON m.key = c.value"
    " JOIN vectors v ON v.key = m.key"
)
_ADDED = (
    f"SELECT {_COLUMNS} FROM memories m CROSS JOIN vectors v ON v.key = m.key"
    " WHERE m.key > ? AND m.key <= ? ORDER BY m.key LIMIT ?"
)
_SIZE = "octet_length(m.content) + ifnull(octet_length(m.metadata), 0)"
#: The first memory at which a size is reached.
_CUT = (
    "SELECT key FROM (SELECT m.key AS key,"
    f" sum({_SIZE} + ?) OVER (ORDER BY m.key ROWS UNBOUNDED PRECEDING) AS size"
    " FROM memories m WHERE m.key > ? AND m.key <= ?) WHERE size >= ? LIMIT 1"
)
#: Memories of before ``?1``: a key is the number of the event that added it.
_NAMED = (
    f"SELECT e.seq, e.key, {_SIZE} FROM events e LEFT JOIN memories m ON m.key = e.key"
    " WHERE e.seq > ?1 AND e.seq <= ?2 AND e.key <= ?1 ORDER BY e.seq"
)

#: Rows that are Python objects at the same time: as such they take three times the space.
_PIECE = 2_000
_ROW_BYTES = 200  # of a row, beside its text and its vector


def columns_of(
    db: Connection, keys: Sequence[int], dim: int, known: dict[int, Scope]
) -> MemoryColumns:
    """The live memories among ``keys``, in that order; ``known`` caches scopes."""
    return _columns(db, db.rows(_KEYED, (integers(keys),)), dim, known)


def tail(
    db: Connection,
    since: int,
    upto: int,
    make: Callable[[MemoryColumns], _T],
    *,
    dim: int,
    known: dict[int, Scope],
    size: int,
) -> Tail[_T]:
    """See ``ports.Snapshot.tail``; it ends with event ``upto`` at the latest."""
    row_bytes = 2 * dim + _ROW_BYTES
    upto, here, gone, used = _named(db, since, upto, row_bytes, size)
    cut = db.value(_CUT, (row_bytes, since, upto, size - used))
    upto = upto if cut is None else cut
    changed = [
        make(columns_of(db, here[start : start + _PIECE], dim, known))
        for start in range(0, len(here), _PIECE)
    ]
    added = []
    after = since
    while rows := db.rows(_ADDED, (after, upto, _PIECE)):
        after = rows[-1][0]
        added.append(make(_columns(db, rows, dim, known)))
        if len(rows) < _PIECE:
            break
    return Tail(seq=max(since, upto), added=added, changed=changed, gone=gone)


def _named(
    db: Connection, since: int, upto: int, row_bytes: int, size: int
) -> tuple[int, list[int], list[int], int]:
    """Of the memories there were before ``since``: the last event whose row still fits, the keys
    that are there, the keys that are gone, and bytes of the rows."""
    here: set[int] = set()
    gone: set[int] = set()
    used = 0
    for seq, key, text in db.rows(_NAMED, (since, upto)):
        if text is None:
            gone.add(key)
        elif key not in here:
            here.add(key)
            used += text + row_bytes
            if used >= size:
                upto = seq
                break
    return upto, sorted(here), sorted(gone), used


def _columns(
    db: Connection, rows: list[tuple[Any, ...]], dim: int, known: dict[int, Scope]
) -> MemoryColumns:
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * (len(_NAMES) + 2)
    *fields, sources, blobs = columns
    named = dict(zip(_NAMES, fields, strict=True))
    return MemoryColumns(
        **named,
        vectors=join_vectors(blobs, sources, dim),
        scope_table=scope_table(db, set(named["scope"]), known),
    )
