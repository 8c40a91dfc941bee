"""The projection as the rest of the library sees it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import (
    AgentMemError,
    ClosedError,
    StoreCorruptError,
    StoreError,
    StoreTimeoutError,
)
from agentmem.vector.builder import Builder
from agentmem.vector.drainer import PATIENCE, Drainer, load
from agentmem.vector.drains import Drains
from agentmem.vector.faults import public_name
from agentmem.vector.follow import fits, foreign
from agentmem.vector.place import Place

if TYPE_CHECKING:
    from agentmem.config import ProjectionConfig
    from agentmem.ports import Progress, Store
    from agentmem.vector.child import Program

__all__ = ["LanceProjection"]

_BUILDS = 4  # in a row, while others write


class LanceProjection:
    """A table in LanceDB that follows the log of one store.  Thread-safe.

    Close it before the store.

    Args:
        folder: the store's folder; holds ``drain.lock`` and, unless configured otherwise, the
            table in ``vectors.lance``.
        store: the truth.
        config: where the table lives and how it is drained.
        program: what a child process runs that drains in the background; None: a thread does.
        patience: seconds to wait for another drainer that does not advance.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        store: Store,
        config: ProjectionConfig,
        *,
        program: Program | None = None,
        patience: float = PATIENCE,
    ) -> None:
        home = Path(folder).resolve()
        self._store = store
        self._config = config
        self._builder = Builder(home, Place(home, config.uri).uri, config, patience)
        self._drainer = Drainer(home, store, config, self._builder, patience=patience)
        self._place = self._drainer.place
        self._follower = self._drainer.follower
        self._drains = Drains(self._drainer, self._builder, program)
        self._threshold = max(1, config.drain_rows)
        self._due = 0  # the seq at which the next look at the watermark is worth it
        self._noted = 0
        self._pid = os.getpid()
        self._closed = False

    @property
    def exists(self) -> bool:
        """Whether there is anything of it on disk, sound or not."""
        if self._place.load() is not None:
            return True
        with self._store.read() as snapshot:
            return self._place.stray(snapshot.epoch)

    def elsewhere(self, seq: int) -> list[str]:
        """URIs of the other databases, outside the store, that have a table of it in which may be
        what was purged until ``seq``."""
        with self._store.read() as snapshot:
            return self._place.elsewhere(snapshot.epoch, seq)

    @property
    def seq(self) -> int:
        """The last event applied, without importing lancedb; 0 when there is no table."""
        return self._drainer.seq

    def drain(self, *, progress: Progress | None = None) -> int:
        """Apply the log's tail; returns the seq reached, which is at least the last one that was
        committed before the call.  ``progress`` counts events.

        Raises:
            StoreTimeoutError: another drainer holds the lock and does not advance.
            StoreFullError, StorePathError: the disk.
            StoreCorruptError: the table is damaged and rebuilding it did not help.
        """
        self._check_usable()
        goal = self._store.last_seq()
        reached = self._drainer.reached(goal)
        # Where a child of ours has lancedb loaded, this process need not load it, too.
        if reached is None and progress is None and self._drains.drain():
            reached = self._drainer.reached(goal)
        if reached is None:
            reached = self._drainer.drain(progress, goal)
        self._drains.error = None
        return reached

    def index(self) -> None:
        """Drain, then wait until the indexes cover what they are due to cover.

        Raises:
            StoreTimeoutError: another process that builds them does not get done.
            StoreError: they cannot be built.
        """
        self.drain()
        for _ in range(_BUILDS):
            if not self._follower.index():
                return
            self._builder.wait()
            if self._builder.error is not None:
                raise StoreError(
                    f"the indexes of {self._place.uri} cannot be built: {self._builder.error}"
                )
            if not self._builder.wait_for_others():
                raise StoreTimeoutError(
                    f"another process has been building indexes of {self._place.uri} for long;"
                    " wait for it, or end it"
                )

    def rebuild(self, *, progress: Progress | None = None) -> int:
        """Drop the table and fill it again from SQLite; returns the seq reached."""
        self._check_usable()
        load()
        with self._drainer.locked():
            self._follower.discard()
            return self._follower.catch_up(progress, _never)

    def discard(self) -> None:
        """Remove the table and whatever else there is of it; the next drain makes it anew."""
        self._check_usable()
        with self._drainer.locked():
            self._follower.discard()

    def purge(self) -> None:
        """Drain, then rewrite the data files so that deleted rows are on no disk block.

        Readers in other processes that were in the middle of a query may have to repeat it.
        """
        self._check_usable()
        load()
        with self._drainer.locked():
            self._follower.catch_up(None, _never)
            try:
                self._follower.erase()
            except StoreCorruptError:
                # A damaged table may hold what must go: nothing of it may stay.
                self._follower.discard()
                self._follower.catch_up(None, _never)

    def clear_unused(self) -> None:
        """Remove the table inside the store where one outside is configured."""
        self._check_usable()
        with self._drainer.locked():
            self._place.clear_unused()

    def verify(self) -> list[str]:
        """Differences from SQLite at the applied seq; empty when equal.

        Reads the whole table; memories changed since the applied seq are not looked at.  A table
        of another life of the store (after a restore) has applied nothing of this one.
        """
        self._check_usable()
        with self._drainer.locked():
            mark = self._place.load()
            with self._store.read() as snapshot:
                if mark is None:
                    if self._place.stray(snapshot.epoch):
                        return [f"{self._place.uri} holds no readable watermark"]
                    return []
                if foreign(mark, snapshot):
                    return []
                if not fits(mark, snapshot):
                    return [
                        f"{self._place.uri} is at event {mark.seq}, and the store has only"
                        f" {snapshot.seq}"
                    ]
                from agentmem.vector.verify import differences

                return differences(self._place, mark, snapshot)

    def notify(self, seq: int) -> None:
        """Say that the log has reached ``seq``: starts a background drain once the tail is
        ``drain_rows`` long.  Cheap enough for every commit; never raises."""
        if seq < self._noted:  # another life of the store
            self._due = 0
        self._noted = seq
        if seq < self._due or self._closed or self._pid != os.getpid():
            return
        if not self._config.enabled:
            return
        try:
            tail = seq - self.seq
        except StoreError as error:  # the commit that is being told of stands all the same
            self._drains.error = error
            self._due = seq + self._threshold
            return
        if 0 <= tail < self._threshold:
            self._due = seq - tail + self._threshold
            return
        # Should the drain fail, or another process be at it, look again that much later.
        self._due = seq + self._threshold
        self._drains.start()

    def wait(self) -> None:
        """Wait until a background drain that is under way has ended, and a child that builds
        indexes."""
        self._drains.join()
        self._builder.wait()

    def stats(self) -> dict[str, Any]:
        """Figures of this process, and where the table stands."""
        error: AgentMemError | None = self._drains.error
        mark = None
        try:
            mark = self._place.load()
        except StoreError as unreadable:
            error = unreadable
        present = mark is not None and self._place.present(mark)
        seq, rows, table = (mark.seq, mark.rows, mark.table) if mark and present else (0, 0, "")
        return {
            "uri": self._place.uri,
            "table": table,
            "seq": seq,
            "tail": max(0, self._store.last_seq() - seq),
            "bytes": self._place.bytes(),
            **self._drains.stats(),
            "error": None if error is None else f"{public_name(error)}: {error}",
            "indexes": self._builder.stats(table, rows),
        }

    def close(self) -> None:
        """Stop a background drain at its next batch, and end a child that builds indexes.
        Idempotent; harmless after ``fork``."""
        self._closed = True
        if self._pid == os.getpid():
            self._builder.stop()
            self._drains.stop()

    def _check_usable(self) -> None:
        if self._pid != os.getpid():
            raise ClosedError(
                "this projection belongs to the process that forked this one; open the store"
                " again in the child"
            )
        if self._closed:
            raise ClosedError("the projection was closed; open the store again")


def _never() -> bool:
    return False
