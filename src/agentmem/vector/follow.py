"""Following the log: what changed in SQLite becomes commits of the table.

Everything here is called by the holder of the drain lock.  What makes it sound, in the order in
which it is relied on:

- *One drainer.*  The lock.
- *The watermark follows the table.*  Commit, make the table's files durable, then replace the
  watermark.  Commits that no watermark vouches for (a crash in between) are rolled back.
- *A fence.*  Before each commit the watermark must be the one this drainer wrote, and each
  commit must be the table's very next version.  A drainer that slept while its lock was lost
  notices either, and starts over from the watermark.
- *Rows carry their seq.*  A merge replaces only rows with a smaller one, and keys are never
  reused, so applying a part of the log twice changes nothing.
- *One table per life.*  Its name is new with each epoch and each rebuild, so whoever still writes
  to an old one writes to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from agentmem.errors import StoreCorruptError, StoreError
from agentmem.vector.faults import Overtaken, TableLost

if TYPE_CHECKING:
    import pyarrow as pa

    from agentmem.ports import Progress, Snapshot, Store
    from agentmem.types import Changes, IndexRows
    from agentmem.vector.place import Place
    from agentmem.vector.table import Table
    from agentmem.vector.watermark import Watermark

__all__ = ["Follower", "fits"]

_COMPACT_AFTER = 64  # commits; each leaves a file or two, and a search opens them all
_KEEP = timedelta(minutes=1)  # versions that another process may still be reading
_AT_ONCE = timedelta(milliseconds=1)  # LanceDB warns about zero
_RESTARTS = 8
_SLICE_ROWS = 2_000  # records fetched at once
_SLICE_BYTES = 64 << 20  # text of one Arrow batch: few long memories must not fill the memory


def fits(mark: Watermark, snapshot: Snapshot) -> bool:
    """Whether a table at ``mark`` belongs to this life of the store and to its model."""
    return (
        mark.epoch == snapshot.epoch
        and mark.model_id == snapshot.model_id
        and mark.seq <= snapshot.seq
    )


class Follower:
    """Applies the log of ``store`` to the table in ``place``, ``batch_rows`` events at a time."""

    def __init__(self, place: Place, store: Store, batch_rows: int) -> None:
        self._place = place
        self._store = store
        self._batch_rows = max(1, batch_rows)
        self.rows = 0  # applied since this process began
        self.rebuilds = 0

    def catch_up(self, progress: Progress | None, stopped: Callable[[], bool]) -> int:
        """Bring the table to the log's present end, or to where ``stopped()`` ended it; returns
        the seq reached.  A lost or foreign table is made anew.

        Raises:
            StoreFullError, StorePathError, StoreTimeoutError
            StoreCorruptError: the table is lost again right after it was rebuilt.
        """
        lost = False
        for _ in range(_RESTARTS):
            try:
                return self._pass(progress, stopped)
            except Overtaken:
                continue
            except TableLost:
                if lost:
                    raise
                lost = True
                self.discard()
        raise StoreError(
            f"the table in {self._place.uri} keeps being changed by someone else while it is"
            " drained; drain.lock in the store's folder must be kept, and locks must work on"
            " its file system"
        )

    def discard(self) -> None:
        """Remove watermark and tables, so that the next pass starts from nothing."""
        with self._store.read() as snapshot:
            epoch = snapshot.epoch
        self._place.discard(epoch)
        self.rebuilds += 1

    def erase(self) -> None:
        """Leave no deleted row in any file: rewrite the table, then delete all other files.

        Raises:
            TableLost, StoreFullError, StorePathError
        """
        mark = self._place.load()
        if mark is None or not mark.table:
            return
        mark, table = self._open(mark)
        table.rewrite()
        mark = mark.at(version=table.version)
        self._place.save(mark)
        table.compact(_AT_ONCE, abandoned=True)
        self._place.save(mark.at(version=table.version, commits=0))

    def _pass(self, progress: Progress | None, stopped: Callable[[], bool]) -> int:
        with self._store.read() as snapshot:
            goal = snapshot.seq
            mark = self._adopt(snapshot)
        table: Table | None = None
        if mark.table:
            mark, table = self._open(mark)
        start = mark.seq
        while mark.seq < goal and not stopped():
            with self._store.read() as snapshot:
                if not fits(mark, snapshot):
                    raise Overtaken  # a reset or another model meanwhile
                changes = snapshot.changes(mark.seq, limit=self._batch_rows)
                if table is None and len(changes.rows.keys):
                    mark, table = self._create(mark, changes.rows)
                if table is not None:
                    mark = self._apply(snapshot, changes, mark, table)
            mark = mark.at(seq=changes.seq)
            self._place.save(mark)
            if progress is not None:
                progress(min(mark.seq, goal) - start, goal - start)
        if table is not None and mark.commits >= _COMPACT_AFTER:
            table.compact(_KEEP)
            self._place.save(mark.at(version=table.version, commits=0))
        return mark.seq

    def _adopt(self, snapshot: Snapshot) -> Watermark:
        mark = self._place.load()
        if mark is not None and fits(mark, snapshot):
            return mark
        if mark is not None or self._place.stray():
            self.rebuilds += 1
        self._place.discard(snapshot.epoch)
        mark = self._place.start(snapshot.epoch, snapshot.model_id)
        if snapshot.seq:
            self._place.save(mark)
        return mark

    def _open(self, mark: Watermark) -> tuple[Watermark, Table]:
        from agentmem.vector.rows import arrow_schema
        from agentmem.vector.table import Table

        table = Table.open(self._place.uri, mark.table)
        if table.version < mark.version or table.schema != arrow_schema(mark.dim, half=True):
            raise TableLost(
                f"the LanceDB table {mark.table} in {self._place.uri} is not the one that was"
                " left there; run `agentmem check --repair`, which rebuilds it from SQLite"
            )
        if table.version > mark.version:
            table.roll_back(mark.version)
            mark = mark.at(version=table.version)
            self._place.save(mark)
        return mark, table

    def _create(self, mark: Watermark, rows: IndexRows) -> tuple[Watermark, Table]:
        from agentmem.vector.rows import arrow_schema
        from agentmem.vector.table import Table

        # A crash right after ``create`` leaves a table that no watermark names.
        self._place.discard(mark.epoch)
        name = self._place.new_table(mark.epoch)
        dim = rows.vectors.shape[1]
        table = Table.create(self._place.uri, name, arrow_schema(dim, half=True))
        mark = mark.at(table=name, dim=dim, version=table.version)
        self._place.save(mark)
        return mark, table

    def _apply(
        self, snapshot: Snapshot, changes: Changes, mark: Watermark, table: Table
    ) -> Watermark:
        """The commits of one stretch of the log; returns the mark with its new version."""
        first = table.version
        for batch in _batches(snapshot, changes.rows):
            self._fence(mark)
            table.upsert(batch)
            self.rows += batch.num_rows
        if len(changes.gone):
            self._fence(mark)
            table.delete(changes.gone.tolist(), snapshot.seq)
            self.rows += len(changes.gone)
        self._fence(mark)
        return mark.at(version=table.version, commits=mark.commits + table.version - first)

    def _fence(self, mark: Watermark) -> None:
        """
        Raises:
            Overtaken: the watermark is no longer the one that this drainer wrote.
        """
        if self._place.load() != mark:
            raise Overtaken


def _batches(snapshot: Snapshot, rows: IndexRows) -> Iterator[pa.RecordBatch]:
    """The rows as Arrow batches, each bounded in bytes."""
    import numpy as np

    from agentmem.vector.rows import arrow_rows

    vectors = rows.vectors.astype(np.float16, copy=False)
    keys = rows.keys.tolist()
    records, size, begin = [], 0, 0
    for start in range(0, len(keys), _SLICE_ROWS):
        wanted = keys[start : start + _SLICE_ROWS]
        found = snapshot.records(wanted)
        for i, key in enumerate(wanted, start):
            record = found.get(key)
            if record is None:
                raise StoreCorruptError(
                    f"memory {key} is in the log's tail and not among the rows; run"
                    " `agentmem check --repair`"
                )
            records.append(record)
            size += len(record.content) + len(record.metadata or "")
            if size >= _SLICE_BYTES:
                yield arrow_rows(records, vectors[begin : i + 1])
                records, size, begin = [], 0, i + 1
    if records:
        yield arrow_rows(records, vectors[begin:])
