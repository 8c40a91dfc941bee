"""Inserting memories: rows, vectors, keyword rows and events, a table at a time.

Large batches go through ``carray``: one statement that walks the keys inside SQLite, 1.7 times
(vectors) to 3 times (events) as fast as binding row by row.  For a few rows the set-up of that
costs more than it saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, repeat
from operator import attrgetter
from typing import TYPE_CHECKING
from uuid import UUID

import apsw

from agentmem.errors import ConflictError
from agentmem.inputs import shorten
from agentmem.store import lookups
from agentmem.store.connection import Connection
from agentmem.store.rows import find_scopes, integers, make_scope, read_texts
from agentmem.store.schema import MEMORY_COLUMNS, shelf_of
from agentmem.types import Event, NewMemory, Scope, TermBatch, VectorSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["add_events", "add_rows", "add_terms", "add_vectors"]

_MANY = 8  # rows from which on ``carray`` is faster

_ROW = (
    f"INSERT INTO memories({', '.join(MEMORY_COLUMNS)}, shelf)"
    f" VALUES ({', '.join('?' * len(MEMORY_COLUMNS))}, ?)"
)
_VECTOR = "INSERT INTO vectors(key, source, data) VALUES (?, ?, ?)"
_VECTORS = (
    "INSERT INTO vectors(key, source, data)"
    " SELECT value, ?2, substr(?3, 1 + (value - ?4) * ?5, ?5) FROM carray(?1)"
)
_TERMS = "INSERT INTO terms(key, length, terms, counts) VALUES (?, ?, ?, ?)"
_EVENT = f"INSERT INTO events(seq, key, event, at) VALUES (?1, ?1, {int(Event.ADD)}, ?2)"
_EVENTS = (
    "INSERT INTO events(seq, key, event, at)"
    f" SELECT value, value, {int(Event.ADD)}, ?2 FROM carray(?1)"
)


def add_rows(
    connection: Connection,
    memories: Sequence[NewMemory],
    keys: range,
    now: int,
) -> None:
    """
    Raises:
        ConflictError: an id or idempotency key is taken; names the first.
    """
    scopes, positions = _places(connection, memories)
    rows = [
        (key, m.id, scope, m.content, m.content_hash, m.actor_id, m.role, m.memory_type, m.level,
         m.importance, m.metadata, now if m.event_at is None else m.event_at, now, now,
         m.expires_at, position, key, m.idempotency_key,
         shelf_of(position))
        for key, m, scope, position in zip(keys, memories, scopes, positions, strict=True)
    ]  # fmt: skip
    try:
        connection.many(_ROW, rows)
    except apsw.ConstraintError as error:
        raise _conflict(connection, memories, keys.start) from error


def _places(connection: Connection, memories: Sequence[NewMemory]) -> tuple[list[int], list[int]]:
    """Per memory its scope id and its position in that scope."""
    places = find_scopes(connection, (memory.scope for memory in memories))
    numbers: list[int] = []
    positions: list[int] = []
    for scope, each in groupby(memories, attrgetter("scope")):
        hashes = [memory.content_hash for memory in each]
        place = places.get(scope)
        if place is None:
            place = places[scope] = make_scope(connection, scope)
        elif connection.places.worth_reading(place):
            read_texts(connection, place)
        numbers += repeat(place.number, len(hashes))
        positions += range(place.position, place.position + len(hashes))
        place.position += len(hashes)
        connection.places.note(place, hashes)
    connection.many(
        "UPDATE scopes SET next_position = ?2 WHERE scope = ?1",
        [(place.number, place.position) for place in places.values()],
    )
    return numbers, positions


def _conflict(connection: Connection, memories: Sequence[NewMemory], first: int) -> ConflictError:
    """Which id or idempotency key was already taken: the first, in input order."""
    rows = lookups.by_ids(connection, [m.id for m in memories], "m.key, m.id")
    taken = {row[1] for row in rows if row[0] < first}
    used: set[tuple[Scope, str]] = set()
    for memory in memories:
        if memory.id in taken:
            return ConflictError(
                f"the id {UUID(bytes=memory.id)} is already taken by another memory; "
                "leave the id out, or update that memory"
            )
        taken.add(memory.id)
        if memory.idempotency_key is None:
            continue
        token = (memory.scope, memory.idempotency_key)
        held = lookups.idempotent(connection, [memory.scope], [memory.idempotency_key])[0]
        if token in used or (held is not None and held < first):
            return ConflictError(
                f"the idempotency key {shorten(memory.idempotency_key)} is already taken in its"
                " scope"
            )
        used.add(token)
    return ConflictError("an id or idempotency key is already taken by another memory")


def add_vectors(
    connection: Connection,
    keys: range,
    vectors: NDArray[np.float32],
    sources: Sequence[VectorSource],
) -> None:
    """``(n, dim)`` vectors of consecutive ``keys``."""
    from agentmem.store.arrays import pack_vectors, slice_vectors

    source = sources[0]
    if len(keys) < _MANY or any(one != source for one in sources):
        blobs = slice_vectors(vectors, sources)
        connection.many(_VECTOR, zip(keys, map(int, sources), blobs, strict=True))
        return
    data, width = pack_vectors(vectors, source)
    connection.execute(_VECTORS, (integers(keys), int(source), data, keys.start, width))


def add_terms(connection: Connection, keys: range, terms: TermBatch) -> None:
    from agentmem.store.arrays import slice_terms

    connection.many(
        _TERMS, [(key, *row) for key, row in zip(keys, slice_terms(terms), strict=True)]
    )


def add_events(connection: Connection, keys: range, now: int) -> None:
    if len(keys) < _MANY:
        connection.many(_EVENT, [(key, now) for key in keys])
    else:
        connection.execute(_EVENTS, (integers(keys), now))
