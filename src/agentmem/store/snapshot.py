"""One read transaction, and everything it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from agentmem.errors import ClosedError, NotFoundError
from agentmem.ports import Filter
from agentmem.store import history, lookups, reembed
from agentmem.store.connection import Connection
from agentmem.store.pages import MEMORIES, Listing, joined
from agentmem.store.rows import (
    RECORD_COLUMNS,
    integers,
    partition_scopes,
    scope_table,
    scopes_in,
    scopes_matching,
    to_records,
)
from agentmem.store.state import State
from agentmem.types import (
    Changes,
    HistoryEntry,
    IndexRows,
    MemoryColumns,
    PartitionKey,
    Record,
    Scope,
    Tail,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.ports import Remake

__all__ = ["Snapshot"]

_T = TypeVar("_T")

_CHUNK = 20_000


class Snapshot:
    """Lives as long as its ``with store.read()``."""

    __slots__ = ("_begin", "_connection", "_scopes", "dim", "epoch", "model_id", "seq", "state")

    #: Where rows of ``memories`` come from: a table, or a query in parentheses (see ``past``).
    _memories = MEMORIES

    def __init__(
        self,
        connection: Connection | None,
        state: State,
        scopes: MutableMapping[int, Scope],
        begin: Callable[[State], Connection] | None = None,
    ) -> None:
        """``begin`` is asked for a connection in a read transaction of this state when the first
        row is read, unless one is given."""
        self._connection = connection
        self._begin = begin
        self._scopes = scopes
        self.state = state
        self.seq = state.seq
        self.epoch = state.epoch
        self.model_id = state.model_id
        self.dim = state.dim

    @property
    def present(self) -> int:
        return self.seq

    @property
    def analyzer(self) -> str:
        """The recipe of the stored keyword terms; empty before the first."""
        return self.state.analyzer

    def end(self) -> Connection | None:
        """Refuse to read from now on; the connection that was read from, if any was."""
        connection, self._connection, self._begin = self._connection, None, None
        return connection

    @property
    def reading(self) -> bool:
        """Whether a read transaction is open, which somebody may be waiting for."""
        return self._connection is not None

    def begin(self) -> None:
        if self._connection is None:
            if self._begin is None:
                raise ClosedError("a snapshot was used after its `with store.read()` ended")
            self._connection = self._begin(self.state)

    @property
    def _db(self) -> Connection:
        self.begin()
        assert self._connection is not None
        return self._connection

    def as_of(self, at: int, remake: Remake) -> Snapshot:
        from agentmem.store import past

        return past.as_of(self, at, remake)

    def back_to(self, seq: int, remake: Remake) -> Snapshot:
        from agentmem.store import past

        return self if seq >= self.seq else past.Past(self, seq, remake)

    # -- rows
    def records(self, keys: Sequence[int]) -> dict[int, Record]:
        if not keys:
            return {}
        db = self._db
        if len(keys) == 1:
            rows = db.rows(f"SELECT {RECORD_COLUMNS} FROM memories m WHERE m.key = ?", keys)
        else:
            rows = db.rows(
                f"SELECT {RECORD_COLUMNS} FROM memories m WHERE m.key IN carray(?)",
                (integers(keys),),
            )
        return {record.key: record for record in to_records(db, rows, self._scopes)}

    def by_ids(self, ids: Sequence[bytes]) -> dict[bytes, Record]:
        db = self._db
        rows = lookups.by_ids(db, ids, RECORD_COLUMNS)
        return {record.id: record for record in to_records(db, rows, self._scopes)}

    def matching_keys(
        self, partition: PartitionKey, where: Filter, among: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        import numpy as np

        text, params = where.sql()
        inside = ""
        if among is not None:
            inside = "m.key IN carray(?) AND "
            params = [integers(among), *params]
        if partition.column is not None:
            scopes = partition_scopes(self._db, partition) or []
            inside = f"m.scope IN carray(?) AND {inside}"
            params = [integers(scopes), *params]
        keys = self._db.values(
            f"SELECT m.key {joined(self._memories)} WHERE {inside}({text})", params
        )
        found = np.array(keys, dtype=np.int64)
        found.sort()
        return found

    def matching_among(self, keys: NDArray[np.int64], where: Filter) -> NDArray[np.int64]:
        return self.matching_keys(PartitionKey(None, None), where, keys.tolist())

    def changed_keys(self, since: int, most: int) -> list[int] | None:
        keys = self._db.values(
            "SELECT key FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            (since, self.seq, most + 1),
        )
        return list(dict.fromkeys(keys)) if len(keys) <= most else None

    def places(
        self, where: Filter, *, order: str, limit: int, after: tuple[int, int] | None
    ) -> list[tuple[int, int, int]]:
        return Listing(self._db, self._memories, where, order).page(limit, after)

    def page(
        self, where: Filter, *, order: str, limit: int, after: tuple[int, int] | None
    ) -> list[Record]:
        keys = [place[0] for place in self.places(where, order=order, limit=limit, after=after)]
        records = self.records(keys)
        return [records[key] for key in keys]

    def count(self, where: Filter) -> int:
        text, params = where.sql()
        found: int = self._db.value(
            f"SELECT count(*) {joined(self._memories)} WHERE {text}", params
        )
        return found

    def history(self, memory_id: bytes) -> list[HistoryEntry]:
        return history.entries(self._db, memory_id)

    def vectors(self, keys: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        import numpy as np

        from agentmem.store.arrays import join_vectors

        stored = {
            row[0]: row
            for row in self._db.rows(
                "SELECT key, source, data FROM vectors WHERE key IN carray(?)", (integers(keys),)
            )
        }
        try:
            rows = [stored[key] for key in keys]
        except KeyError as error:
            raise NotFoundError(f"no memory with key {error.args[0]} has a vector") from None
        sources = [row[1] for row in rows]
        joined = join_vectors([row[2] for row in rows], sources, self.dim)
        return joined.astype(np.float32), np.array(sources, dtype=np.uint8)

    # -- what a write asks before it inserts
    def known_vectors(self, scopes: Sequence[Scope], hashes: Sequence[bytes]) -> list[bytes | None]:
        return lookups.known_vectors(self._db, scopes, hashes)

    def idempotent(self, scopes: Sequence[Scope], keys: Sequence[str | None]) -> list[int | None]:
        return lookups.idempotent(self._db, scopes, keys)

    def duplicates(
        self, scopes: Sequence[Scope], hashes: Sequence[bytes], at: int | None = None
    ) -> list[int | None]:
        return lookups.duplicates(self._db, scopes, hashes, at)

    # -- the log
    def load(self, partition: PartitionKey) -> IndexRows:
        return self._index_rows(self._keys_of(partition))

    def load_parts(self, partition: PartitionKey) -> Iterator[IndexRows]:
        for part in self._index_parts(self._keys_of(partition)):
            part.scope_table = scope_table(self._db, set(part.scopes.tolist()), self._scopes)
            yield part

    def load_scopes(self, scopes: Sequence[int], *, most: int) -> IndexRows | None:
        keys = self._db.values(
            "SELECT key FROM memories WHERE scope IN carray(?) LIMIT ?",
            (integers(scopes), most + 1),
        )
        if len(keys) > most:
            return None
        keys.sort()
        return self._index_rows(keys)

    def scope(self, number: int) -> Scope:
        return scope_table(self._db, [number], self._scopes)[number]

    def scopes_within(self, scope: Scope) -> NDArray[np.int64]:
        import numpy as np

        return np.sort(np.array(scopes_matching(self._db, scope), dtype=np.int64))

    def size(self, partition: PartitionKey) -> int:
        scopes = partition_scopes(self._db, partition)
        if scopes is None:
            found: int = self._db.value("SELECT count(*) FROM memories")
        else:
            found = self._db.value(
                "SELECT count(*) FROM memories WHERE scope IN carray(?)", (integers(scopes),)
            )
        return found

    def _keys_of(self, partition: PartitionKey) -> list[int] | None:
        """Ascending keys of a partition; None for the whole store."""
        if partition.column is None:
            return None
        scopes = scopes_in(self._db, partition, self._scopes)
        # Keys alone first: they are in the index, and sorting them makes the fetch sequential.
        keys: list[int] = self._db.values(
            "SELECT key FROM memories WHERE scope IN carray(?)", (integers(scopes),)
        )
        keys.sort()
        return keys

    def changes(self, since: int, *, limit: int = 0) -> Changes:
        import numpy as np

        db = self._db
        seq = self.seq
        if limit and seq - since > limit:
            cut = db.value(
                "SELECT seq FROM events WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?",
                (since, limit - 1),
            )
            seq = seq if cut is None else cut
        named = db.values(
            "SELECT DISTINCT key FROM events WHERE seq > ? AND seq <= ?", (since, seq)
        )
        named.sort()
        rows = self._index_rows(named)
        gone = np.array(named if len(rows.keys) < len(named) else (), dtype=np.int64)
        if len(gone):
            gone = np.setdiff1d(gone, rows.keys, assume_unique=True)
        return Changes(seq=max(seq, since), rows=rows, gone=gone)

    def tail(
        self, since: int, make: Callable[[MemoryColumns], _T], *, events: int, size: int
    ) -> Tail[_T]:
        from agentmem.store import feed

        return feed.tail(
            self._db,
            since,
            min(self.seq, since + events),
            make,
            dim=self.dim,
            known=self._scopes,
            size=size,
        )

    def columns(self, keys: Sequence[int]) -> MemoryColumns:
        from agentmem.store import feed

        return feed.columns_of(self._db, keys, self.dim, self._scopes)

    def _index_rows(self, keys: list[int] | None) -> IndexRows:
        """Rows of ascending ``keys``, or of all memories."""
        from agentmem.store.arrays import join_rows

        found = join_rows(list(self._index_parts(keys)))
        found.scope_table = scope_table(self._db, set(found.scopes.tolist()), self._scopes)
        return found

    def _index_parts(self, keys: list[int] | None) -> Iterator[IndexRows]:
        """At most ``_CHUNK`` rows at a time, in at least one part; without scope tables."""
        from agentmem.store.arrays import INDEX_COLUMNS, to_index_rows

        join = "JOIN vectors v ON v.key = m.key JOIN terms t ON t.key = m.key"
        if keys is None:
            last = 0
            while True:
                rows = self._db.each(
                    f"SELECT {INDEX_COLUMNS} FROM memories m {join}"
                    " WHERE m.key > ? ORDER BY m.key LIMIT ?",
                    (last, _CHUNK),
                )
                part = to_index_rows(rows, self.dim, _CHUNK)
                if len(part.keys) or not last:
                    yield part
                if len(part.keys) < _CHUNK:
                    return
                last = int(part.keys[-1])
        for start in range(0, max(1, len(keys)), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            # CROSS JOIN keeps the order: walk the keys, look each one up.
            rows = self._db.each(
                f"SELECT {INDEX_COLUMNS} FROM carray(?) c CROSS JOIN memories m"
                f" ON m.key = c.value {join}",
                (integers(chunk),),
            )
            yield to_index_rows(rows, self.dim, len(chunk))

    # -- another model
    @property
    def reembed_target(self) -> tuple[str, int] | None:
        """Model id and dimension that the store is being moved to, or None."""
        return reembed.target(self._db)

    def reembed_pending(self, after: int, limit: int) -> list[tuple[int, int, str]]:
        """``(key, seq, content)`` of memories beyond key ``after`` that have no vector of the
        next model yet."""
        return reembed.pending(self._db, after, limit)

    def reembed_remaining(self) -> int:
        """How many memories still lack a vector of the next model."""
        return reembed.remaining(self._db)

    def texts(self, after: int, limit: int) -> list[tuple[int, str]]:
        """``(key, content)`` of memories beyond key ``after``, ascending."""
        return self._db.rows(
            "SELECT key, content FROM memories WHERE key > ? ORDER BY key LIMIT ?", (after, limit)
        )

    def meta(self, name: str) -> Any:
        """A value of ``meta``, or None."""
        return self._db.value("SELECT value FROM meta WHERE name = ?", (name,))

    def stats(self) -> dict[str, Any]:
        return lookups.stats(self._db, self.state.seq)
