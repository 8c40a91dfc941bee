"""How often and when memories were read: counted in memory, written in batches."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from itertools import chain

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
    #: Reads that are noted down before they are added up: a search waits for it, so not too many.
    NOTED = 16

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._noted: deque[tuple[int, Sequence[int]]] = deque()  # (when, keys); needs no lock
        self._reads: Counter[int] = Counter()
        self._last: dict[int, int] = {}

    def note(self, keys: Sequence[int]) -> None:
        """Memories that were read now; ``keys`` must not change."""
        self._noted.append((now_micros(), keys))
        if len(self._noted) >= self.NOTED:
            with self._mutex:
                self._add_up()

    @property
    def pending(self) -> int:
        """About how many memories were read since the last write."""
        return len(self._reads) + len(self._noted)

    def take(self) -> _Counts:
        with self._mutex:
            self._add_up()
            reads, last = self._reads, self._last
            self._reads, self._last = Counter(), {}
        return {key: (count, last[key]) for key, count in reads.items()}

    def give_back(self, counts: _Counts) -> None:
        """After a rollback."""
        with self._mutex:
            self._add_up()
            for key, (count, at) in counts.items():
                self._reads[key] += count
                self._last[key] = max(at, self._last.get(key, 0))

    def _add_up(self) -> None:
        noted = self._noted
        found = [noted.popleft() for _ in range(len(noted))]
        self._reads.update(chain.from_iterable(keys for _, keys in found))
        last = self._last
        for at, keys in found:
            for key in keys:
                last[key] = at


def write_counts(connection: Connection, counts: _Counts) -> None:
    """Add to the stored counts of the memories that still exist."""
    connection.many(
        "INSERT INTO access(key, count, last_at)"
        " SELECT key, ?, ? FROM memories WHERE key = ?"
        " ON CONFLICT(key) DO UPDATE SET count = count + excluded.count,"
        " last_at = max(last_at, excluded.last_at)",
        [(count, at, key) for key, (count, at) in counts.items()],
    )
