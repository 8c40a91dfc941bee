"""Search of partitions too large for memory: volumes on disk, kept current by the log."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem.index.analyzer import EnglishAnalyzer
from agentmem.index.finding import Finder
from agentmem.index.hybrid import Hybrid
from agentmem.index.question import Question
from agentmem.index.recipe import RECIPE
from agentmem.index.shelf import Holding, Shelf, TooMuchChanged
from agentmem.index.volume_file import Life, Volumes
from agentmem.ports import StaleSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from agentmem.config import IndexConfig, RankingConfig
    from agentmem.ports import Filter, Snapshot
    from agentmem.types import Cues, Hit, PartitionKey, Scope, SearchMode, TermBatch

__all__ = ["LargeIndex"]

#: A tail of more rows than this, and than this share of the first volume, is worth a new volume.
_LONG_TAIL = 20_000
_TAIL_SHARE = 0.125
_REMEMBERED_SIZES = 1_024
_PAST = 4  # older states kept, for searches whose snapshot another thread has outrun


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
        gone: see ``HotIndex``.
    """

    def __init__(
        self,
        ranking: RankingConfig,
        config: IndexConfig,
        folder: Path,
        gone: Callable[[Sequence[int] | None], None] | None = None,
    ) -> None:
        analyzer = EnglishAnalyzer()
        self._window = ranking.window
        self._finder = Finder(ranking, Hybrid(ranking, analyzer), analyzer)
        self._from = config.large_rows
        self._volumes = Volumes(folder)
        self._gone = gone or (lambda _: None)
        self._lock = threading.Lock()  # the two below
        self._places: dict[PartitionKey, _Place] = {}
        self._sizes: OrderedDict[PartitionKey, tuple[str, int, int]] = OrderedDict()
        self._counters = dict.fromkeys(("searches", "opened", "written", "left_to_hot"), 0)

    def serves(self, snapshot: Snapshot, partition: PartitionKey) -> bool:
        """Whether a partition has at least ``index.large_rows`` memories."""
        seq, epoch = snapshot.seq, snapshot.epoch
        if not self._from or seq < self._from:  # one event at least for each memory
            return False
        with self._lock:
            known = self._sizes.get(partition)
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
        narrowed = {k: v for k, v in scope.given().items() if k != partition.column}
        scopes = snapshot.scopes_within(scope) if narrowed else None
        queries = len(vectors) if vectors is not None else len(terms.lengths) if terms else 0
        answers = []
        for i in range(queries):
            words = slice(0) if terms is None else slice(*terms.offsets[i : i + 2].tolist())
            asked = Question(
                mode=mode,
                vector=None if vectors is None else vectors[i],
                terms=None if terms is None else terms.terms[words],
                counts=None if terms is None else terms.counts[words],
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
        return {
            "partitions": len(shelves),
            "rows": sum(shelf.n for shelf in shelves),
            "clustered": sum(s.holdings[0].volume.clusters is not None for s in shelves),
            "tail_rows": sum(shelf.tail_rows for shelf in shelves),
            "bytes": sum(shelf.nbytes for shelf in shelves),
            "file_bytes": self._volumes.bytes(),
            **self._counters,
        }

    def write(self, snapshot: Snapshot, partition: PartitionKey) -> Path:
        """Write a partition's volume as of ``snapshot``.

        Raises:
            StoreFullError, StorePathError
        """
        self._counters["written"] += 1
        return self._volumes.write(
            partition,
            _life(snapshot),
            snapshot.load_parts(partition),
            dim=snapshot.dim,
            window=self._window,
            seq=snapshot.seq,
        )

    # -- one partition as of one snapshot ---------------------------------------------------------

    def _capture(self, snapshot: Snapshot, partition: PartitionKey) -> Shelf:
        """
        Raises:
            StaleSnapshot: what is known is newer than the snapshot.
            TooMuchChanged
        """
        with self._lock:
            place = self._places.setdefault(partition, _Place())
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
        known = place.life == life and place.shelves and newest == place.path
        if known and not _is_long(place.shelves[-1], snapshot.seq):
            return
        shelf = self._opened(newest, life, snapshot, partition)
        if shelf is None or _is_long(shelf, snapshot.seq):
            newest = self.write(snapshot, partition)
            shelf = self._opened(newest, life, snapshot, partition)
            assert shelf is not None
        place.life, place.path, place.shelves = life, newest, [shelf]
        self._gone(None)

    def _opened(
        self, path: Path | None, life: Life, snapshot: Snapshot, partition: PartitionKey
    ) -> Shelf | None:
        volume = None if path is None else self._volumes.open(path, life, self._window)
        if volume is None or volume.seq > snapshot.seq:
            return None
        self._counters["opened"] += 1
        return Shelf(partition, (Holding.of(volume),), volume.seq)


def _is_long(shelf: Shelf, seq: int) -> bool:
    """Whether the log since the first volume is so long that reading anew costs less."""
    first = shelf.holdings[0].volume
    return seq - first.seq > max(_LONG_TAIL, _TAIL_SHARE * first.n)


def _life(snapshot: Snapshot) -> Life:
    return Life(snapshot.epoch, snapshot.model_id, RECIPE)
