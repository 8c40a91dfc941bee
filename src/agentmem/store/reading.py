"""Snapshots of a store, for the length of a ``with``.

Classes, because a generator would cost a microsecond.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from agentmem.ports import StaleSnapshot
from agentmem.store.snapshot import Snapshot

if TYPE_CHECKING:
    from agentmem.store.connection import Connection
    from agentmem.store.state import State
    from agentmem.store.store import Store
    from agentmem.types import Record, Scope

__all__ = ["Glancing", "Peeking", "Reading"]


class Reading:
    """``with store.read() as snapshot``: one read transaction."""

    __slots__ = ("_beside", "_snapshot", "_store")

    def __init__(self, store: Store, *, beside: bool = False) -> None:
        self._store = store
        self._beside = beside

    def __enter__(self) -> Snapshot:
        store = self._store
        store._require_open()
        self._snapshot = _snapshot(store, *store._begin_read(beside=self._beside))
        return self._snapshot

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection = self._snapshot.end()
        store = self._store
        if connection is None or store._pid != os.getpid():
            return
        connection.rollback()
        store._readers.release(connection)


class Glancing:
    """``with store.glance() as glance``: what a write asks before it is made; no transaction is
    begun for what the store knows without one."""

    __slots__ = ("_reading", "_snapshot", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading: Reading | None = None

    def __enter__(self) -> Glancing:
        self._store._require_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reading is not None:
            self._reading.__exit__(kind, error, trace)

    @property
    def _seen(self) -> Snapshot:
        if self._reading is None:
            reading = Reading(self._store)
            self._snapshot = reading.__enter__()
            self._reading = reading
        return self._snapshot

    def by_ids(self, ids: Sequence[bytes]) -> dict[bytes, Record]:
        return self._seen.by_ids(ids)

    def idempotent(self, scopes: Sequence[Scope], keys: Sequence[str | None]) -> list[int | None]:
        return self._seen.idempotent(scopes, keys)

    def duplicates(
        self, scopes: Sequence[Scope], hashes: Sequence[bytes], at: int | None = None
    ) -> list[int | None]:
        return self._seen.duplicates(scopes, hashes, at)

    def known_vectors(self, scopes: Sequence[Scope], hashes: Sequence[bytes]) -> list[bytes | None]:
        found: list[bytes | None] = [None] * len(hashes)
        lacks = self._store._lacks
        asked = [i for i, one in enumerate(hashes) if not lacks(scopes[i], one)]
        if asked:
            answers = self._seen.known_vectors(
                [scopes[i] for i in asked], [hashes[i] for i in asked]
            )
            for i, vector in zip(asked, answers, strict=True):
                found[i] = vector
        return found


class Peeking(Reading):
    """``with store.peek() as snapshot``: a transaction only if something has to be read."""

    __slots__ = ()

    def __enter__(self) -> Snapshot:
        store = self._store
        store._require_open()
        watch = store._watch
        # Where commits follow one another, what is promised here would be broken by the first read.
        state = watch.quiet()
        if state is not None:
            found = Snapshot(None, state, store._scopes.of(state.epoch), self._begin)
            self._snapshot = found
            return found
        header = watch.header()
        self._snapshot = _snapshot(store, *store._begin_read())
        watch.learn(header, self._snapshot.state)
        return self._snapshot

    def _begin(self, promised: State) -> Connection:
        """
        Raises:
            StaleSnapshot: somebody has committed since the state was promised.
        """
        store = self._store
        connection, state = store._begin_read()
        if state == promised:
            return connection
        connection.rollback()
        store._readers.release(connection)
        raise StaleSnapshot


def _snapshot(store: Store, connection: Connection, state: State) -> Snapshot:
    return Snapshot(connection, state, store._scopes.of(state.epoch))
