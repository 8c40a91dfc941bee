"""Read connections, last used first, and to those who wait in the order in which they came."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from agentmem.errors import ClosedError, StoreTimeoutError
from agentmem.store.connection import Connection

__all__ = ["ReaderPool"]


class _Waiter:
    """A thread that blocks until ``turn`` is released: it has a connection then, or may open one,
    or else the pool is closed."""

    __slots__ = ("connection", "may_open", "turn")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.may_open = False
        self.turn = threading.Lock()
        self.turn.acquire()


class ReaderPool:
    """At most ``size`` connections, opened as needed.  A broken one is replaced.

    The most recently used is handed out first: its page cache is warm, and the rest of the
    pool stays unopened while the load does not need it.  Who finds none waits in line: threads
    that take one after the other would otherwise keep them among themselves.
    """

    def __init__(self, opener: Callable[[], Connection], size: int) -> None:
        self._open = opener
        self._size = max(1, size)
        self._idle: list[Connection] = []  # append and pop are atomic
        self._all: set[Connection] = set()
        self._count = 0  # open connections, idle or lent, and those being opened
        self._state = threading.Condition()
        self._waiting: deque[_Waiter] = deque()
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
        if self._waiting or self._resting is not None:
            self._changed()
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
            self._changed()

    def close(self) -> None:
        """Close idle connections now and lent ones when they come back."""
        self._closed = True
        self._changed()
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
            "waiting": len(self._waiting),
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
            while True:
                self._take_idle(held)
                if len(held) == self._count:
                    return True
                if not self._state.wait(max(0.0, deadline - time.monotonic())):
                    break
        self.wake()
        return False

    def wake(self) -> None:
        with self._state:
            held, self._resting = self._resting or [], None
            self._idle += held
        self._changed()

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

    def _changed(self) -> None:
        """Serve those who wait, as far as there is something for them."""
        with self._state:
            self._serve()
            self._state.notify_all()  # ``rest``

    def _serve(self) -> None:
        waiting = self._waiting
        while waiting:
            first = waiting[0]
            if not self._closed:
                if self._resting is not None:
                    return
                try:
                    first.connection = self._idle.pop()
                except IndexError:
                    if self._count >= self._size:
                        return
                    self._count += 1
                    first.may_open = True
            waiting.popleft()
            first.turn.release()

    def _acquire_slowly(self, timeout: float, beside: bool) -> Connection:
        if beside and not self._closed:
            with self._state:
                self._count += 1
            return self._opened()
        waiter = _Waiter()
        with self._state:
            self._waiting.append(waiter)
            self._serve()
        try:
            served = waiter.turn.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))
        except BaseException:  # an interrupt: it may have been served all the same; raised again
            if not self._withdraw(waiter):
                self._give_back(waiter)
            raise
        if not served and self._withdraw(waiter):
            raise StoreTimeoutError(
                f"all {self._size} read connections stayed in use for {timeout:g} s; "
                "finish a reader, or raise config.store.readers"
            )
        if waiter.connection is not None:
            return waiter.connection
        if waiter.may_open:
            return self._opened()
        raise ClosedError("the store is closed; open it again")

    def _withdraw(self, waiter: _Waiter) -> bool:
        """Leave the line; False if it has been served meanwhile."""
        with self._state:
            try:
                self._waiting.remove(waiter)
            except ValueError:
                return False
            return True

    def _give_back(self, waiter: _Waiter) -> None:
        if waiter.connection is not None:
            self.release(waiter.connection)
        elif waiter.may_open:
            self._unopened()

    def _opened(self) -> Connection:
        """A new connection, which has been counted."""
        try:
            connection = self._open()
        except BaseException:  # an interrupt, too; raised again
            self._unopened()
            raise
        self._all.add(connection)
        return connection

    def _unopened(self) -> None:
        with self._state:
            self._count -= 1
        self._changed()
