"""A second thread for one search at a time."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Beside"]

_A = TypeVar("_A")
_B = TypeVar("_B")


class Beside:
    """Does two pieces of work of one caller at the same time, where that gains.

    There is one thread, made when it is first of use, for whoever comes first; a caller that finds
    it taken does one piece after the other, as do all on a machine with one processor: many
    searches at once have work for every core as it is.  So do those that come when the main thread
    has ended, for no thread is to be had then.  Any thread may call.
    """

    def __init__(self, cores: int) -> None:
        """``cores``: how many may be used."""
        self._taken = threading.Lock()
        self._enabled = cores > 1
        self._thread: ThreadPoolExecutor | None = None

    def both(self, first: Callable[[], _A], second: Callable[[], _B]) -> tuple[_A, _B]:
        """What the two return; ``first`` is done in this thread.

        An error of ``first`` is raised before one of ``second``, and only when both have ended.
        """
        if not self._enabled or not self._taken.acquire(blocking=False):
            return first(), second()
        try:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "agentmem-beside")
            other = _submitted(self._thread, second)
            if other is None:
                return first(), second()
            try:
                done = first()
            finally:
                error = other.exception()  # waits
            if error is not None:
                raise error
            return done, other.result()
        finally:
            self._taken.release()

    def close(self) -> None:
        """End the thread; from now on there is none."""
        with self._taken:
            self._enabled = False
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()


def _submitted(thread: ThreadPoolExecutor, work: Callable[[], _A]) -> Future[_A] | None:
    """None where no thread takes it: the program has ended but for threads that go on."""
    try:
        return thread.submit(work)
    except RuntimeError:
        return None
