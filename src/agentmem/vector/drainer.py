"""Draining the log into the table, in whatever process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from agentmem.vector.follow import Follower
from agentmem.vector.lock import DrainLock
from agentmem.vector.place import Place

if TYPE_CHECKING:
    from agentmem.config import ProjectionConfig
    from agentmem.ports import Progress, Store
    from agentmem.vector.follow import Indexer

__all__ = ["PATIENCE", "Drainer"]

PATIENCE = 60.0  # seconds to wait for another drainer that does not advance


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
    def locked(self) -> Iterator[None]:
        """
        Raises:
            StoreTimeoutError: another drainer does not advance.
            StorePathError: the store is gone.
        """
        self._store.require_present()  # the lock's file would make a folder
        with self._lock.hold(lambda: self.seq), self._timed():
            yield

    def drain(self, progress: Progress | None) -> int:
        """To the log's present end, once it is our turn; the seq reached."""
        with self.locked():
            return self.follower.catch_up(progress, _never)

    def shorten(self, progress: Progress | None, stopped: Callable[[], bool]) -> None:
        """Until less than ``drain_rows`` is left, unless another one is at it."""
        self._store.require_present()
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
