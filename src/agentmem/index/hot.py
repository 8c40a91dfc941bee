"""The hot index: partitions loaded on demand, kept current by the log, under a byte budget."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem.index.analyzer import EnglishAnalyzer
from agentmem.index.columns import take_rows
from agentmem.index.hybrid import Hybrid
from agentmem.index.past import PastView
from agentmem.index.scoring import masks_of, rank
from agentmem.index.view import EMPTY, View
from agentmem.ports import StaleSnapshot
from agentmem.types import NEVER, PartitionKey, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from agentmem.config import IndexConfig, RankingConfig
    from agentmem.ports import Snapshot
    from agentmem.types import Changes, Cues, Hit, IndexRows, SearchMode, TermBatch

__all__ = ["HotIndex"]

_TAIL_EVENTS = 10_000  # events read from the log at a time
#: A tail longer than this and than all loaded rows is not followed: reloading costs less.
_LONG_TAIL = 2_000
_JOURNAL_BATCHES = 1_024  # of deleted keys, before every partition takes note of them
_JOURNAL_KEYS = 1 << 18
_ANY = Scope()
_ONE_GIVEN = len(_ANY) - 1


@dataclass(slots=True, eq=False)
class _Partition:
    """What is loaded for one key.  All fields but the last change under the index's lock only."""

    view: View
    changed: int  # seq of the last event known to have changed it: older snapshots differ
    noted: int  # batches of the journal of deletions that it has taken note of
    merging: bool = False
    touched: bool = False  # used without the lock since it was last moved to the end


@dataclass(slots=True, eq=False)
class _Ready:
    """Partitions as they are at one event.  What it says stays true; it is replaced when something
    has changed only so that old views are not held."""

    seq: int
    life: tuple[str, str]
    partitions: dict[PartitionKey, tuple[View, _Partition]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Load:
    """A partition that some thread is reading from the store right now."""

    noted: int
    missed: list[tuple[IndexRows, int]] = field(default_factory=list)  # changes since it began
    done: threading.Event = field(default_factory=threading.Event)


class HotIndex:
    """Exact search inside partitions that are held in memory.

    The index as a whole stands at one ``seq`` of one store epoch and model.  The log's tail is
    read once per process and handed to the loaded partitions that hold the changed scopes;
    deletions, whose scope the log no longer tells, are noted by a partition when it is next
    used.  Views are immutable: a search takes one under a short lock and scans without it.
    """

    def __init__(
        self,
        ranking: RankingConfig,
        config: IndexConfig,
        gone: Callable[[Sequence[int] | None], None] | None = None,
    ) -> None:
        """``gone`` is told the keys of memories that no longer exist, for caches beside the index;
        None where the index has not looked which."""
        self._gone = gone or (lambda _: None)
        self._ranking = ranking
        self._hybrid = Hybrid(ranking, EnglishAnalyzer())
        self._max_bytes = config.max_bytes
        self._lock = threading.Lock()  # everything below; held for moments
        self._tail = threading.Lock()  # one thread reads the log's tail; taken before _lock
        self._life: tuple[str, str] | None = None  # store epoch and model id
        self._seq = 0
        self._partitions: OrderedDict[PartitionKey, _Partition] = OrderedDict()  # by last use
        self._ready: _Ready | None = None  # read without the lock
        self._loading: dict[PartitionKey, _Load] = {}
        self._bytes = 0
        self._journal: list[tuple[int, NDArray[np.int64]]] = []  # (seq, deleted keys)
        self._journal_start = 0  # number of the first batch in the journal
        self._journal_keys = 0
        self._past = PastView(config.max_bytes // 4)
        self._counters = dict.fromkeys(("searches", "loads", "evictions", "tails", "stale"), 0)

    # -- searching ------------------------------------------------------------------------

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
        allowed: NDArray[np.int64] | None,
        threshold: float | None,
        explain: bool,
        private: bool = False,
        cues: Sequence[Cues] | None = None,
        at: int | None = None,
    ) -> list[list[Hit]]:
        """See ``ports.HotIndex``."""
        if private:
            view = self._past.of(snapshot, partition, _load)
        else:
            view = self._capture(snapshot, partition)
            if view.merge_due():
                view = self._merge(partition, view)
        if scope.count(None) == _ONE_GIVEN:  # the partition is all of it
            scope = _ANY
        masks = masks_of(view, scope=scope, now=now, allowed=allowed)
        queries = len(vectors) if vectors is not None else len(terms.lengths) if terms else 0
        answers = []
        for i in range(queries):
            words, counts = (None, None) if terms is None else terms.of(i)
            answers.append(
                rank(
                    view,
                    self._ranking,
                    self._hybrid,
                    mode=mode,
                    vector=None if vectors is None else vectors[i],
                    terms=words,
                    counts=counts,
                    masks=masks,
                    top_k=top_k,
                    threshold=threshold,
                    explain=explain,
                    cues=cues[i] if cues else None,
                    at=at,
                )
            )
        return answers

    def version(
        self, snapshot: Snapshot, partition: PartitionKey, now: int | None
    ) -> tuple[int, int]:
        """See ``ports.HotIndex``."""
        view = self._capture(snapshot, partition, counted=False)
        return view.stamp, NEVER if now is None else view.next_expiry(now)

    def clear(self) -> None:
        """Forget every partition."""
        with self._lock:
            self._forget()

    def stats(self) -> dict[str, Any]:
        """Counts since this process opened the store, and what is loaded now."""
        with self._lock:
            return {
                "partitions": len(self._partitions),
                "rows": self._rows(),
                "bytes": self._bytes + self._past.nbytes,
                "max_bytes": self._max_bytes,
                "seq": self._seq,
                **self._counters,
            }

    # -- one partition as of one snapshot ---------------------------------------------------

    def _capture(self, snapshot: Snapshot, key: PartitionKey, *, counted: bool = True) -> View:
        """The partition exactly as of ``snapshot.seq``.

        Raises:
            StaleSnapshot: the index has moved beyond the snapshot.
        """
        seq = snapshot.seq
        life = (snapshot.epoch, snapshot.model_id)
        # Threads that do little but search would queue for the lock, and hand over the
        # interpreter's with it every time.
        ready = self._ready
        if ready is not None and ready.seq == seq and ready.life == life:
            found = ready.partitions.get(key)
            if found is not None:
                view, used = found
                used.touched = True
                self._counters["searches"] += counted
                return view
        while True:
            with self._lock:
                if life != self._life:
                    self._forget()
                    self._life, self._seq = life, seq
                behind = seq > self._seq
                load = None
                if not behind:
                    held = self._partitions.get(key)
                    if held is not None:
                        return self._use(key, held, seq, counted)
                    if seq < self._seq:
                        self._counters["stale"] += 1
                        raise StaleSnapshot
                    load = self._loading.get(key)
                    if load is None and snapshot.reading:
                        load = self._loading[key] = _Load(self._journal_end())
                        break
            if load is not None:
                load.done.wait()
                continue
            snapshot.begin()  # those who will wait for this thread may have all connections
            if behind:
                self._follow(snapshot, life)
        return self._fill(snapshot, key, load, counted)

    def _use(self, key: PartitionKey, held: _Partition, seq: int, counted: bool) -> View:
        """The current view, if it is also the one of ``seq``."""
        if held.noted < self._journal_end():
            self._note_deletions(held)
        if seq < held.changed:
            self._counters["stale"] += 1
            raise StaleSnapshot
        self._counters["searches"] += counted
        self._partitions.move_to_end(key)
        assert self._life is not None
        if self._ready is None or self._ready.seq != seq or self._ready.life != self._life:
            self._ready = _Ready(seq, self._life)
        self._ready.partitions[key] = held.view, held
        return held.view

    def _fill(self, snapshot: Snapshot, key: PartitionKey, load: _Load, counted: bool) -> View:
        """Read a partition from the store and publish it.  Returns it as of the snapshot."""
        try:
            view = _load(snapshot, key)
        except BaseException:  # an interrupt, too; raised again
            with self._lock:
                self._end_load(key, load)
            raise
        with self._lock:
            if self._end_load(key, load):
                held = _Partition(view, snapshot.seq, load.noted)
                self._partitions[key] = held
                self._bytes += view.nbytes
                for rows, seq in load.missed:
                    self._replace(held, held.view.adding(rows), seq)
                self._evict()
            self._counters["loads"] += 1
            self._counters["searches"] += counted
        return view

    def _end_load(self, key: PartitionKey, load: _Load) -> bool:
        """Whether the load still counts: nothing was forgotten since it began."""
        load.done.set()
        if self._loading.get(key) is not load:
            return False
        del self._loading[key]
        return True

    def _merge(self, key: PartitionKey, view: View) -> View:
        """Compact a partition, in this thread and outside the lock; the view it becomes."""
        with self._lock:
            held = self._partitions.get(key)
            if held is None or held.merging or held.view is not view:
                return view
            held.merging = True
        try:
            merge = view.merge()
            merged = view.merged(merge)
            with self._lock:
                if self._partitions.get(key) is held:
                    same = held.view is view
                    self._replace(held, merged if same else held.view.merged(merge), held.changed)
        finally:
            held.merging = False
        return merged

    # -- following the log ------------------------------------------------------------------

    def _follow(self, snapshot: Snapshot, life: tuple[str, str]) -> None:
        """Bring the loaded partitions to ``snapshot.seq``.

        The log names what changed, and the snapshot tells how it is now, which may be newer
        than the part of the tail just read.  So everything that changes is marked with the
        snapshot's own seq; a search at a seq between is told that it is stale.
        """
        end = snapshot.seq
        with self._tail:
            while True:
                with self._lock:
                    partitions, since = self._partitions, self._seq
                    if life != self._life or end <= since:
                        return
                    if not partitions and not self._loading:
                        self._forget()
                        self._seq = end
                        return
                    if end - since > _LONG_TAIL and end - since > self._rows():
                        self._forget()
                        self._seq = end
                        return
                changes = snapshot.changes(since, limit=_TAIL_EVENTS)
                if not self._apply(changes, end, partitions):
                    return

    def _apply(
        self, changes: Changes, mark: int, partitions: OrderedDict[PartitionKey, _Partition]
    ) -> bool:
        """Publish changes; False if ``partitions`` were forgotten meanwhile."""
        rows = changes.rows
        spread = _spread(rows)
        with self._lock:
            before = {key: partitions[key].view for key in spread if key in partitions}
        after = {k: view.adding(_taken(rows, spread[k])) for k, view in before.items()}
        with self._lock:
            if partitions is not self._partitions:
                return False
            for key, chosen in spread.items():
                held = partitions.get(key)
                if held is not None and held.view is before.get(key):
                    self._replace(held, after[key], mark)
                elif held is not None:  # loaded, merged or noted deletions meanwhile
                    self._replace(held, held.view.adding(_taken(rows, chosen)), mark)
                elif key in self._loading:
                    self._loading[key].missed.append((_taken(rows, chosen), mark))
            if len(changes.gone):
                self._record_deletions(np.sort(changes.gone), mark)
            # Without progress there are no events left: some numbers were never committed.
            self._seq = changes.seq if changes.seq > self._seq else mark
            self._counters["tails"] += 1
            self._evict()
        return True

    # -- deletions, noted by each partition when it is next used -----------------------------

    def _journal_end(self) -> int:
        return self._journal_start + len(self._journal)

    def _record_deletions(self, keys: NDArray[np.int64], mark: int) -> None:
        self._journal.append((mark, keys))
        self._journal_keys += len(keys)
        self._gone(keys.tolist())
        if len(self._journal) > _JOURNAL_BATCHES or self._journal_keys > _JOURNAL_KEYS:
            for held in self._partitions.values():
                self._note_deletions(held)
            self._loading = {}  # those loads serve their own search only
            self._journal_start = self._journal_end()
            self._journal, self._journal_keys = [], 0

    def _note_deletions(self, held: _Partition) -> None:
        batches = self._journal[held.noted - self._journal_start :]
        held.noted = self._journal_end()
        if batches:
            keys = batches[0][1]
            if len(batches) > 1:
                keys = np.sort(np.concatenate([keys for _, keys in batches]))
            self._replace(held, held.view.without(keys), max(mark for mark, _ in batches))

    # -- what is held, under the lock ---------------------------------------------------------

    def _replace(self, held: _Partition, view: View, mark: int) -> None:
        if view is not held.view:
            self._ready = None
            self._bytes += view.nbytes - held.view.nbytes
            held.view = view
            held.changed = max(held.changed, mark)

    def _rows(self) -> int:
        return sum(held.view.n for held in self._partitions.values())

    def _evict(self) -> None:
        """Least recently used first, about; the last one stays whatever its size."""
        while self._bytes > self._max_bytes and len(self._partitions) > 1:
            key, held = self._partitions.popitem(last=False)
            if held.touched:
                held.touched = False
                self._partitions[key] = held  # at the end
                continue
            self._ready = None
            self._bytes -= held.view.nbytes
            self._counters["evictions"] += 1

    def _forget(self) -> None:
        self._gone(None)
        self._past.clear()
        self._partitions = OrderedDict()
        self._loading = {}
        self._bytes = 0
        self._journal_start = self._journal_end()
        self._journal, self._journal_keys = [], 0


def _load(snapshot: Snapshot, key: PartitionKey) -> View:
    return EMPTY.adding(snapshot.load(key))


def _spread(rows: IndexRows) -> dict[PartitionKey, NDArray[np.intp]]:
    """Ascending row numbers of every partition that these rows belong to."""
    if len(rows.scope_table) == 1:  # after an ``add``, say
        everything = np.arange(len(rows.keys))
        [scope] = rows.scope_table.values()
        return dict.fromkeys(_partitions_of(scope), everything)
    order = np.argsort(rows.scopes, kind="stable")
    ids, starts = np.unique(rows.scopes[order], return_index=True)
    chosen: dict[PartitionKey, list[NDArray[np.intp]]] = {}
    for scope_id, members in zip(ids.tolist(), np.split(order, starts[1:]), strict=False):
        for key in _partitions_of(rows.scope_table[scope_id]):
            chosen.setdefault(key, []).append(members)
    return {k: np.sort(np.concatenate(v)) for k, v in chosen.items()}


def _partitions_of(scope: Scope) -> list[PartitionKey]:
    """All that memories of a scope belong to."""
    found = [PartitionKey(column, value) for column, value in scope.given().items()]
    return [*found, PartitionKey(None, None)]


def _taken(rows: IndexRows, chosen: NDArray[np.intp]) -> IndexRows:
    return rows if len(chosen) == len(rows.keys) else take_rows(rows, chosen)
