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
        self._closed = False

    def acquire(self, timeout: float) -> Connection:
        """An open connection.

        Raises:
            StoreTimeoutError: all of them stayed lent for ``timeout`` seconds.
            ClosedError: the pool is closed.
        """
        try:
            return self._idle.pop()
        except IndexError:
            return self._acquire_slowly(timeout)

    def release(self, connection: Connection) -> None:
        if connection.broken or self._closed:
            self.discard(connection)
            return
        self._idle.append(connection)
        if self._waiting:
            with self._state:
                self._state.notify()
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
                self._state.notify()

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

    def _close_idle(self) -> None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            self.discard(connection)

    def _acquire_slowly(self, timeout: float) -> Connection:
        deadline = time.monotonic() + timeout
        with self._state:
            self._waiting += 1
            try:
                while True:
                    if self._closed:
                        raise ClosedError("the store is closed; open it again")
                    if self._idle:
                        try:
                            return self._idle.pop()
                        except IndexError:
                            continue
                    if self._count < self._size:
                        self._count += 1
                        break
                    left = deadline - time.monotonic()
                    if left <= 0 or not self._state.wait(left):
                        if self._idle:
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
