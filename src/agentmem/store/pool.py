"""Read connections, last used first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from agentmem.errors import ClosedError, StoreTimeoutError
from agentmem.store.connection import Connection

__all__ = ["ReaderPool"]


class ReaderPool:
    """At most ``size`` connections, opened as needed.  A broken one is replaced.

    The most recently used is handed out first: its page cache is warm, and the rest of the
    pool stays unopened while the load does not need it.
    """

    def __init__(self, opener: Callable[[], Connection], size: int) -> None:
        self._open = opener
        self._size = max(1, size)
        self._idle: list[Connection] = []  # append and pop are atomic
        self._all: set[Connection] = set()
        self._count = 0  # open connections, idle or lent, and those being opened
        self._state = threading.Condition()
        self._waiting = 0
        self._resting: list[Connection] | None = None  # those that ``rest`` took
        self._closed = False

    def acquire(self, timeout: float, *, beside: bool = False) -> Connection:
        """An open connection; ``beside``: one more than allowed, if all of them are lent.

        Raises:
            StoreTimeoutError: all of them stayed lent for ``timeout`` seconds.
            ClosedError: the pool is closed.
        """
        try:
            return self._idle.pop()
        except IndexError:
            return self._acquire_slowly(timeout, beside)

    def release(self, connection: Connection) -> None:
        if connection.broken or self._closed or self._count > self._size:
            self.discard(connection)
            return
        self._idle.append(connection)
        if self._waiting:
            with self._state:
                self._state.notify_all()  # one that waits may leave it to another: see ``rest``
        if self._closed:  # close() may have looked at ``_idle`` just before
            self._close_idle()

    def discard(self, connection: Connection) -> None:
        """Close a lent connection instead of giving it back."""
        try:
            connection.close()
        finally:
            with self._state:
                self._all.discard(connection)
                self._count -= 1
                self._state.notify_all()

    def close(self) -> None:
        """Close idle connections now and lent ones when they come back."""
        with self._state:
            self._closed = True
            self._state.notify_all()
        self._close_idle()

    @property
    def open_count(self) -> int:
        return self._count

    def stats(self) -> dict[str, int]:
        """Connections open, lent out now, allowed, and threads that wait for one."""
        return {
            "open": self._count,
            "in_use": max(0, self._count - len(self._idle)),
            "most": self._size,
            "waiting": self._waiting,
        }

    def all_connections(self) -> list[Connection]:
        """Idle and lent ones, for a forked child, which must abandon them."""
        return list(self._all)

    def rest(self, deadline: float) -> bool:
        """Wait until no connection is lent, and lend none before ``wake``; False, with nothing
        changed, if that is not so by ``deadline`` (``time.monotonic``)."""
        with self._state:
            held: list[Connection] = []
            self._resting = held
            self._waiting += 1
            try:
                while True:
                    self._take_idle(held)
                    if len(held) == self._count:
                        return True
                    if not self._state.wait(max(0.0, deadline - time.monotonic())):
                        break
            finally:
                self._waiting -= 1
        self.wake()
        return False

    def wake(self) -> None:
        with self._state:
            held, self._resting = self._resting or [], None
            self._idle += held
            self._state.notify_all()

    def _take_idle(self, held: list[Connection]) -> None:
        while True:
            try:
                held.append(self._idle.pop())
            except IndexError:
                return

    def _close_idle(self) -> None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            self.discard(connection)

    def _acquire_slowly(self, timeout: float, beside: bool) -> Connection:
        deadline = time.monotonic() + timeout
        with self._state:
            self._waiting += 1
            try:
                while True:
                    if self._closed:
                        raise ClosedError("the store is closed; open it again")
                    if self._idle and self._resting is None:
                        try:
                            return self._idle.pop()
                        except IndexError:
                            continue
                    if beside or (self._count < self._size and self._resting is None):
                        self._count += 1
                        break
                    left = deadline - time.monotonic()
                    if left <= 0 or not self._state.wait(left):
                        if self._idle and self._resting is None:
                            continue
                        raise StoreTimeoutError(
                            f"all {self._size} read connections stayed in use for {timeout:g} s; "
                            "finish a reader, or raise config.store.readers"
                        )
            finally:
                self._waiting -= 1
        try:
            connection = self._open()
        except BaseException:  # an interrupt, too; raised again
            with self._state:
                self._count -= 1
                self._state.notify()
            raise
        self._all.add(connection)
        return connection
