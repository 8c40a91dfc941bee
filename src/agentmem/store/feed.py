"""The log's tail as whole rows, column by column: what a projection copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import closing
from typing import Any, TypeVar

from agentmem._native.gather import gather
from agentmem.store.arrays import stored_vectors
from agentmem.store.connection import Connection
from agentmem.store.rows import integers, scope_table
from agentmem.types import MemoryColumns, Numbers, Scope, Strings, Tail

__all__ = ["columns_of", "tail"]

_T = TypeVar("_T")

#: What is read of a memory, and its kind (``gather``).
_READ = {
    "m.key": "i", "m.seq": "i", "m.id": "b", "m.content": "t", "m.content_hash": "b",
    "m.metadata": "t", "m.scope": "i", "m.actor_id": "t", "m.role": "t", "m.memory_type": "t",
    "iif(typeof(m.level) = 'text', m.level, NULL)": "t",
    "iif(typeof(m.level) = 'text', NULL, m.level)": "i",
    "m.importance": "d", "m.event_at": "i", "m.created_at": "i", "m.updated_at": "i",
    "m.expires_at": "i", "m.position": "i", "m.idempotency_key": "t", "v.source": "i",
    "v.data": "b",
}  # fmt: skip
_COLUMNS = ", ".join(_READ)
_KINDS = "".join(_READ.values())
#: CROSS JOIN keeps the order: walk the keys, look each one up.
_KEYED = (
    f"SELECT {_COLUMNS} FROM carray(?) c CROSS JOIN memories m ON m.key = c.value"
    " JOIN vectors v ON v.key = m.key"
)
_ADDED = (
    f"SELECT {_COLUMNS} FROM memories m CROSS JOIN vectors v ON v.key = m.key"
    " WHERE m.key > ? AND m.key <= ? ORDER BY m.key"
)
_SIZE = "octet_length(m.content) + ifnull(octet_length(m.metadata), 0)"
#: Memories of before ``?1``: a key is the number of the event that added it.
_NAMED = (
    f"SELECT e.seq, e.key, {_SIZE} FROM events e LEFT JOIN memories m ON m.key = e.key"
    " WHERE e.seq > ?1 AND e.seq <= ?2 AND e.key <= ?1 ORDER BY e.seq"
)

#: Rows of one part: as quick as more of them, and little is held twice while its buffers grow.
_PIECE = 4_000
_ANY = 1 << 62  # bytes
_ROW_BYTES = 200  # of a row, beside its text and its vector


def columns_of(
    db: Connection, keys: Sequence[int], dim: int, known: MutableMapping[int, Scope]
) -> MemoryColumns:
    """The live memories among ``keys``, in that order; ``known`` caches scopes."""
    rows = db.each(_KEYED, (integers(keys),))
    _, columns = _taken(db, rows, len(keys), _ANY, dim, known)
    return columns


def tail(
    db: Connection,
    since: int,
    upto: int,
    make: Callable[[MemoryColumns], _T],
    *,
    dim: int,
    known: MutableMapping[int, Scope],
    size: int,
) -> Tail[_T]:
    """See ``ports.Snapshot.tail``; it ends with event ``upto`` at the latest."""
    upto, here, gone, used = _named(db, since, upto, 2 * dim + _ROW_BYTES, size)
    changed = [
        make(columns_of(db, here[start : start + _PIECE], dim, known))
        for start in range(0, len(here), _PIECE)
    ]
    added = []
    left = max(1, size - used)
    with closing(db.each(_ADDED, (since, upto))) as rows:
        while left > 0:
            filled, columns = _taken(db, rows, _PIECE, left, dim, known)
            if not filled:
                break
            left -= filled
            if left <= 0:
                upto = int(columns.key[-1])
            added.append(make(columns))
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


def _taken(
    db: Connection,
    rows: Iterator[tuple[Any, ...]],
    most: int,
    size: int,
    dim: int,
    known: MutableMapping[int, Scope],
) -> tuple[int, MemoryColumns]:
    """The next of ``rows``, at most so many and until they fill ``size`` bytes; the bytes, 0
    where there were none."""
    _, filled, columns = gather(rows, _KINDS, most, size)
    (
        (key, _), (seq, _), (_, id_, _), content, (_, content_hash, _), metadata, (scope, _),
        actor_id, role, memory_type, level, level_number, importance, (event_at, _),
        (created_at, _), (updated_at, _), expires_at, (position, _), idempotency_key,
        (sources, _), blobs,
    ) = columns  # fmt: skip
    return filled, MemoryColumns(
        key=key,
        seq=seq,
        id=id_,
        content=Strings(*content),
        content_hash=content_hash,
        metadata=Strings(*metadata),
        scope=scope,
        actor_id=Strings(*actor_id),
        role=Strings(*role),
        memory_type=Strings(*memory_type),
        level=Strings(*level),
        level_number=Numbers(*level_number),
        importance=Numbers(*importance),
        event_at=event_at,
        created_at=created_at,
        updated_at=updated_at,
        expires_at=Numbers(*expires_at),
        position=position,
        idempotency_key=Strings(*idempotency_key),
        vectors=stored_vectors(Strings(*blobs), sources, dim),
        scope_table=scope_table(db, set(scope.tolist()), known),
    )
