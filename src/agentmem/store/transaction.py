"""The one open write transaction: rows, vectors, keyword rows and events change together."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import apsw

from agentmem.errors import (
    ConflictError,
    NotFoundError,
    StoreError,
    VectorError,
)
from agentmem.store import adding, erase, past, reembed
from agentmem.store.connection import Connection
from agentmem.store.model import UNFINISHED, Model
from agentmem.store.rows import scopes_matching
from agentmem.store.schema import MEMORY_COLUMNS
from agentmem.store.snapshot import Snapshot
from agentmem.store.state import State, read_state
from agentmem.times import now_micros
from agentmem.types import Event, NewMemory, Record, Scope, TermBatch, VectorSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["WriteTransaction"]

#: Of all events from one on, in one statement: a deletion of 1,000 takes three quarters of the time
#: that it takes row by row.
_KEEP_VERSIONS = (
    f"INSERT INTO versions SELECT e.seq, {', '.join(f'm.{name}' for name in MEMORY_COLUMNS)}"
    " FROM events e CROSS JOIN memories m ON m.key = e.key WHERE e.seq >= ?"
)
#: What an update may change, in the order of ``_changed_row``.
_UPDATE = (
    "UPDATE memories SET content = ?, content_hash = ?, actor_id = ?, role = ?, memory_type = ?,"
    " level = ?, importance = ?, metadata = ?, event_at = ?, expires_at = ?,"
    " idempotency_key = ?, updated_at = ?, seq = ? WHERE key = ?"
)
_EVENT = "INSERT INTO events(seq, key, event, at, actor_id) VALUES (?, ?, ?, ?, ?)"


class WriteTransaction:
    """Lives as long as its ``with store.write()``; made by ``Store``, which commits it."""

    def __init__(self, connection: Connection, state: State, model: Model | None) -> None:
        self._db = connection
        self._state = state
        self._model = model
        self._known: dict[int, Scope] = {}  # not the shared ones: these may be rolled back
        self._failure: BaseException | None = None
        self._depth = 0
        self._now = max(now_micros(), state.at)
        self._view: Snapshot | None = None
        self.committed = False  # true from the moment that SQLite has committed

    @property
    def view(self) -> Snapshot:
        if self._view is None or self._view.seq != self._state.seq:
            self._view = Snapshot(self._db, self._state, self._known)
        return self._view

    @property
    def now(self) -> int:
        return self._now

    @property
    def seq(self) -> int:
        """The last event, of this transaction if it has made any."""
        return self._state.seq

    @property
    def state(self) -> State:
        """What it has made of the store so far."""
        return self._state

    @property
    def failure(self) -> BaseException | None:
        """Set while a half-done change stands that must not be committed."""
        return self._failure

    def end(self) -> None:
        if self._view is not None:
            self._view.end()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        name = f"s{self._depth}"
        before = (self._state, self._failure)
        self._db.execute(f"SAVEPOINT {name}")
        self._depth += 1
        try:
            yield
            if self._failure is not None and before[1] is None:
                raise StoreError(
                    f"a change inside this savepoint failed half-way: {self._failure}"
                ) from self._failure
        except BaseException:  # an interrupt, too; raised again
            if self._db.in_transaction:  # SQLite may have rolled everything back by itself
                self._db.execute(f"ROLLBACK TO {name}")
                self._db.execute(f"RELEASE {name}")
                self._state, self._failure = before
                self._view = None
                self._known.clear()
                self._db.places.clear()
            raise
        else:
            self._db.execute(f"RELEASE {name}")
        finally:
            self._depth -= 1

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """A change that stops half-way may be undone (savepoint, rollback), never committed.

        Nor may anything follow it: SQLite may have rolled back and left the transaction.
        """
        if self._failure is not None:
            raise StoreError(
                f"an earlier change of this transaction failed: {self._failure}; roll it back"
            ) from self._failure
        try:
            yield
        except BaseException as error:  # an interrupt, too; raised again
            self._failure = error
            raise

    def _next(self, count: int) -> int:
        """Take ``count`` event numbers; returns the first."""
        first = self._state.seq + 1
        self._state = self._state._replace(seq=first + count - 1, at=self._now)
        return first

    # -- adding
    def insert(
        self,
        memories: Sequence[NewMemory],
        vectors: NDArray[np.float32],
        sources: Sequence[VectorSource],
        terms: TermBatch,
    ) -> list[int]:
        if not memories:
            return []
        self._require_vectors(len(memories), vectors, sources)
        with self._changing():
            first = self._next(len(memories))
            keys = range(first, first + len(memories))
            adding.add_rows(self._db, memories, keys, self._now)
            adding.add_vectors(self._db, keys, vectors, sources)
            adding.add_terms(self._db, keys, terms)
            adding.add_events(self._db, keys, self._now)
        return list(keys)

    def _require_vectors(
        self, count: int, vectors: NDArray[np.float32], sources: Sequence[VectorSource]
    ) -> None:
        """Record the model with the first vector, and refuse vectors of another dimension."""
        model = self._model
        if model is None:
            raise StoreError("the store was opened without a model, so it takes no vectors")
        if vectors.shape != (count, model.dim) or len(sources) != count:
            raise VectorError(
                f"vectors have shape {vectors.shape} with {len(sources)} sources; the store needs "
                f"({count}, {model.dim}) and {count}"
            )
        if not self._state.model_id:
            self.put_meta("model_id", model.model_id)
            self.put_meta("dim", model.dim)
            self.put_meta("analyzer", model.analyzer)
            self._state = self._state._replace(
                model_id=model.model_id, dim=model.dim, analyzer=model.analyzer
            )
            self._view = None

    # -- changing
    def update(
        self,
        changed: Sequence[Record],
        vectors: NDArray[np.float32] | None,
        sources: Sequence[VectorSource] | None,
        terms: TermBatch | None,
        *,
        actor_id: str | None = None,
    ) -> None:
        if not changed:
            return
        keys = [record.key for record in changed]
        if len(set(keys)) != len(keys):
            raise StoreError("one update names a memory twice; give each memory once")
        parts = [part is not None for part in (vectors, sources, terms)]
        if any(parts) and not all(parts):
            raise StoreError("vectors, sources and terms are given together or not at all")
        with self._changing():
            first = self._keep_versions(keys, Event.UPDATE, actor_id)
            try:
                self._db.many(
                    _UPDATE,
                    [
                        (r.content, r.content_hash, r.actor_id, r.role, r.memory_type, r.level,
                         r.importance, r.metadata, r.event_at, r.expires_at, r.idempotency_key,
                         self._now, seq, r.key)
                        for seq, r in enumerate(changed, first)
                    ],
                )  # fmt: skip
            except apsw.ConstraintError as error:
                raise ConflictError(
                    "an updated memory takes an idempotency key that another one of its scope has"
                ) from error
            if vectors is not None and sources is not None and terms is not None:
                given = [k for k, s in zip(keys, sources, strict=True) if s == VectorSource.CALLER]
                past.keep_vectors(self._db, first, given)
                for record in changed:
                    self._db.places.note(self._db.places.get(record.scope), [record.content_hash])
                self._replace_text(keys, vectors, sources, terms)

    def _replace_text(
        self,
        keys: Sequence[int],
        vectors: NDArray[np.float32],
        sources: Sequence[VectorSource],
        terms: TermBatch,
    ) -> None:
        from agentmem.store.arrays import slice_vectors

        self._require_vectors(len(keys), vectors, sources)
        self._db.many(
            "UPDATE vectors SET source = ?, data = ? WHERE key = ?",
            zip(map(int, sources), slice_vectors(vectors, sources), keys, strict=True),
        )
        self._replace_terms(keys, terms)
        reembed.forget(self._db, keys)

    def begin_terms(self, analyzer: str) -> int:
        """Start making all keyword rows by another analyzer, or go on with it; until
        ``finish_terms`` the store opens with no model.  Returns the last key that is done."""
        unfinished = UNFINISHED + analyzer
        with self._changing():
            if self._state.analyzer == unfinished:
                done: int = self.view.meta("terms_done") or 0
                return done
            self.put_meta("analyzer", unfinished)
            self.put_meta("terms_done", 0)
            self._state = self._state._replace(analyzer=unfinished)
            return 0

    def replace_terms(self, keys: Sequence[int], terms: TermBatch) -> None:
        """Keyword rows by another analyzer, for the same texts.  No events: when all are
        replaced, ``finish_terms`` renews the epoch."""
        with self._changing():
            self._replace_terms(keys, terms)
            if keys:
                self.put_meta("terms_done", max(keys))

    def _replace_terms(self, keys: Sequence[int], terms: TermBatch) -> None:
        from agentmem.store.arrays import slice_terms

        self._db.many(
            "UPDATE terms SET length = ?, terms = ?, counts = ? WHERE key = ?",
            [(*row, key) for key, row in zip(keys, slice_terms(terms), strict=True)],
        )

    def finish_terms(self, analyzer: str) -> None:
        """Every memory's terms are now by ``analyzer``; projections of the others end here."""
        self.put_meta("analyzer", analyzer)
        self.put_meta("terms_done", None)
        self.put_meta("epoch", secrets.token_hex(16))
        self._state = read_state(self._db)
        self._view = None

    def delete(self, keys: Sequence[int], *, actor_id: str | None = None) -> None:
        if not keys:
            return
        distinct = list(dict.fromkeys(keys))
        with self._changing():
            first = self._keep_versions(distinct, Event.DELETE, actor_id)
            past.keep_vectors(self._db, first, [])
            erase.forget_keys(self._db, distinct)

    def _keep_versions(self, keys: Sequence[int], event: Event, actor_id: str | None) -> int:
        """Log an event for each key with the row as it is now; returns the first seq."""
        first = self._next(len(keys))
        kind, now = int(event), self._now
        self._db.many(
            _EVENT, [(seq, key, kind, now, actor_id) for seq, key in enumerate(keys, first)]
        )
        self._db.execute(_KEEP_VERSIONS, (first,))
        if self._db.changes != len(keys):
            live = self.view.records(keys)
            missing = next(key for key in keys if key not in live)
            raise NotFoundError(f"no memory has the key {missing}; it may have been deleted")
        return first

    # -- erasing
    def purge(self, ids: Sequence[bytes]) -> int:
        with self._changing():
            keys, known = erase.purge(self._db, ids)
            first = self._next(len(keys))
            self._db.many(
                _EVENT,
                [
                    (seq, key, int(Event.DELETE), self._now, None)
                    for seq, key in enumerate(keys, first)
                ],
            )
            self.put_meta(erase.UNFINISHED, self._state.seq)
        return known

    def ids_of(self, scope: Scope) -> list[bytes]:
        return erase.ids_of(self._db, scopes_matching(self._db, scope))

    # -- another model
    def begin_reembed(self, model_id: str, dim: int) -> None:
        """Start, or resume, moving the vectors to another model (see ``reembed``)."""
        with self._changing():
            reembed.begin(self._db, model_id, dim)

    def put_next_vectors(
        self, rows: Sequence[tuple[int, int]], vectors: NDArray[np.float32]
    ) -> int:
        """Vectors of the next model for ``(key, seq)`` rows; those changed since are left out."""
        with self._changing():
            return reembed.put(self._db, rows, vectors)

    def finish_reembed(self) -> None:
        """Swap the models: everything in this transaction, under a new epoch."""
        with self._changing():
            reembed.finish(self._db)
            self._state = read_state(self._db)
            self._view = None

    def put_meta(self, name: str, value: Any) -> None:
        with self._changing():
            if value is None:
                self._db.execute("DELETE FROM meta WHERE name = ?", (name,))
            else:
                self._db.execute(
                    "INSERT INTO meta(name, value) VALUES (?, ?)"
                    " ON CONFLICT(name) DO UPDATE SET value = excluded.value",
                    (name, value),
                )
