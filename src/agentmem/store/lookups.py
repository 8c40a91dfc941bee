"""Questions by id, by (scope, text) and by (scope, idempotency key), for many items at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from agentmem.store.connection import Connection
from agentmem.store.rows import find_scopes
from agentmem.types import Scope, VectorSource

_PER_QUERY = 1000  # parameters of one statement; SQLite allows 32,766
_SHARE = 8  # values from which on one statement for all is faster than one for each

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
    return _by_scope(
        connection,
        scopes,
        hashes,
        "SELECT m.scope, m.content_hash, v.data FROM memories m INDEXED BY memories_scope_hash"
        " JOIN vectors v ON v.key = m.key"
        f" WHERE v.source = {int(VectorSource.MODEL)} AND m.scope = ? AND m.content_hash IN ",
    )


def duplicates(
    connection: Connection, scopes: Sequence[Scope], hashes: Sequence[bytes]
) -> list[int | None]:
    return _by_scope(
        connection,
        scopes,
        hashes,
        "SELECT scope, content_hash, min(key) FROM memories INDEXED BY memories_scope_hash"
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
        "SELECT scope, idempotency_key, key FROM memories INDEXED BY memories_idempotency"
        " WHERE idempotency_key IS NOT NULL AND scope = ? AND idempotency_key IN ",
    )


def _by_scope(
    connection: Connection,
    scopes: Sequence[Scope],
    values: Sequence[Any],
    sql: str,
    tail: str = "",
) -> list[Any]:
    """Per item what ``sql`` answers, as ``(scope id, value, answer)``, for its scope and value.

    Values of one scope share a statement; scopes with few values share one preparation.
    """
    asked = [i for i, value in enumerate(values) if value is not None]
    answers: list[Any] = [None] * len(values)
    if not asked:
        return answers
    numbers = find_scopes(connection, (scopes[i] for i in asked))
    wanted: dict[int, dict[Any, list[int]]] = {}
    for i in asked:
        if scopes[i] in numbers:
            wanted.setdefault(numbers[scopes[i]][0], {}).setdefault(values[i], []).append(i)
    single: list[tuple[int, Any]] = []
    rows: list[tuple[Any, ...]] = []
    for number, places in wanted.items():
        distinct = list(places)
        if len(distinct) < _SHARE:
            single.extend((number, value) for value in distinct)
            continue
        for start in range(0, len(distinct), _PER_QUERY):
            chunk = distinct[start : start + _PER_QUERY]
            marks = ", ".join("?" * len(chunk))
            rows.extend(connection.rows(f"{sql}({marks}){tail}", [number, *chunk]))
    if single:
        rows.extend(connection.rows_of_many(f"{sql}(?){tail}", single))
    for number, value, answer in rows:
        for i in wanted[number][value]:
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
