"""Following the log: what changed in SQLite becomes commits of the table.

Everything here is called by the holder of the drain lock.  What makes it sound, in the order in
which it is relied on:

- *One drainer.*  The lock.
- *The watermark follows the table.*  Commit, make the table's files durable, then replace the
  watermark.  A table with more or fewer rows than its watermark vouches for (a crash in between)
  is rolled back; so memories that are new since the watermark can be appended without a look.
- *A fence.*  Before each commit the watermark must be the one this drainer wrote, and after it
  the table must have as many rows as it should.  A drainer that slept while its lock was lost
  notices either, and starts over from the watermark; whoever took over rolls back what it did.
- *Nothing without its store.*  Lance makes any folder that is missing.  So the database must be
  where it was opened before and after each commit, and what a commit that was under way has
  made of a removed or moved folder goes again.
- *Rows carry their seq.*  A merge replaces only rows with a smaller one, and keys are never
  reused, so applying changes twice changes nothing.
- *One table per life.*  Its name is new with each epoch and each rebuild, so whoever still writes
  to an old one writes to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from agentmem.errors import StoreError, StorePathError
from agentmem.vector.ahead import Ahead
from agentmem.vector.faults import Overtaken, TableLost

if TYPE_CHECKING:
    import pyarrow as pa

    from agentmem.config import ProjectionConfig
    from agentmem.ports import Progress, Snapshot, Store
    from agentmem.types import Tail
    from agentmem.vector.indexes import Coverage
    from agentmem.vector.place import Place
    from agentmem.vector.table import Table
    from agentmem.vector.watermark import Watermark

__all__ = ["Follower", "Indexer", "fits", "foreign"]

_COMPACT_AFTER = 64  # commits; each leaves a file or two, and a search opens them all
_KEEP = timedelta(minutes=1)  # versions that another process may still be reading
_AT_ONCE = timedelta(milliseconds=1)  # LanceDB warns about zero
_RESTARTS = 8


def foreign(mark: Watermark, snapshot: Snapshot) -> bool:
    """Whether a table at ``mark`` is of another life of the store, or of another model: after a
    restore, say.  Nobody asks it, and the next drain makes it anew."""
    return mark.epoch != snapshot.epoch or mark.model_id != snapshot.model_id


def fits(mark: Watermark, snapshot: Snapshot) -> bool:
    """Whether a table at ``mark`` belongs to this life of the store and to its model."""
    return not foreign(mark, snapshot) and mark.seq <= snapshot.seq


class Indexer(Protocol):
    """Who has indexes built, in a child process."""

    def start(self, table: str) -> None:
        """Build what ``table`` lacks, unless that is under way."""
        ...

    def nobody(self) -> AbstractContextManager[None]:
        """Have every builder of the store stop, and none begin, in whatever process.

        Raises:
            StoreTimeoutError, StorePathError
        """
        ...


class Follower:
    """Applies the log of ``store`` to the table in ``place``, in batches of ``config``.

    ``whole`` is entered around each batch of commits with its watermark: broken off there, files
    are left that nobody uses.
    """

    def __init__(
        self,
        place: Place,
        store: Store,
        config: ProjectionConfig,
        indexer: Indexer,
        whole: AbstractContextManager[object],
    ) -> None:
        self._place = place
        self._store = store
        self._config = config
        self._indexer = indexer
        self._whole = whole
        self._events = config.batch_rows
        self._bytes = config.batch_bytes
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
                self._require_store()
                if lost or stopped():  # as it goes down the interpreter ends LanceDB's threads
                    raise
                lost = True
                self.discard()
            except StoreError:
                self._require_store()
                raise
        raise StoreError(
            f"the table in {self._place.uri} keeps being changed by someone else while it is"
            " drained; drain.lock in the store's folder must be kept, and locks must work on"
            " its file system"
        )

    def discard(self) -> None:
        """Remove watermark and tables, so that the next pass starts from nothing."""
        self._require_store()
        with self._store.read() as snapshot:
            epoch = snapshot.epoch
        self._discard(epoch)
        self.rebuilds += 1

    def coverage(self) -> Coverage | None:
        """What the indexes of the table cover; None while there is no table.

        Raises:
            TableLost
        """
        from agentmem.vector.table import Table

        mark = self._place.load()
        if mark is None or not mark.table:
            return None
        return Table.open(self._place.uri, mark.table).coverage()

    def index(self) -> bool:
        """Start building what is due, unless that is under way; whether anything is due."""
        mark, covered = self._place.load(), self.coverage()
        if mark is None or covered is None or not covered.due(self._config, mark.commits):
            return False
        self._indexer.start(mark.table)
        return True

    def erase(self) -> None:
        """Leave no deleted row in any file: drop the indexes, rewrite the table, then delete all
        other files.

        Raises:
            TableLost, StoreFullError, StorePathError, StoreTimeoutError
        """
        mark = self._place.load()
        if mark is None or not mark.table:
            return
        with self._indexer.nobody():
            mark, table = self._open(mark)
            table.drop_indexes()
            table.rewrite()
            mark = mark.at(version=table.version)
            self._place.save(mark)
            table.compact(_AT_ONCE, abandoned=True)
            self._place.save(mark.at(version=table.version, commits=0, erased=mark.seq))
        self.index()

    def _pass(self, progress: Progress | None, stopped: Callable[[], bool]) -> int:
        with self._store.read() as snapshot:
            goal = snapshot.seq
            mark = self._adopt(snapshot)
        table: Table | None = None
        if mark.table:
            mark, table = self._open(mark)
        start = mark.seq
        with closing(Ahead(lambda since: self._read(mark.epoch, since), start, goal)) as batches:
            while mark.seq < goal and not stopped():
                tail = batches.next()
                with self._whole:
                    self._require_store()
                    if table is None and tail.added:
                        mark, table = self._create(mark, tail.added[0].schema)
                    if table is not None:
                        mark = self._apply(tail, mark, table)
                    mark = mark.at(seq=tail.seq)
                    self._require_store()
                    if table is not None and mark.seq >= goal:
                        self._check(mark)
                    self._store.settle()  # the watermark must not outlive the events it speaks of
                    self._place.save(mark)
                if progress is not None:
                    progress(min(mark.seq, goal) - start, goal - start)
        if table is not None:
            self._tidy(mark, table)
        return mark.seq

    def _tidy(self, mark: Watermark, table: Table) -> None:
        """Merge small files, and index what is not: in a child process once the table is large."""
        self._require_store()
        covered = table.coverage()
        if covered.due(self._config, mark.commits):
            self._indexer.start(mark.table)
        elif mark.commits >= _COMPACT_AFTER and not covered.segments:
            with self._whole:
                table.compact(_KEEP)
                self._place.save(mark.at(version=table.version, commits=0))

    def _discard(self, epoch: str) -> None:
        with self._indexer.nobody():
            self._place.discard(epoch)

    def _check(self, mark: Watermark) -> None:
        """An append does not notice that what was there before it is gone, so read the keys: ten
        milliseconds for a million.

        Raises:
            TableLost
        """
        from agentmem.vector.table import Table

        Table.open(self._place.uri, mark.table).check(mark.rows, mark.seq)

    def _read(self, epoch: str, since: int) -> Tail[pa.RecordBatch]:
        """
        Raises:
            Overtaken: a reset or another model meanwhile.
        """
        from agentmem.vector.rows import arrow_rows

        with self._store.read() as snapshot:
            if snapshot.epoch != epoch:
                raise Overtaken
            return snapshot.tail(since, arrow_rows, events=self._events, size=self._bytes)

    def _adopt(self, snapshot: Snapshot) -> Watermark:
        mark = self._place.load()
        if mark is not None and fits(mark, snapshot):
            return mark
        if mark is not None or self._place.stray(snapshot.epoch):
            self.rebuilds += 1
        self._require_store()
        self._discard(snapshot.epoch)
        mark = self._place.start(snapshot.epoch, snapshot.model_id)
        if snapshot.seq:
            self._place.save(mark)
        return mark

    def _open(self, mark: Watermark) -> tuple[Watermark, Table]:
        from agentmem.vector.rows import arrow_schema
        from agentmem.vector.table import Table

        table = Table.open(self._place.uri, mark.table)
        if table.version < mark.version or table.schema != arrow_schema(mark.dim):
            raise TableLost(
                f"the LanceDB table {mark.table} in {self._place.uri} is not the one that was"
                " left there; run `agentmem check --repair`, which rebuilds it from SQLite"
            )
        if table.rows != mark.rows:
            table.roll_back(mark.version)
        if table.version > mark.version:
            # Whoever built indexes also merged small files.
            mark = mark.at(version=table.version, commits=0)
            self._place.save(mark)
        return mark, table

    def _create(self, mark: Watermark, schema: pa.Schema) -> tuple[Watermark, Table]:
        from agentmem.vector.table import Table

        # A crash right after ``create`` leaves a table that no watermark names.
        self._place.discard(mark.epoch)
        name = self._place.new_table(mark.epoch)
        table = Table.create(self._place.uri, name, schema)
        dim = schema.field("vector").type.list_size
        mark = mark.at(table=name, dim=dim, version=table.version)
        self._place.save(mark)
        return mark, table

    def _apply(self, tail: Tail[pa.RecordBatch], mark: Watermark, table: Table) -> Watermark:
        """The commits of one stretch of the log; returns the mark with its new version."""
        commits = mark.commits
        if tail.added:
            self._fence(mark)
            table.append(tail.added)
            commits += 1
        if tail.changed:
            self._fence(mark)
            table.upsert(tail.changed)
            commits += 1
        if tail.gone:
            self._fence(mark)
            table.delete(tail.gone, tail.seq)
            commits += 1
        self._fence(mark)
        self.rows += sum(len(batch) for batch in [*tail.added, *tail.changed]) + len(tail.gone)
        return mark.at(version=table.version, rows=table.rows, commits=commits)

    def _require_store(self) -> None:
        """
        Raises:
            StorePathError: it was removed, or another one put in its place.
        """
        try:
            self._store.require_present()
        except StorePathError:
            self._place.forsake()
            raise

    def _fence(self, mark: Watermark) -> None:
        """
        Raises:
            StorePathError: the store is gone.
            Overtaken: the watermark is no longer the one that this drainer wrote.
        """
        self._require_store()
        if self._place.load() != mark:
            raise Overtaken
