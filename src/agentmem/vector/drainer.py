"""Draining the log into the table, in whatever process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from agentmem.vector.follow import Follower, fits
from agentmem.vector.lock import DrainLock
from agentmem.vector.place import Place

if TYPE_CHECKING:
    from agentmem.config import ProjectionConfig
    from agentmem.ports import Progress, Store
    from agentmem.vector.follow import Indexer

__all__ = ["PATIENCE", "Drainer", "load"]

PATIENCE = 60.0  # seconds to wait for another drainer that does not advance


def load() -> None:
    """Import lancedb, which takes a second or, without a free core, several: before the lock is
    taken, or all others who drain would wait for it."""
    import agentmem.vector.table  # noqa: F401


class Drainer:
    """The place of a table, the lock of those who drain into it, and one who does.

    Args:
        home: the store's folder.
        whole: entered around what should not be broken off: it may be at any moment, but then
            leaves files behind that nobody uses.
    """

    def __init__(
        self,
        home: Path,
        store: Store,
        config: ProjectionConfig,
        indexer: Indexer,
        *,
        patience: float = PATIENCE,
        whole: AbstractContextManager[object] = nullcontext(),  # noqa: B008  it has no state
    ) -> None:
        self.place = Place(home, config.uri)
        self.follower = Follower(self.place, store, config, indexer, whole)
        self.seconds = 0.0  # with the lock
        self._store = store
        self._lock = DrainLock(home / "drain.lock", patience)
        self._threshold = max(1, config.drain_rows)

    @property
    def seq(self) -> int:
        """The last event applied, without importing lancedb; 0 when there is no table."""
        mark = self.place.load()
        return mark.seq if mark is not None and self.place.present(mark) else 0

    @contextmanager
    def locked(self, done: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Yields whether there is still something to do: see ``DrainLock.hold``.

        Raises:
            StoreTimeoutError: another drainer does not advance.
            StorePathError: the store is gone.
        """
        self._store.require_present()  # the lock's file would make a folder
        with self._lock.hold(lambda: self.seq, done) as due, self._timed():
            yield due

    def reached(self, goal: int) -> int | None:
        """The last event applied if ``goal`` is, told without lancedb; else None."""
        mark = self.place.load()
        with self._store.read() as snapshot:
            if mark is None:
                empty = snapshot.seq == 0 and not self.place.stray(snapshot.epoch)
                return 0 if empty else None
            if fits(mark, snapshot) and mark.seq >= goal and self.place.present(mark):
                return mark.seq
        return None

    def drain(self, progress: Progress | None, goal: int) -> int:
        """To the log's present end, once it is our turn, unless others have come to ``goal``
        before; the seq reached.  So nobody waits for more than one drain that began later than
        this one, in whatever order they get the lock."""
        load()
        reached: int | None = None

        def done() -> bool:
            nonlocal reached
            reached = self.reached(goal)
            return reached is not None

        with self.locked(done) as due:
            if due:
                reached = self.follower.catch_up(progress, _never)
        assert reached is not None
        return reached

    def shorten(self, progress: Progress | None, stopped: Callable[[], bool]) -> None:
        """Until less than ``drain_rows`` is left, unless another one is at it."""
        self._store.require_present()
        load()
        with self._lock.attempt() as taken, self._timed():
            while taken and not stopped():
                seq = self.follower.catch_up(progress, stopped)
                if self._store.last_seq() - seq < self._threshold:
                    return

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - begin


def _never() -> bool:
    return False
