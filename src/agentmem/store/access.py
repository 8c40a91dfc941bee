"""How often and when memories were read: counted in memory, written in batches."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from agentmem.store.connection import Connection
from agentmem.times import now_micros

__all__ = ["AccessCounts"]

_Counts = dict[int, tuple[int, int]]  # key -> (reads since the last write, last read)


class AccessCounts:
    """Thread-safe.  Counts that a crash loses are statistics, not memories."""

    #: Write along with the next transaction once so many memories were read.
    BATCH = 256
    #: Write without waiting for a transaction once so many were.
    MOST = 10_000

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._counts: _Counts = {}

    def note(self, keys: Sequence[int]) -> None:
        now = now_micros()
        with self._mutex:
            counts = self._counts
            for key in keys:
                count, _ = counts.get(key, (0, 0))
                counts[key] = (count + 1, now)

    @property
    def pending(self) -> int:
        return len(self._counts)

    def take(self) -> _Counts:
        with self._mutex:
            counts, self._counts = self._counts, {}
        return counts

    def give_back(self, counts: _Counts) -> None:
        """After a rollback."""
        with self._mutex:
            for key, (count, at) in counts.items():
                more, later = self._counts.get(key, (0, 0))
                self._counts[key] = (count + more, max(at, later))


def write_counts(connection: Connection, counts: _Counts) -> None:
    """Add to the stored counts of the memories that still exist."""
    connection.many(
        "INSERT INTO access(key, count, last_at)"
        " SELECT key, ?, ? FROM memories WHERE key = ?"
        " ON CONFLICT(key) DO UPDATE SET count = count + excluded.count,"
        " last_at = max(last_at, excluded.last_at)",
        [(count, at, key) for key, (count, at) in counts.items()],
    )
