"""Questions by id, by (scope, text) and by (scope, idempotency key), for many items at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from agentmem.store.connection import Connection
from agentmem.store.rows import find_scopes, integers
from agentmem.store.schema import shelf_of
from agentmem.types import Scope, VectorSource

#: (scope id, content hash, key) of one shelf; of many hashes on many shelves; of many hashes
#: wherever they are.  The last two walk the index alone, and with a time read the rows found.
_ONE = (
    "SELECT m.scope, m.content_hash, m.key FROM memories m INDEXED BY memories_text"
    " WHERE m.scope = ?1 AND m.shelf = ?2 AND m.content_hash = ?3"
)
_SEEK = (
    "SELECT m.scope, m.content_hash, min(m.key) FROM carray(?2) h CROSS JOIN carray(?3) b"
    " CROSS JOIN memories m INDEXED BY memories_text ON m.scope = ?1 AND m.shelf = b.value"
    " AND m.content_hash = h.value"
)
_SCAN = (
    "SELECT m.scope, m.content_hash, min(m.key) FROM memories m INDEXED BY memories_text"
    " WHERE m.scope = ?1 AND +m.content_hash IN carray(?2)"
)
_UNEXPIRED = " AND (m.expires_at IS NULL OR m.expires_at > ?{})"  # the time is the last parameter
_FIRST = " ORDER BY m.key LIMIT 1"
_EACH = " GROUP BY m.content_hash"
_FEW = 8  # look-ups of a scope that are made one by one, in one prepared statement
_SEEK_COST = 6  # index entries walked in the time of one look-up

__all__ = ["by_ids", "duplicates", "idempotent", "known_vectors", "stats"]


def by_ids(connection: Connection, ids: Sequence[bytes], columns: str) -> list[tuple[Any, ...]]:
    """Rows of the live memories ``m`` among ``ids``."""
    if len(ids) == 1:
        return connection.rows(f"SELECT {columns} FROM memories m WHERE m.id = ?", ids)
    if not ids:
        return []
    return connection.rows(
        f"SELECT {columns} FROM memories m WHERE m.id IN carray(?)", (apsw.carray(tuple(ids)),)
    )


def known_vectors(
    connection: Connection, scopes: Sequence[Scope], hashes: Sequence[bytes]
) -> list[bytes | None]:
    keys = duplicates(connection, scopes, hashes)
    if not any(keys):
        return [None] * len(keys)
    stored: dict[int, bytes] = dict(
        connection.rows(
            f"SELECT key, data FROM vectors WHERE source = {int(VectorSource.MODEL)}"
            " AND key IN carray(?)",
            (integers({key for key in keys if key is not None}),),
        )
    )
    found = [None if key is None else stored.get(key) for key in keys]
    for i, key in enumerate(keys):
        if key is not None and found[i] is None:  # the oldest has a caller's; another may not
            found[i] = _model_vector(connection, scopes[i], hashes[i])
    return found


def _model_vector(connection: Connection, scope: Scope, content_hash: bytes) -> bytes | None:
    place = find_scopes(connection, [scope])[scope]
    found: bytes | None = connection.value(
        "SELECT v.data FROM carray(?) b CROSS JOIN memories m INDEXED BY memories_text"
        " ON m.scope = ? AND m.shelf = b.value AND m.content_hash = ?"
        f" JOIN vectors v ON v.key = m.key AND v.source = {int(VectorSource.MODEL)} LIMIT 1",
        (integers(_shelves(place.position)), place.number, content_hash),
    )
    return found


def duplicates(
    connection: Connection,
    scopes: Sequence[Scope],
    hashes: Sequence[bytes],
    at: int | None = None,
) -> list[int | None]:
    """Per item the oldest memory of its scope and text, of those unexpired ``at`` a time."""
    when = () if at is None else (at,)
    one, seek, scan = (
        sql + (_UNEXPIRED.format(count) if when else "") + end
        for sql, count, end in ((_ONE, 4, _FIRST), (_SEEK, 4, _EACH), (_SCAN, 3, _EACH))
    )
    rows: list[tuple[Any, ...]] = []
    few: list[tuple[int | bytes, ...]] = []
    wanted = _group(connection, scopes, hashes)
    for (number, positions), places in wanted.items():
        shelves = _shelves(positions)
        steps = len(places) * len(shelves)
        if steps <= _FEW:
            few.extend((number, shelf, value, *when) for value in places for shelf in shelves)
        elif steps * _SEEK_COST < positions:
            texts = apsw.carray(tuple(places))
            rows.extend(connection.rows(seek, (number, texts, integers(shelves), *when)))
        else:
            rows.extend(connection.rows(scan, (number, apsw.carray(tuple(places)), *when)))
    if few:
        rows.extend(connection.rows_of_many(one, few))
    return _answers(wanted, rows, len(hashes))


def idempotent(
    connection: Connection, scopes: Sequence[Scope], keys: Sequence[str | None]
) -> list[int | None]:
    wanted = _group(connection, scopes, keys)
    rows = connection.rows_of_many(
        "SELECT scope, idempotency_key, key FROM memories INDEXED BY memories_idempotency"
        " WHERE scope = ? AND idempotency_key = ?",
        [(number, key) for (number, _), places in wanted.items() for key in places],
    )
    return _answers(wanted, rows, len(keys))


#: (scope id, positions given in it) -> value -> the items that ask for it
_Wanted = dict[tuple[int, int], dict[Any, list[int]]]


def _group(connection: Connection, scopes: Sequence[Scope], values: Sequence[Any]) -> _Wanted:
    """What is asked of each scope that exists; None asks nothing."""
    asked = [i for i, value in enumerate(values) if value is not None]
    if not asked:
        return {}
    known = find_scopes(connection, (scopes[i] for i in asked))
    wanted: _Wanted = {}
    for i in asked:
        place = known.get(scopes[i])
        if place is not None:
            of_scope = wanted.setdefault((place.number, place.position), {})
            of_scope.setdefault(values[i], []).append(i)
    return wanted


def _answers(wanted: _Wanted, rows: Sequence[tuple[Any, ...]], count: int) -> list[int | None]:
    """Per item the smallest key among ``rows`` of ``(scope id, value, key)``."""
    answers: list[int | None] = [None] * count
    places = {number: values for (number, _), values in wanted.items()}
    for number, value, key in rows:
        for i in places[number][value]:
            held = answers[i]
            answers[i] = key if held is None else min(held, key)
    return answers


def _shelves(positions: int) -> range:
    """The shelves of a scope that has given out so many positions."""
    return range(shelf_of(positions - 1) + 1) if positions else range(0)


def stats(connection: Connection, seq: int) -> dict[str, Any]:
    pages, free, size = (
        connection.value(f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size")
    )
    return {
        "memories": connection.value("SELECT count(*) FROM memories"),
        "scopes": connection.value("SELECT count(*) FROM scopes"),
        "events": connection.value("SELECT count(*) FROM events"),
        "seq": seq,
        "database_bytes": pages * size,
        "free_bytes": free * size,
    }
