"""Queries to answers: prepare, rank in one snapshot, fetch the rows in the same snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from agentmem.errors import ScopeError
from agentmem.inputs import require_scope
from agentmem.ports import StaleSnapshot
from agentmem.search.query import check_options, prepare
from agentmem.types import PartitionKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from agentmem.ports import (
        Filter,
        Remake,
        Snapshot,
    )
    from agentmem.search.means import Means
    from agentmem.search.query import Queries
    from agentmem.types import Hit, Record, Scope, SearchMode, TermBatch

    #: The state that is to be asked, from a snapshot of the present.
    StateOf = Callable[[Snapshot, Remake], Snapshot]
    #: Of the hits of a query, by its number, those whose rows are to be fetched.
    Wanted = Callable[[int, list[Hit]], list[Hit]]

__all__ = ["Found", "Searcher"]

_T = TypeVar("_T")

#: Snapshots that other threads' searches may outrun before one is searched on its own.
_ATTEMPTS = 16
#: The deepest ranking that candidates are enough for; a deeper one, and pages, rank every memory.
_DEEPEST = 1_000


@dataclass(slots=True)
class Found:
    """Answers of one state of the store."""

    items: list[list[dict[str, Any]]]  # per query, best first
    epoch: str
    seq: int


@dataclass(slots=True)
class _Search:
    """What ``HotIndex.search`` is asked, but for the snapshot, and of which state."""

    queries: Queries
    partition: PartitionKey
    scope: Scope
    where: Filter | None
    top_k: int
    threshold: float | None
    mode: SearchMode
    explain: bool
    now: int | None
    at: int | None
    state_of: StateOf | None = None
    wanted: Wanted | None = None
    exact: bool = False  # the best of some candidates will not do


class Searcher:
    """Search of one store with one embedder.  Safe on any thread."""

    def __init__(self, means: Means) -> None:
        self._store, self._embedder, self._analyzer = means.store, means.embedder, means.analyzer
        self._index, self._large = means.index, means.large
        self._items, self._allowed = means.items, means.allowed
        self._limits = means.config.limits

    def search_batch(
        self,
        queries: Sequence[str | None],
        *,
        scope: Scope,
        where: Filter | None = None,
        top_k: int = 10,
        threshold: float | None = None,
        mode: SearchMode = "hybrid",
        explain: bool = False,
        vectors: Any = None,
        now: int | None = None,
        at: int | None = None,
        unscoped: bool = False,
        state_of: StateOf | None = None,
        depth: int | None = None,
        wanted: Wanted | None = None,
        exact: bool = False,
    ) -> Found:
        """The best memories for each query, best first, ties by smaller key, as ``Memory.search``
        returns them.

        All queries are embedded as one batch and answered from one snapshot.

        Args:
            where: an additional condition on the memories.
            threshold: the least score.
            vectors: ``(len(queries), dim)`` numbers, or ``(dim,)`` for one query, to use as
                embeddings; not in keyword mode.
            now: microseconds; memories that expired by then are left out (None: shown).
            at: microseconds; when the queries are asked, from which recency and dates such as
                "yesterday" count (None: now).
            unscoped: search the whole store; ``scope`` must then be empty.
            state_of: which state of the store is asked; the present one if absent.
            depth: rank so many; ``top_k`` if absent.
            wanted: which of them are answered; all if absent.
            exact: rank every memory, also of a partition that is served from candidates: pages
                must be parts of one ranking.  So are more than 1,000.

        Raises:
            ScopeError: neither a scope nor ``unscoped``, or both.
            InvalidInputError, LimitError, VectorError: see ``query``, and what ``state_of`` raises.
            ModelMismatchError: another process has moved the store to another model.
        """
        partition = _partition(scope, unscoped)
        asked = self._prepare(queries, vectors, mode, top_k, threshold, at)
        if not asked.n:
            return Found([], "", 0)
        deep = top_k if depth is None else depth
        search = _Search(
            asked,
            partition,
            scope,
            where,
            deep,
            threshold,
            mode,
            explain,
            now,
            at,
            state_of,
            wanted,
            exact or deep > _DEEPEST,
        )
        ranked, found, state = self._in_snapshot(search, self._items.answer)
        self._note(ranked)
        return Found(found, state.epoch, state.seq)

    def ranked(
        self,
        query: str | None,
        *,
        scope: Scope,
        where: Filter | None = None,
        top_k: int = 10,
        threshold: float | None = None,
        mode: SearchMode = "hybrid",
        vector: Any = None,
        now: int | None = None,
        at: int | None = None,
        unscoped: bool = False,
        state_of: StateOf | None = None,
    ) -> list[tuple[Record, Hit]]:
        """The same for one query, with the rows as they are stored; however many, they may be
        the best of candidates."""
        partition = _partition(scope, unscoped)
        asked = self._prepare([query], vector, mode, top_k, threshold, at)
        search = _Search(
            asked, partition, scope, where, top_k, threshold, mode, False, now, at, state_of
        )
        ranked, found, _ = self._in_snapshot(search, _as_records)
        self._note(ranked)
        return found[0]

    def _prepare(
        self,
        queries: Sequence[str | None],
        vectors: Any,
        mode: SearchMode,
        top_k: int,
        threshold: float | None,
        at: int | None,
    ) -> Queries:
        check_options(mode, top_k, threshold, self._limits)
        return prepare(
            queries,
            vectors,
            mode,
            embedder=self._embedder,
            analyzer=self._analyzer,
            limits=self._limits,
            at=at,
        )

    def _in_snapshot(
        self, search: _Search, fetch: Callable[[list[list[Hit]], Snapshot, int], _T]
    ) -> tuple[list[list[Hit]], _T, Snapshot]:
        """The hits, what ``fetch(hits, state, life)`` makes of them, and the state itself, in a
        snapshot that the index has not outrun."""
        for _ in range(_ATTEMPTS):
            life = self._items.life
            try:
                with self._store.peek() as snapshot:
                    ranked, state = self._rank(search, snapshot, False)
                    return ranked, fetch(ranked, state, life), state
            except StaleSnapshot:
                continue  # a newer snapshot is at least where the index was
        life = self._items.life
        with self._store.read() as snapshot:
            ranked, state = self._rank(search, snapshot, True)
            return ranked, fetch(ranked, state, life), state

    def _rank(
        self, search: _Search, snapshot: Snapshot, private: bool
    ) -> tuple[list[list[Hit]], Snapshot]:
        """The hits, and the state of the store that they are of."""
        asked, where, wanted = search.queries, search.where, search.wanted
        partition = search.partition
        state = snapshot if search.state_of is None else search.state_of(snapshot, self._remake)
        options: dict[str, Any] = {
            "mode": search.mode,
            "vectors": asked.vectors,
            "terms": asked.terms,
            "top_k": search.top_k,
            "now": search.now,
            "scope": search.scope,
            "threshold": search.threshold,
            "explain": search.explain,
            "cues": asked.cues,
            "at": search.at,
        }
        alone = private or state is not snapshot
        ranked = None
        if not alone and not search.exact and self._large.serves(snapshot, partition):
            ranked = self._large.search(snapshot, partition, where=where, **options)
        if ranked is None:
            allowed = None if where is None else self._allowed_by(where, snapshot, state, partition)
            ranked = self._index.search(state, partition, allowed=allowed, private=alone, **options)
        if wanted is not None:
            ranked = [wanted(i, hits) for i, hits in enumerate(ranked)]
        return ranked, state

    def _allowed_by(
        self, where: Filter, snapshot: Snapshot, state: Snapshot, partition: PartitionKey
    ) -> NDArray[np.int64]:
        if state is not snapshot:
            return state.matching_keys(partition, where)
        return self._allowed.keys(snapshot, partition, where)

    def _remake(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], TermBatch]:
        """What the store keeps of its present texts, for those of the past."""
        return self._embedder.embed(texts), self._analyzer.analyze(texts)

    def _note(self, ranked: list[list[Hit]]) -> None:
        if len(ranked) == 1:
            keys = [hit.key for hit in ranked[0]]
        else:
            keys = list({hit.key for hits in ranked for hit in hits})
        if keys:
            self._store.note_access(keys)


def _partition(scope: Scope, unscoped: bool) -> PartitionKey:
    if not unscoped:
        require_scope(scope)
    elif scope:
        given = ", ".join(f"{name}={value!r}" for name, value in scope.given().items())
        raise ScopeError(f"unscoped=True searches every scope, and {given} was given; drop one")
    return PartitionKey.of(scope)


def _as_records(
    ranked: list[list[Hit]], snapshot: Snapshot, life: int
) -> list[list[tuple[Record, Hit]]]:
    """The rows of all hits, in one call."""
    records = snapshot.records(list({hit.key for hits in ranked for hit in hits}))
    return [[(records[hit.key], hit) for hit in hits] for hits in ranked]
