"""Read connections, last used first, and to those who wait in the order in which they came."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from agentmem.errors import ClosedError, StoreTimeoutError
from agentmem.store.connection import Connection

__all__ = ["ReaderPool"]

#: To a connection that nobody uses, where ``_find_lost`` looks: in the set of all, in its list of
#: them, as the one it is at, as an argument.
_REFERENCES = 4
#: Without a global lock references are not counted in one place.
_COUNTED = getattr(sys, "_is_gil_enabled", lambda: True)()


class _Waiter:
    """A thread that blocks until ``turn`` is released: it has a connection then, or may open one,
    or else the pool is closed."""

    __slots__ = ("connection", "turn")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.turn = threading.Lock()
        self.turn.acquire()


class ReaderPool:
    """At most ``size`` connections, opened as needed.  A broken one is replaced.

    The most recently used is handed out first: its page cache is warm, and the rest of the
    pool stays unopened while the load does not need it.  Who finds none waits in line: threads
    that take one after the other would otherwise keep them among themselves.

    An interrupt may strike a thread between any two of its steps, when it has a connection and
    has not yet noted it, or is about to give it back.  Such a connection is found by nobody
    having it any more (``_find_lost``), when it is missed.
    """

    def __init__(self, opener: Callable[[], Connection], size: int) -> None:
        self._open = opener
        self._size = max(1, size)
        self._idle: list[Connection] = []  # append and pop are atomic
        self._all: set[Connection] = set()  # idle or lent
        self._opening: set[_Waiter] = set()  # who may open one more, or is at it
        self._mutex = threading.Lock()  # of what follows, and of looking how many there are
        self._waiting: deque[_Waiter] = deque()
        self._resting: list[Connection] | None = None  # those that ``rest`` took
        self._look_again: threading.Lock | None = None  # released when ``rest`` should
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
        if connection.broken or self._closed or self.open_count > self._size:
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
            self._all.discard(connection)
            self._changed()

    def close(self) -> None:
        """Close idle connections now and lent ones when they come back."""
        self._closed = True
        with self._mutex:
            self._find_lost()
        self._changed()
        self._close_idle()

    @property
    def open_count(self) -> int:
        """Connections that are open, or about to be."""
        return len(self._all) + len(self._opening)

    def stats(self) -> dict[str, int]:
        """Connections open, lent out now, allowed, and threads that wait for one."""
        with self._mutex:
            self._find_lost()
        return {
            "open": self.open_count,
            "in_use": max(0, self.open_count - len(self._idle)),
            "most": self._size,
            "waiting": len(self._waiting),
        }

    def all_connections(self) -> list[Connection]:
        """Idle and lent ones, for a forked child, which must abandon them."""
        return list(self._all)

    def rest(self, deadline: float) -> bool:
        """Wait until no connection is lent, and lend none before ``wake``; False, with nothing
        changed, if that is not so by ``deadline`` (``time.monotonic``)."""
        held: list[Connection] = []
        turn = threading.Lock()
        turn.acquire()
        with self._mutex:
            self._resting, self._look_again = held, turn
        while True:
            with self._mutex:
                self._find_lost()
                self._take_idle(held)
                if len(held) == self.open_count:
                    return True
            if not turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
                break
        self.wake()
        return False

    def wake(self) -> None:
        with self._mutex:
            held, self._resting, self._look_again = self._resting or [], None, None
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
        with self._mutex:
            self._serve()
            if self._look_again is not None and self._look_again.locked():
                self._look_again.release()

    def _serve(self) -> None:
        """Nobody is served twice, wherever an interrupt has struck before."""
        waiting = self._waiting
        while waiting:
            first = waiting[0]
            if not (self._closed or self._is_served(first) or self._give(first)):
                return
            if first.turn.locked():
                first.turn.release()
            waiting.popleft()

    def _is_served(self, waiter: _Waiter) -> bool:
        return waiter.connection is not None or waiter in self._opening

    def _give(self, waiter: _Waiter) -> bool:
        """A connection, or the right to open one; False if there is neither."""
        if self._resting is not None:
            return False
        try:
            waiter.connection = self._idle.pop()
        except IndexError:
            if self.open_count >= self._size:
                if not self._find_lost():
                    return False
                return self._give(waiter)
            self._opening.add(waiter)
        return True

    def _find_lost(self) -> bool:
        """Take back connections that are lent and that nobody has; whether there were any."""
        found = False
        for connection in list(self._all) if _COUNTED else ():
            if connection in self._idle or sys.getrefcount(connection) > _REFERENCES:
                continue
            found = True
            connection.rollback()
            if connection.broken:
                self._all.discard(connection)
                connection.close()
            else:
                self._idle.append(connection)
        return found

    def _acquire_slowly(self, timeout: float, beside: bool) -> Connection:
        waiter = _Waiter()
        if beside and not self._closed:
            return self._opened(waiter)
        try:
            with self._mutex:
                self._waiting.append(waiter)
                self._serve()
            in_time = waiter.turn.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))
        except BaseException:  # an interrupt: it may have been served all the same; raised again
            if not self._withdraw(waiter):
                self._give_back(waiter)
            raise
        if not in_time and self._withdraw(waiter):
            raise StoreTimeoutError(
                f"all {self._size} read connections stayed in use for {timeout:g} s; "
                "finish a reader, or raise config.store.readers"
            )
        if waiter.connection is not None:
            return waiter.connection
        if waiter in self._opening:
            return self._opened(waiter)
        raise ClosedError("the store is closed; open it again")

    def _withdraw(self, waiter: _Waiter) -> bool:
        """Leave the line; False if there is something to give back."""
        with self._mutex, suppress(ValueError):
            self._waiting.remove(waiter)
        return not self._is_served(waiter)

    def _give_back(self, waiter: _Waiter) -> None:
        if waiter.connection is not None:
            self.release(waiter.connection)
        self._opening.discard(waiter)
        self._changed()

    def _opened(self, waiter: _Waiter) -> Connection:
        """A new connection for it."""
        try:
            self._opening.add(waiter)
            connection = self._open()
            self._all.add(connection)
        except BaseException:  # an interrupt, too; raised again
            self._opening.discard(waiter)
            self._changed()
            raise
        self._opening.discard(waiter)
        return connection
