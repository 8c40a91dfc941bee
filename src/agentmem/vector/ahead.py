"""Reading the next batch while the former is being written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from agentmem.types import Tail

__all__ = ["Ahead"]


class Ahead:
    """The stretches of the log from ``start`` on, until ``goal`` is reached.

    ``read(since)`` runs in a thread of its own, one stretch ahead of ``next``; where one stretch
    is enough, no thread is started.
    """

    def __init__(self, read: Callable[[int], Tail[pa.RecordBatch]], start: int, goal: int) -> None:
        self._read = read
        self._since = start
        self._goal = goal
        self._wanted: SimpleQueue[int | None] = SimpleQueue()
        self._found: SimpleQueue[Tail[pa.RecordBatch] | BaseException] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def next(self) -> Tail[pa.RecordBatch]:
        """The stretch after the last one.

        Raises:
            whatever ``read`` raised.
        """
        if self._thread is None:
            tail = self._read(self._since)
        else:
            found = self._found.get()
            if isinstance(found, BaseException):
                raise found
            tail = found
        self._since = tail.seq
        if tail.seq < self._goal:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="agentmem-drain-read", daemon=True
                )
                self._thread.start()
            self._wanted.put(tail.seq)
        return tail

    def close(self) -> None:
        """Wait for what is being read, and drop it."""
        if self._thread is not None:
            self._wanted.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (since := self._wanted.get()) is not None:
            try:
                self._found.put(self._read(since))
            except BaseException as error:  # noqa: BLE001  whatever it is, ``next`` raises it
                self._found.put(error)
