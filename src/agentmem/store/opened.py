"""The folder of a store while it is open: its lock, its connections, what else is held of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import apsw

from agentmem.errors import ClosedError
from agentmem.store import forking
from agentmem.store.checkpoint import Checkpointer
from agentmem.store.connection import Connection, Place, open_connection
from agentmem.store.folder import FileIdentity, open_lock
from agentmem.store.pool import ReaderPool
from agentmem.store.reserve import Reserve
from agentmem.store.watch import Watch

__all__ = ["OpenFolder"]

#: Page cache of a connection that reads.  SQLite empties it whenever another connection has
#: committed, and more was of no use without commits either (tried by hand: 10,000 and 100,000
#: memories, 1 to 16 MiB).  Pages that come and go there, from the threads of all who read, leave
#: the C library's heaps full of holes: with 16 MiB each, 60 MiB of them after two minutes.
_READERS_KIB = 2 << 10


class OpenFolder:
    """What ``Store`` works with.  It opens nothing by itself, and closes all that was opened."""

    _file: FileIdentity  # set once there is a database

    def __init__(self, place: Place) -> None:
        self._place = place
        self._database = str(place.database)  # kept: joining paths takes longer than stat
        self._pid = os.getpid()
        self._closed = False
        self._timeout = place.config.lock_timeout
        self._lock = open_lock(place.folder)
        self._readers = ReaderPool(self._open_reader, place.config.readers)
        self._reserve = Reserve(place.database, place.config.reserve_mib << 20)
        self._checkpoints = Checkpointer(
            self._open_reader, self._reserve.may_grow, self._reserve.keep
        )
        self._watch = Watch(self._open_reader if place.vfs is None else None)
        self._writer: Connection | None = None

    @property
    def path(self) -> Path:
        return self._place.folder

    def require_present(self) -> None:
        """
        Raises:
            StorePathError: the database was removed, or another one put in its place.
        """
        self._require_open()
        self._file.require_same()

    def close(self) -> None:
        """Empty the WAL if nobody else uses it, let go of the folder.

        Raises:
            StoreTimeoutError: a thread is still writing; nothing was closed.
        """
        if self._closed or self._pid != os.getpid():
            return
        with self._lock.closing(self._timeout):
            self._closed = True
            self._checkpoints.close()
            self._watch.close()
            self._readers.close()
            self._close_writer()
            forking.remove_owner(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- connections
    def _open_reader(self) -> Connection:
        connection = open_connection(self._place, create=False)
        connection.execute("PRAGMA query_only = ON")
        kib = min(_READERS_KIB, 1024 * self._place.config.cache_mib)
        connection.execute(f"PRAGMA cache_size = -{max(1024, kib)}")
        return connection

    def _open_writer(self, *, create: bool = True) -> Connection:
        connection = open_connection(self._place, create=create)
        self._checkpoints.watch(connection)
        return connection

    def _usable_writer(self) -> Connection:
        """The connection that writes, opened anew if it has failed.  Needs the write lock."""
        writer = self._writer
        if writer is not None and writer.in_transaction:
            writer.rollback()  # of a thread that was interrupted on its way in or out
            writer.forget()
        if writer is None or writer.broken:
            self._writer = None
            if writer is not None:
                writer.close()
            writer = self._writer = self._open_writer(create=False)
        return writer

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)  # or the WAL keeps what it has
        writer.close()

    def _require_open(self) -> None:
        if self._pid != os.getpid():
            raise ClosedError(
                f"the store {str(self.path)!r} was opened by the process that forked this one; "
                "open it again in this process"
            )
        if self._closed:
            raise ClosedError(f"the store {str(self.path)!r} is closed; open it again")

    # -- when the process forks: see ``forking``
    def rest(self, deadline: float) -> bool:
        return forking.rest_all(self._resting, deadline)

    def wake(self) -> None:
        for part in reversed(self._resting):
            part.wake()

    @property
    def _resting(self) -> tuple[forking.CanRest, ...]:
        return self._lock, self._readers, self._checkpoints, self._watch

    def handles(self) -> list[forking.Handle]:
        writer = [] if self._writer is None else [self._writer]
        return [
            *writer,
            *self._readers.all_connections(),
            *self._checkpoints.connections(),
            *self._watch.connections(),
        ]

    def forked(self) -> None:
        self._lock.forget()
