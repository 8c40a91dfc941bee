"""Questions by id, by (scope, text) and by (scope, idempotency key), for many items at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from agentmem.store.connection import Connection
from agentmem.store.rows import find_scope
from agentmem.types import Scope, VectorSource

__all__ = ["by_ids", "duplicates", "idempotent", "known_vectors", "stats"]

_PER_QUERY = 1000  # parameters of one statement; SQLite allows 32,766


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
    return _by_scope(
        connection,
        scopes,
        hashes,
        "SELECT m.content_hash, v.data FROM memories m INDEXED BY memories_scope_hash"
        " JOIN vectors v ON v.key = m.key"
        f" WHERE m.scope = ? AND v.source = {int(VectorSource.MODEL)} AND m.content_hash IN ",
    )


def duplicates(
    connection: Connection, scopes: Sequence[Scope], hashes: Sequence[bytes]
) -> list[int | None]:
    return _by_scope(
        connection,
        scopes,
        hashes,
        "SELECT content_hash, min(key) FROM memories INDEXED BY memories_scope_hash"
        " WHERE scope = ? AND content_hash IN ",
        " GROUP BY content_hash",
    )


def idempotent(
    connection: Connection, scopes: Sequence[Scope], keys: Sequence[str | None]
) -> list[int | None]:
    return _by_scope(
        connection,
        scopes,
        keys,
        "SELECT idempotency_key, key FROM memories INDEXED BY memories_idempotency"
        " WHERE scope = ? AND idempotency_key IS NOT NULL AND idempotency_key IN ",
    )


def _by_scope(
    connection: Connection,
    scopes: Sequence[Scope],
    values: Sequence[Any],
    sql: str,
    tail: str = "",
) -> list[Any]:
    """``sql`` answers ``(value, answer)`` for one scope and some of its values."""
    wanted: dict[Scope, dict[Any, list[int]]] = {}
    for i, (scope, value) in enumerate(zip(scopes, values, strict=True)):
        if value is not None:
            wanted.setdefault(scope, {}).setdefault(value, []).append(i)
    answers: list[Any] = [None] * len(values)
    for scope, places in wanted.items():
        number = find_scope(connection, scope)
        if number is None:
            continue
        distinct = list(places)
        for start in range(0, len(distinct), _PER_QUERY):
            chunk = distinct[start : start + _PER_QUERY]
            marks = ", ".join("?" * len(chunk))
            for value, answer in connection.rows(f"{sql}({marks}){tail}", [number, *chunk]):
                for i in places[value]:
                    answers[i] = answer
    return answers


def stats(connection: Connection, seq: int) -> dict[str, Any]:
    pages, free, size = (
        connection.value(f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size")
    )
    return {
        "memories": connection.value("SELECT count(*) FROM vectors"),
        "scopes": connection.value("SELECT count(*) FROM scopes"),
        "events": connection.value("SELECT count(*) FROM events"),
        "seq": seq,
        "database_bytes": pages * size,
        "free_bytes": free * size,
    }
