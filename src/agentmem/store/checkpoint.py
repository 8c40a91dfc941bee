"""Moving the WAL's pages into the database, beside the writers instead of in their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apsw

from agentmem.errors import StoreError
from agentmem.store.connection import Connection

__all__ = ["Checkpointer"]


class Checkpointer:
    """A thread that checkpoints once the WAL is long, outside the write lock.

    SQLite would do it inside a commit, while every other writer waits.  Under writers and
    readers that never pause such a checkpoint never meets the end of the WAL, and then SQLite
    cannot start it over: past ``HARD`` pages the committer does the rest itself, and waits for
    readers, a moment.  If one stays longer, it tries again ``HARD`` pages later.
    """

    SOFT = 2_000  # pages of 8 KiB
    HARD = 16_000
    PATIENCE_MS = 200

    def __init__(
        self,
        opener: Callable[[], Connection],
        may_copy: Callable[[Connection], bool],
        copied: Callable[[], None],
    ) -> None:
        """``may_copy`` says whether the disk has room for the longer database; ``copied`` is
        called, in that thread, when it may have grown."""
        self._open = opener
        self._may_copy = may_copy
        self._copied = copied
        self._wake = threading.Condition()
        self._copying = threading.Lock()  # SQLite refuses a second checkpoint instead of waiting
        self._due = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None  # of the thread; used while copying
        self._pages = 0
        self._overdue = 0  # beyond HARD: the length of the WAL when it last could not be emptied

    def watch(self, writer: Connection) -> None:
        """Learn the WAL's length from each commit of ``writer``."""
        writer.raw.set_wal_hook(self._committed)

    def after_commit(self, writer: Connection) -> None:
        """Called with the write lock held."""
        if self._pages < self.SOFT:
            return
        if self._pages >= self._overdue + self.HARD:
            self._overdue = 0 if self.empty(writer) else self._pages
            return
        with self._wake:
            self._due = True
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._run, name="agentmem-checkpoint", daemon=True
                )
                self._thread.start()
            self._wake.notify()

    def empty(self, writer: Connection) -> bool:
        """Copy all of the WAL, so that the next commit starts it over; False if it cannot be: a
        reader stays, or the disk lacks the room.  For the holder of the write lock, outside a
        transaction."""
        if not self._copying.acquire(timeout=self.PATIENCE_MS / 1000):
            return False
        try:
            restart = apsw.SQLITE_CHECKPOINT_RESTART
            return self._may_copy(writer) and writer.checkpoint(restart, self.PATIENCE_MS)
        finally:
            self._copying.release()

    @property
    def pages(self) -> int:
        """Length of the WAL at the last commit."""
        return self._pages

    def rest(self, deadline: float) -> bool:
        """Wait until nothing is copied, and keep it so before ``wake``; False if that is not so by
        ``deadline`` (``time.monotonic``)."""
        return self._copying.acquire(timeout=max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        self._copying.release()

    def connections(self) -> list[Connection]:
        return [] if self._connection is None else [self._connection]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is copied meanwhile but by the caller: SQLite refuses a second checkpoint
        instead of waiting, and on a full disk a copy takes room that is needed for better."""
        with self._copying:
            yield

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _committed(self, _connection: object, _name: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._due or self._closed)
                if self._closed:
                    break
                self._due = False
            try:
                with self._copying:
                    if self._connection is None:
                        self._connection = self._open()
                    if self._may_copy(self._connection):
                        self._connection.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._copied()
            except StoreError:  # the next commit meets the same fault and reports it
                self._connection = None
        if self._connection is not None:
            self._connection.close()
