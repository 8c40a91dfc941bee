"""The store as an event of the log had left it.

A row of ``memories`` whose last event is no newer is as it was then.  Of what was changed or
removed since, ``versions`` has the row before each event, and the first event since tells how it
was.  What was purged since is gone from there, too.

Vectors and keyword terms are kept for the present alone.  Those of a text that is no longer
stored are made again from the text, by the model and the analyzer that the store has now; only
a caller's vector cannot be, so ``past_vectors`` keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from agentmem.errors import InvalidInputError
from agentmem.store.connection import Connection
from agentmem.store.rows import RECORD_COLUMNS, integers, partition_scopes, scope_table, to_records
from agentmem.store.schema import MEMORY_COLUMNS
from agentmem.store.snapshot import Snapshot
from agentmem.times import from_micros, now_micros
from agentmem.types import NEVER, IndexRows, PartitionKey, Record, VectorSource

if TYPE_CHECKING:
    from agentmem.ports import Remake

__all__ = ["Past", "as_of", "keep_vectors"]

_CHUNK = 20_000  # rows held as Python objects at a time

#: ``versions`` with the names of ``memories``.
_VERSION_COLUMNS = ", ".join(
    "previous_seq AS seq" if name == "seq" else name for name in MEMORY_COLUMNS
)
_VERSION_RECORD = RECORD_COLUMNS.replace("m.seq", "m.previous_seq")


def keep_vectors(connection: Connection, first: int, given: Sequence[int]) -> None:
    """Keep the vectors that the events from ``first`` on are about to replace or remove, where
    the text does not tell them: a caller's, and the model's that a caller's takes the place of.

    Args:
        given: keys of those events that get a caller's vector.
    """
    caller = int(VectorSource.CALLER)
    connection.execute(
        f"INSERT INTO past_vectors SELECT e.seq, CASE v.source WHEN {caller} THEN v.data END"
        " FROM events e CROSS JOIN vectors v ON v.key = e.key"
        f" WHERE e.seq >= ? AND (v.source = {caller} OR e.key IN carray(?))",
        (first, integers(given)),
    )


def as_of(snapshot: Snapshot, at: int, remake: Remake) -> Snapshot:
    """See ``ports.Snapshot.as_of``."""
    db = snapshot._db
    last = db.value("SELECT at FROM events WHERE seq = ?", (snapshot.seq,)) or 0
    if at >= last:
        if at > max(now_micros(), last):
            raise InvalidInputError(
                f"as_of {from_micros(at)} lies in the future; leave it out to ask the store as"
                " it is now"
            )
        return snapshot
    return Past(snapshot, _seq_at(db, at, snapshot.seq), remake)


def _seq_at(connection: Connection, at: int, last: int) -> int:
    """The last event at or before ``at``; 0 if there is none.  Commit times never go back."""
    low, high = 0, last  # ``low`` is not too late, whatever is above ``high`` is
    while low < high:
        middle = (low + high + 1) // 2
        found = connection.rows(
            "SELECT seq, at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,)
        )
        if found and found[0][1] <= at:
            low = found[0][0]
        else:
            high = middle - 1
    return low


class Past(Snapshot):
    """A snapshot whose memories are those of an earlier event.  What it knows of the log
    (``changes``, ``history``) and of writing is as of the snapshot that it was made from."""

    __slots__ = ("_memories", "_present", "_remake")

    def __init__(self, present: Snapshot, seq: int, remake: Remake) -> None:
        super().__init__(present._db, present.state._replace(seq=seq), present._scopes)
        self._present = present
        self._remake = remake
        self._memories = (
            f"(SELECT {', '.join(MEMORY_COLUMNS)} FROM memories WHERE seq <= {seq} UNION ALL"
            f" SELECT {_VERSION_COLUMNS} FROM versions WHERE {self._then()})"
        )

    def _then(self, table: str = "versions") -> str:
        """Whether a row of ``versions`` is what ``seq`` saw."""
        return f"{table}.seq > {self.seq} AND {table}.previous_seq <= {self.seq}"

    @property
    def present(self) -> int:
        return self._present.seq

    @property
    def _db(self) -> Connection:
        return self._present._db

    # -- rows
    def records(self, keys: Sequence[int]) -> dict[int, Record]:
        wanted = (integers(keys),)
        rows = self._db.rows(
            f"SELECT {RECORD_COLUMNS} FROM memories m WHERE m.key IN carray(?)"
            f" AND m.seq <= {self.seq}",
            wanted,
        )
        if len(rows) < len(set(keys)):
            rows += self._db.rows(
                f"SELECT {_VERSION_RECORD} FROM versions m WHERE m.key IN carray(?)"
                f" AND {self._then('m')}",
                wanted,
            )
        return {record.key: record for record in to_records(self._db, rows, self._scopes)}

    def by_ids(self, ids: Sequence[bytes]) -> dict[bytes, Record]:
        found: dict[bytes, Record] = {}
        for one in ids:
            rows = self._db.rows(
                f"SELECT {RECORD_COLUMNS} FROM {self._memories} m WHERE m.id = ?", (one,)
            )
            for record in to_records(self._db, rows, self._scopes):
                found[one] = record
        return found

    # -- what the index needs
    def load(self, partition: PartitionKey) -> IndexRows:
        from agentmem.store.arrays import join_rows, to_index_rows

        scopes = partition_scopes(self._db, partition)
        chunks = self._past_chunks(scopes)
        found = join_rows([to_index_rows(iter(rows), self.dim, len(rows)) for rows in chunks])
        found.scope_table = scope_table(self._db, set(found.scopes.tolist()), self._scopes)
        return found

    def _past_chunks(self, scopes: list[int] | None) -> Iterator[list[tuple[Any, ...]]]:
        """Rows as ``arrays.INDEX_COLUMNS``, ascending by key; at least one list."""
        from agentmem.store.arrays import INDEX_COLUMNS

        inside, params = ("", []) if scopes is None else ("m.scope IN carray(?) AND ", [scopes])
        bound = [integers(one) for one in params]
        keys = self._db.values(
            f"SELECT m.key FROM memories m WHERE {inside}m.seq <= {self.seq}", bound
        )
        changed = self._changed(inside, bound)
        order = sorted([*keys, *changed])
        for start in range(0, max(1, len(order)), _CHUNK):
            chunk = order[start : start + _CHUNK]
            rows = self._db.rows(
                f"SELECT {INDEX_COLUMNS} FROM carray(?) c CROSS JOIN memories m"
                f" ON m.key = c.value AND m.seq <= {self.seq}"
                " JOIN vectors v ON v.key = m.key JOIN terms t ON t.key = m.key",
                (integers(chunk),),
            )
            rows += [changed[key] for key in chunk if key in changed]
            yield sorted(rows, key=lambda row: row[0])

    def _changed(self, inside: str, params: list[Any]) -> dict[int, tuple[Any, ...]]:
        """The rows that have changed since, by key, in the shape of ``arrays.INDEX_COLUMNS``."""
        from agentmem.store.arrays import slice_terms, slice_vectors

        rows = self._db.rows(
            "SELECT m.key, m.previous_seq, m.scope, m.event_at,"
            f" ifnull(m.expires_at, {NEVER}), m.importance, m.actor_id, m.content, m.content_hash"
            f" FROM versions m WHERE {inside}{self._then('m')}",
            params,
        )
        if not rows:
            return {}
        kept = self._kept(inside, params)
        vectors, terms = self._remake([row[7] for row in rows])
        made = slice_vectors(vectors, [VectorSource.MODEL] * len(rows))
        found = {}
        for row, vector, words in zip(rows, made, slice_terms(terms), strict=True):
            text, data = kept.get(row[0], (None, None))
            caller = text == row[8] and data is not None
            source = VectorSource.CALLER if caller else VectorSource.MODEL
            found[row[0]] = (*row[:6], int(source), data if caller else vector, *words, row[6])
        return found

    def _kept(self, inside: str, params: list[Any]) -> dict[int, tuple[bytes, bytes | None]]:
        """By key the text's hash and the vector that is known of the earliest time since.  It
        was the same then, if the text was: a model's vector that gave way is noted as None."""
        live = self._db.rows(
            "SELECT m.key, m.content_hash, v.data FROM memories m JOIN vectors v ON v.key = m.key"
            f" WHERE {inside}m.seq > {self.seq} AND m.key <= {self.seq}"
            f" AND v.source = {int(VectorSource.CALLER)}",
            params,
        )
        replaced = self._db.rows(
            "SELECT m.key, m.content_hash, p.data, min(p.seq) FROM past_vectors p"
            f" CROSS JOIN versions m ON m.seq = p.seq WHERE {inside}p.seq > {self.seq}"
            f" AND m.key <= {self.seq} GROUP BY m.key",
            params,
        )
        return {row[0]: (row[1], row[2]) for row in (*live, *replaced)}
