"""Search of partitions too large for memory: volumes on disk, kept current by the log."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem.config import usable_cores
from agentmem.errors import StoreFullError, StorePathError
from agentmem.index.analyzer import EnglishAnalyzer
from agentmem.index.beside import Beside
from agentmem.index.finding import Finder
from agentmem.index.hybrid import Hybrid
from agentmem.index.question import Question
from agentmem.index.recipe import RECIPE
from agentmem.index.shelf import Holding, Shelf, TooMuchChanged
from agentmem.index.volume_file import Life, Overtaken, Volumes
from agentmem.ports import Aside, StaleSnapshot, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from agentmem.config import IndexConfig, RankingConfig
    from agentmem.errors import AgentMemError
    from agentmem.ports import Filter, Snapshot
    from agentmem.types import Cues, Hit, IndexRows, PartitionKey, Scope, SearchMode, TermBatch

__all__ = ["LargeIndex"]

#: A tail of more rows than this, and than this share of the first volume, is worth a new volume.
_LONG_TAIL = 20_000
_TAIL_SHARE = 0.125
_REMEMBERED_SIZES = 1_024
_PAST = 4  # states kept, for searches whose snapshot another thread has outrun


#: So many times as long as that, a tail is no longer followed: the search writes the volume.
_FAR = 4.0


class _Stopped(Exception):
    pass


class _Place:
    """One large partition.  ``lock`` guards the rest and is held while the log is followed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.life: Life | None = None
        self.path: Path | None = None  # of the first volume
        self.shelves: list[Shelf] = []  # newest last


class LargeIndex:
    """Exact scores for the candidates of a partition that is never in memory as a whole.

    A partition's first volume is a file that any process may write and all map.  What the log says
    since is held in memory, in small volumes, and becomes part of a new file once it is long.

    Args:
        ranking: how to score.
        config: from which size a partition is large.
        folder: where the volumes are.
        read: opens a snapshot of the store.
        settle: see ``ports.Store.settle``; a file must not outlive the events it speaks of.
        aside: makes of some work what runs it in a thread, once it is started.
        gone: see ``HotIndex``.
    """

    def __init__(
        self,
        ranking: RankingConfig,
        config: IndexConfig,
        folder: Path,
        read: Callable[[], AbstractContextManager[Snapshot]],
        settle: Callable[[], None],
        aside: Callable[[Work], Aside],
        gone: Callable[[Sequence[int] | None], None] | None = None,
    ) -> None:
        analyzer = EnglishAnalyzer()
        self._window = ranking.window
        self._beside = Beside(usable_cores() if config.parallel else 1)
        self._finder = Finder(ranking, Hybrid(ranking, analyzer), analyzer, self._beside)
        self._from = config.large_rows
        self._volumes = Volumes(folder)
        self._read = read
        self._settle = settle
        self._aside = aside(self._write_due)
        self._gone = gone or (lambda _: None)
        self._lock = threading.Lock()  # the three below
        self._places: dict[PartitionKey, _Place] = {}
        self._due: list[PartitionKey] = []  # whose volume is to be written aside
        self._sizes: OrderedDict[PartitionKey, tuple[str, int, int]] = OrderedDict()
        self._error: AgentMemError | None = None
        self._counters = dict.fromkeys(("searches", "opened", "written", "left_to_hot"), 0)

    def serves(self, snapshot: Snapshot, partition: PartitionKey) -> bool:
        """Whether a partition has at least ``index.large_rows`` memories."""
        seq, epoch = snapshot.seq, snapshot.epoch
        if not self._from or seq < self._from:  # one event at least for each memory
            return False
        known = self._sizes.get(partition)  # without the lock: every search asks
        if known is not None and known[0] == epoch:
            _, at, size = known
            # It can have gained no more memories than the log has events.
            if size + abs(seq - at) < self._from:
                return False
            if size - abs(seq - at) >= self._from:
                return True
        size = snapshot.size(partition)
        with self._lock:
            self._sizes[partition] = (epoch, seq, size)
            self._sizes.move_to_end(partition)
            if len(self._sizes) > _REMEMBERED_SIZES:
                self._sizes.popitem(last=False)
        return size >= self._from

    def search(
        self,
        snapshot: Snapshot,
        partition: PartitionKey,
        *,
        mode: SearchMode,
        vectors: NDArray[np.float32] | None,
        terms: TermBatch | None,
        top_k: int,
        now: int | None,
        scope: Scope,
        where: Filter | None,
        threshold: float | None,
        explain: bool,
        cues: Sequence[Cues] | None,
        at: int | None,
    ) -> list[list[Hit]] | None:
        """See ``ports.LargeIndex``."""
        try:
            shelf = self._capture(snapshot, partition)
        except TooMuchChanged:
            self._counters["left_to_hot"] += 1
            return None
        except (StoreFullError, StorePathError) as error:  # memory needs no room on the disk
            self._error = error
            self._counters["left_to_hot"] += 1
            return None
        narrowed = {k: v for k, v in scope.given().items() if k != partition.column}
        scopes = snapshot.scopes_within(scope) if narrowed else None
        queries = len(vectors) if vectors is not None else len(terms.lengths) if terms else 0
        answers = []
        for i in range(queries):
            words, counts = (None, None) if terms is None else terms.of(i)
            asked = Question(
                mode=mode,
                vector=None if vectors is None else vectors[i],
                terms=words,
                counts=counts,
                cues=cues[i] if cues else None,
                top_k=top_k,
                threshold=threshold,
                explain=explain,
                now=now,
                at=at,
            )
            answers.append(
                self._finder.find(
                    shelf,
                    asked,
                    scopes=scopes,
                    sift=None if where is None else lambda k: snapshot.matching_among(k, where),
                    everything=lambda: snapshot.matching_keys(partition, where),  # type: ignore[arg-type]
                )
            )
        self._counters["searches"] += queries
        return answers

    def clear(self) -> None:
        """Forget every partition and remove the volumes: nothing of them must be left."""
        with self._lock:
            self._places, self._sizes = {}, OrderedDict()
        self._volumes.clear()

    def stats(self) -> dict[str, Any]:
        """Counts since this process opened the store, and what there is now."""
        with self._lock:
            shelves = [place.shelves[-1] for place in self._places.values() if place.shelves]
        error = self._error
        return {
            "partitions": len(shelves),
            "rows": sum(shelf.n for shelf in shelves),
            "clustered": sum(s.holdings[0].volume.clusters is not None for s in shelves),
            "tail_rows": sum(shelf.tail_rows for shelf in shelves),
            "bytes": sum(shelf.nbytes for shelf in shelves),
            "file_bytes": self._volumes.bytes(),
            **self._counters,
            "error": None if error is None else f"{type(error).__name__}: {error}",
        }

    def close(self) -> None:
        """Stop writing, and end the thread of searches."""
        self._aside.stop()
        self._beside.close()

    def write(self, partition: PartitionKey, stopped: Callable[[], bool] = lambda: False) -> None:
        """Write a partition's volume as of now, unless it is ``stopped``.

        Raises:
            StoreFullError, StorePathError
        """
        erasures = self._volumes.erasures()
        with self._read() as snapshot, contextlib.suppress(Overtaken, _Stopped):
            self._settle()
            self._volumes.write(
                partition,
                _life(snapshot),
                _until(stopped, snapshot.load_parts(partition)),
                dim=snapshot.dim,
                window=self._window,
                seq=snapshot.seq,
                erasures=erasures,
            )
            self._counters["written"] += 1
            self._error = None

    def _write_due(self, stopped: Callable[[], bool]) -> None:
        while self._due and not stopped():
            try:
                self.write(self._due[0], stopped)
            except (StoreFullError, StorePathError) as error:
                self._error = error
            with self._lock:
                del self._due[0]

    # -- one partition as of one snapshot ---------------------------------------------------------

    def _capture(self, snapshot: Snapshot, partition: PartitionKey) -> Shelf:
        """
        Raises:
            StaleSnapshot: what is known is newer than the snapshot.
            TooMuchChanged
        """
        with self._lock:
            place = self._places.setdefault(partition, _Place())
        snapshot.begin()  # those who wait for the lock may have all connections
        with place.lock:
            self._refresh(place, snapshot, partition)
            for shelf in reversed(place.shelves):
                if shelf.seq == snapshot.seq:
                    return shelf
            if place.shelves[-1].seq > snapshot.seq:
                raise StaleSnapshot
            shelf = place.shelves[-1].at(snapshot, self._gone)
            place.shelves = [*place.shelves[1 - _PAST :], shelf]
            return shelf

    def _refresh(self, place: _Place, snapshot: Snapshot, partition: PartitionKey) -> None:
        """Have the newest volume, written here if there is none or the tail is too long."""
        life = _life(snapshot)
        newest = self._volumes.newest(partition)
        shelf = place.shelves[-1] if place.shelves else None
        if place.life != life or newest != place.path or shelf is None:
            shelf = self._opened(newest, life, snapshot, partition)
            self._gone(None)
        length = _FAR if shelf is None else _tail_share(shelf, snapshot.seq)
        if length >= _FAR:
            self.write(partition)
            newest = self._volumes.newest(partition)
            shelf = self._opened(newest, life, snapshot, partition)
        elif length >= 1 and partition not in self._due:
            with self._lock:
                self._due.append(partition)
            self._aside.start()
        if shelf is None:  # another life has begun, or something was erased
            raise StaleSnapshot
        if newest != place.path or place.life != life:
            place.life, place.path, place.shelves = life, newest, [shelf]

    def _opened(
        self, path: Path | None, life: Life, snapshot: Snapshot, partition: PartitionKey
    ) -> Shelf | None:
        """
        Raises:
            StaleSnapshot: the volume is newer than the snapshot.
        """
        if path is None:
            return None
        volume = self._volumes.open(path, life, self._window)
        if volume is None:
            self._volumes.discard(path)  # else it would go before a new one of a smaller seq
            return None
        if volume.seq > snapshot.seq:
            raise StaleSnapshot
        self._counters["opened"] += 1
        return Shelf(partition, (Holding.of(volume),), volume.seq)


def _tail_share(shelf: Shelf, seq: int) -> float:
    """The log since the first volume, over the length from which a new one is worth it."""
    first = shelf.holdings[0].volume
    return (seq - first.seq) / max(_LONG_TAIL, _TAIL_SHARE * first.n)


def _until(stopped: Callable[[], bool], parts: Iterator[IndexRows]) -> Iterator[IndexRows]:
    for part in parts:
        if stopped():
            raise _Stopped
        yield part


def _life(snapshot: Snapshot) -> Life:
    return Life(snapshot.epoch, snapshot.model_id, RECIPE)
