"""How often and when memories were read: counted in memory, written in batches."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import chain

from agentmem.errors import AgentMemError
from agentmem.store.connection import Connection
from agentmem.times import now_micros

__all__ = ["AccessCounts"]

_Counts = dict[int, tuple[int, int]]  # key -> (reads since the last write, last read)


class AccessCounts:
    """Thread-safe.  Counts that a crash loses are statistics, not memories."""

    #: Once so many memories were read, the next transaction writes so many of them along: 2 ms.
    BATCH = 256
    #: Written without waiting for a transaction once so many were, in a thread: a search would
    #: wait 60 ms and for the disk.
    MOST = 10_000
    #: Of these, at once: other writers wait no longer than for a small batch.
    PART = 1_000
    #: Reads that are noted down before they are added up: a search waits for it, so not too many.
    NOTED = 16

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._noted: deque[tuple[int, Sequence[int]]] = deque()  # (when, keys); needs no lock
        self._reads: Counter[int] = Counter()
        self._last: dict[int, int] = {}
        self._writing = threading.Lock()

    def note(self, keys: Sequence[int]) -> bool:
        """Memories that were read now; ``keys`` must not change.  Whether so many were read that
        they had better be written; looked at now and then."""
        self._noted.append((now_micros(), keys))
        if len(self._noted) < self.NOTED:
            return False
        with self._mutex:
            self._add_up()
        return len(self._reads) >= self.MOST

    @property
    def pending(self) -> int:
        """About how many memories were read since the last write; of the last reads, not added up
        yet, only how many there were."""
        return len(self._reads) + len(self._noted)

    def take(self, most: int | None = None) -> _Counts:
        """Some of them, or all, which are then not here any more."""
        with self._mutex:
            self._add_up()
            reads, last = self._reads, self._last
            if most is not None and most < len(reads):
                return {key: (count, last.pop(key)) for key, count in _popped(reads, most)}
            self._reads, self._last = Counter(), {}
        return {key: (count, last[key]) for key, count in reads.items()}

    def write_beside(self, write: Callable[[], object]) -> None:
        """Have a thread call ``write`` until less than a part is left, or it raises; nothing, if
        one does so already."""
        if not self._writing.acquire(blocking=False):
            return

        def work() -> None:
            try:
                while self.pending >= self.PART:
                    write()
            except AgentMemError:
                pass  # another time: somebody is writing, the disk is full, the store was closed
            finally:
                self._writing.release()

        threading.Thread(target=work, name="agentmem-access", daemon=True).start()

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


def _popped(reads: Counter[int], most: int) -> list[tuple[int, int]]:
    return [reads.popitem() for _ in range(most)]


def write_counts(connection: Connection, counts: _Counts) -> None:
    """Add to the stored counts of the memories that still exist."""
    connection.many(
        "INSERT INTO access(key, count, last_at)"
        " SELECT key, ?, ? FROM memories WHERE key = ?"
        " ON CONFLICT(key) DO UPDATE SET count = count + excluded.count,"
        " last_at = max(last_at, excluded.last_at)",
        [(count, at, key) for key, (count, at) in counts.items()],
    )
