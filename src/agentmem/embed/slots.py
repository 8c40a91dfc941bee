"""A fixed number of things to borrow, handed from one borrower straight to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Slots"]

T = TypeVar("T")

_NOTHING = object()


class _Waiter(Generic[T]):
    """One blocked borrower: a lock that is released when its item has come."""

    __slots__ = ("item", "wake")

    def __init__(self) -> None:
        self.item: T | object = _NOTHING
        self.wake = Lock()
        self.wake.acquire()


class Slots(Generic[T]):
    """Items lent to at most as many threads at once.

    Free items are taken last in, first out, so that the warmest is used.  Borrowers who must
    wait are served in the order in which they came: an item is given to the first of them
    before its last user can take it again, so a thread that borrows in a loop starves nobody.
    """

    def __init__(self, items: Sequence[T]) -> None:
        self._lock = Lock()
        self._free = list(items)
        self._waiting: deque[_Waiter[T]] = deque()

    @contextmanager
    def borrow(self) -> Iterator[T]:
        item = self._take()
        try:
            yield item
        finally:
            self._give(item)

    def _take(self) -> T:
        with self._lock:
            if self._free:
                return self._free.pop()
            waiter: _Waiter[T] = _Waiter()
            self._waiting.append(waiter)
        try:
            waiter.wake.acquire()
        except BaseException:  # KeyboardInterrupt: do not keep what nobody will give back
            self._abandon(waiter)
            raise
        return waiter.item  # type: ignore[return-value]

    def _give(self, item: T) -> None:
        with self._lock:
            if self._waiting:
                waiter = self._waiting.popleft()
                waiter.item = item
                waiter.wake.release()
            else:
                self._free.append(item)

    def _abandon(self, waiter: _Waiter[T]) -> None:
        with self._lock:
            if waiter.item is _NOTHING:
                self._waiting.remove(waiter)
                return
        self._give(waiter.item)  # type: ignore[arg-type]
