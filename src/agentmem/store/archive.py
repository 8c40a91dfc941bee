"""The rows of a store as they stand in an archive, and a store made of them again.

An archive has everything that a store has and that does not follow from the rest: the log, the
former states of memories and the vectors that callers gave them, the memories with their vectors,
how often they were read.  Hashes and
keyword terms follow from the texts, shelves from the positions.  A store that is made of it has
the same keys, event numbers, times and bytes, under an epoch of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apsw

from agentmem.errors import InvalidInputError, StoreCorruptError
from agentmem.store import check
from agentmem.store.connection import Connection
from agentmem.store.rows import integers, scopes_matching
from agentmem.store.schema import MEMORY_COLUMNS, shelf_of
from agentmem.store.snapshot import Snapshot
from agentmem.store.state import read_state
from agentmem.types import Scope

if TYPE_CHECKING:
    from agentmem.ports import Analyzer

__all__ = ["COLUMNS", "Builder", "Header", "header_of", "rows_of"]

_STATE = tuple(name for name in MEMORY_COLUMNS if name not in ("key", "content_hash", "seq"))

#: The kinds of rows in the order in which they stand, each with the names of its values.  The
#: ``seq`` of a version is that of the event that ended it.
COLUMNS: dict[str, tuple[str, ...]] = {
    "scope": ("scope", "user_id", "agent_id", "run_id", "org_id", "next_position"),
    "event": ("seq", "key", "event", "at", "actor_id"),
    "version": ("seq", "key", "previous_seq", *_STATE),
    "past_vector": ("seq", "data"),
    "memory": ("key", "seq", *_STATE, "source", "vector", "reads", "last_read"),
}

_FROM = {
    "scope": "FROM scopes t",
    "event": "FROM events t",
    "version": "FROM versions t",
    "past_vector": "FROM past_vectors t JOIN versions w ON w.seq = t.seq",
    "memory": "FROM memories t JOIN vectors v ON v.key = t.key LEFT JOIN access a ON a.key = t.key",
}
_NAMED = {"source": "v.source", "vector": "v.data", "reads": "a.count", "last_read": "a.last_at"}
_KEYS_OF_SCOPES = (
    "SELECT key FROM memories WHERE scope IN carray(?1)"
    " UNION SELECT key FROM versions WHERE scope IN carray(?1)"
)


@dataclass(slots=True)
class Header:
    """What holds for an archive as a whole."""

    model_id: str  # of the vectors; empty if there never was one
    dim: int
    seq: int  # the last event of the store
    counts: dict[str, int] = field(default_factory=dict)  # rows of each kind


def header_of(snapshot: Snapshot, scope: Scope) -> Header:
    """The header of an archive of ``scope``, an empty one meaning the whole store."""
    db = snapshot._db
    counts = {}
    for kind in COLUMNS:
        where, params = _where(db, kind, scope)
        counts[kind] = db.value(f"SELECT count(*) {_FROM[kind]} WHERE {where}", params)
    return Header(snapshot.model_id, snapshot.dim, snapshot.seq, counts)


def rows_of(snapshot: Snapshot, scope: Scope) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """``(kind, values)``, the values as ``COLUMNS`` names them."""
    db = snapshot._db
    for kind, names in COLUMNS.items():
        where, params = _where(db, kind, scope)
        columns = ", ".join(_NAMED.get(name, f"t.{name}") for name in names)
        order = f"t.{names[0]}"
        for row in db.each(
            f"SELECT {columns} {_FROM[kind]} WHERE {where} ORDER BY {order}", params
        ):
            yield kind, row


def _where(db: Connection, kind: str, scope: Scope) -> tuple[str, list[Any]]:
    if not scope:
        return "1", []
    scopes = [integers(scopes_matching(db, scope))]
    if kind == "event":
        return f"t.key IN ({_KEYS_OF_SCOPES})", scopes
    owner = "w" if kind == "past_vector" else "t"
    return f"{owner}.scope IN carray(?1)", scopes


class Builder:
    """Fills a new database with the rows of an archive, many at a time."""

    def __init__(self, connection: Connection, header: Header, analyzer: Analyzer) -> None:
        self._db = connection
        self._header = header
        self._analyzer = analyzer
        self._added = dict.fromkeys(COLUMNS, 0)

    def add(self, kind: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows of one kind, in one transaction.

        Raises:
            InvalidInputError: one is there already, or lacks what it must have.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            getattr(self, f"_add_{kind}")(rows)
            self._db.execute("COMMIT")
        except (apsw.ConstraintError, OverflowError, TypeError, UnicodeError) as error:
            raise InvalidInputError(
                f"a {kind} between {rows[0][0]} and {rows[-1][0]} is there already, or lacks what"
                " it must have"
            ) from error
        finally:
            self._db.rollback()
        self._added[kind] += len(rows)

    def finish(self) -> None:
        """Record what the archive says as a whole, and look whether everything fits together.

        Raises:
            StoreCorruptError: it does not.
        """
        if self._added != self._header.counts:
            raise StoreCorruptError(
                f"the archive says that it has {_counts(self._header.counts)}, and has"
                f" {_counts(self._added)}: it is not whole"
            )
        header = self._header
        meta: dict[str, Any] = {}
        if header.model_id:
            meta = {"model_id": header.model_id, "dim": header.dim}
            meta["analyzer"] = self._analyzer.recipe
        if not self._added["event"] and header.seq:
            meta["seq_floor"] = header.seq
        self._db.many("INSERT INTO meta(name, value) VALUES (?, ?)", list(meta.items()))
        found = check.problems(Snapshot(self._db, read_state(self._db), {}))
        if found:
            raise StoreCorruptError(f"the archive does not fit together: {found[0]}")

    def _add_scope(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._insert("scopes", COLUMNS["scope"], rows)

    def _add_event(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._insert("events", COLUMNS["event"], rows)

    def _add_version(self, rows: Sequence[tuple[Any, ...]]) -> None:
        names = COLUMNS["version"]
        hashes = _hashes(rows, names)
        self._insert("versions", (*names, "content_hash"), _wider(rows, hashes))

    def _add_past_vector(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._insert("past_vectors", COLUMNS["past_vector"], rows)

    def _add_memory(self, rows: Sequence[tuple[Any, ...]]) -> None:
        from agentmem.store.arrays import slice_terms

        names = COLUMNS["memory"]
        row_names = names[:-4]
        place, text = names.index("position"), names.index("content")
        extra = [
            (digest, shelf_of(row[place]))
            for digest, row in zip(_hashes(rows, names), rows, strict=True)
        ]
        self._insert(
            "memories",
            (*row_names, "content_hash", "shelf"),
            [(*row[:-4], *more) for row, more in zip(rows, extra, strict=True)],
        )
        self._insert("vectors", ("key", "source", "data"), [(row[0], *row[-4:-2]) for row in rows])
        terms = slice_terms(self._analyzer.analyze([row[text] for row in rows]))
        self._insert(
            "terms",
            ("key", "length", "terms", "counts"),
            [(row[0], *term) for row, term in zip(rows, terms, strict=True)],
        )
        read = [(row[0], *row[-2:]) for row in rows if row[-2] is not None]
        self._insert("access", ("key", "count", "last_at"), read)

    def _insert(self, table: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(names))
        self._db.many(f"INSERT INTO {table}({', '.join(names)}) VALUES ({marks})", rows)


def _hashes(rows: Sequence[tuple[Any, ...]], names: tuple[str, ...]) -> list[bytes]:
    from agentmem._native.hashing import hash_texts

    text = names.index("content")
    digests = hash_texts([row[text] for row in rows])
    return [digests[i : i + 16] for i in range(0, len(digests), 16)]


def _wider(rows: Sequence[tuple[Any, ...]], values: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [(*row, value) for row, value in zip(rows, values, strict=True)]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in counts.items())
