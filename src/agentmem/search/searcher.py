"""Queries to records: prepare, rank in one snapshot, fetch the rows in the same snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from agentmem.errors import ScopeError
from agentmem.inputs import require_scope
from agentmem.ports import StaleSnapshot
from agentmem.search.query import check_options, prepare
from agentmem.types import PartitionKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentmem.config import Config
    from agentmem.ports import Analyzer, Embedder, Filter, HotIndex, Snapshot, Store
    from agentmem.types import Hit, Record, Scope, SearchMode

__all__ = ["Searcher"]

_T = TypeVar("_T")

#: Snapshots that other threads' searches may outrun before one is searched on its own.
_ATTEMPTS = 16


class Searcher:
    """Search of one store with one embedder.  Safe on any thread."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        analyzer: Analyzer,
        index: HotIndex,
        config: Config,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._analyzer = analyzer
        self._index = index
        self._limits = config.limits

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
        unscoped: bool = False,
    ) -> list[list[tuple[Record, Hit]]]:
        """The best memories for each query, best first, ties by smaller key.

        All queries are embedded as one batch and answered from one snapshot.

        Args:
            where: an additional condition on the memories.
            threshold: the least score.
            vectors: ``(len(queries), dim)`` numbers, or ``(dim,)`` for one query, to use as
                embeddings; not in keyword mode.
            now: microseconds; memories that expired by then are left out (None: shown).
            unscoped: search the whole store; ``scope`` must then be empty.

        Raises:
            ScopeError: neither a scope nor ``unscoped``, or both.
            InvalidInputError, LimitError, VectorError: see ``query``.
            ModelMismatchError: another process has moved the store to another model.
        """
        partition = _partition(scope, unscoped)
        check_options(mode, top_k, threshold, self._limits)
        asked = prepare(
            queries,
            vectors,
            mode,
            embedder=self._embedder,
            analyzer=self._analyzer,
            limits=self._limits,
        )
        if not asked.n:
            return []

        def attempt(snapshot: Snapshot, private: bool) -> list[list[tuple[Record, Hit]]]:
            allowed = None if where is None else snapshot.matching_keys(partition, where)
            ranked = self._index.search(
                snapshot,
                partition,
                mode=mode,
                vectors=asked.vectors,
                terms=asked.terms,
                top_k=top_k,
                now=now,
                scope=scope,
                allowed=allowed,
                threshold=threshold,
                explain=explain,
                private=private,
                cues=asked.cues,
                at=now,
            )
            return _fetch(snapshot, ranked)

        found = self._in_snapshot(attempt)
        keys = {hit.key for rows in found for _, hit in rows}
        if keys:
            self._store.note_access(list(keys))
        return found

    def _in_snapshot(self, attempt: Callable[[Snapshot, bool], _T]) -> _T:
        """``attempt(snapshot, private)`` in a snapshot that the index has not outrun."""
        for _ in range(_ATTEMPTS):
            try:
                with self._store.read() as snapshot:
                    return attempt(snapshot, False)
            except StaleSnapshot:
                continue  # a newer snapshot is at least where the index was
        with self._store.read() as snapshot:
            return attempt(snapshot, True)


def _partition(scope: Scope, unscoped: bool) -> PartitionKey:
    if not unscoped:
        require_scope(scope)
    elif scope:
        given = ", ".join(f"{name}={value!r}" for name, value in scope.given().items())
        raise ScopeError(f"unscoped=True searches every scope, and {given} was given; drop one")
    return PartitionKey.of(scope)


def _fetch(snapshot: Snapshot, ranked: list[list[Hit]]) -> list[list[tuple[Record, Hit]]]:
    """The rows of all hits, in one call."""
    if len(ranked) == 1:
        keys = [hit.key for hit in ranked[0]]
    else:
        keys = list({hit.key for hits in ranked for hit in hits})
    records = snapshot.records(keys)
    return [[(records[hit.key], hit) for hit in hits] for hits in ranked]
