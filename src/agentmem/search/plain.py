"""Searches as most are: one query of one scope, of the present, with nothing to explain.

They go the same way as all others (``searcher``), without what only the others need, and an answer
is kept for when the same is asked again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agentmem._native.answers import keys_of
from agentmem._native.vectors import unit
from agentmem.inputs import check_text
from agentmem.ports import StaleSnapshot
from agentmem.search.cues import cues_of
from agentmem.search.items import copies, size_of
from agentmem.search.query import Queries
from agentmem.times import now_micros
from agentmem.types import PartitionKey

if TYPE_CHECKING:
    from collections.abc import Hashable

    from agentmem.ports import Filter, Snapshot
    from agentmem.search.items import Answer
    from agentmem.search.kept import KeptAnswers
    from agentmem.search.means import Means
    from agentmem.types import Scope

__all__ = ["PlainSearch"]

_ATTEMPTS = 4
_LARGEST = 3.4e38


class _Asked(NamedTuple):
    """One question, checked."""

    text: str | None
    given: Any  # (1, dim) float32, or None
    mode: Any
    top_k: int
    threshold: float | None
    scope: Scope
    where: Filter | None
    now: int
    show_expired: bool


class PlainSearch:
    """Plain searches of one store.  Any thread."""

    def __init__(self, means: Means, kept: KeptAnswers) -> None:
        self._store, self._embedder, self._analyzer = means.store, means.embedder, means.analyzer
        self._index, self._large = means.index, means.large
        self._items, self._allowed, self._kept = means.items, means.allowed, kept
        config = means.config
        self._max_bytes = config.limits.max_query_bytes
        self._dim = means.embedder.dim
        self._timeless = not config.ranking.recency_weight

    def search(
        self,
        text: object,
        vector: object,
        scope: Scope,
        where: Filter | None,
        top_k: int,
        threshold: object,
        mode: object,
        show_expired: bool,
    ) -> list[dict[str, Any]] | None:
        """As ``Searcher.search_batch`` for one query, or None where this is no plain search, or
        an argument is not as it should be: ``search_batch`` then does it, or says what is wrong.

        Args:
            text, vector, threshold, mode: as they were given.
        """
        if not isinstance(mode, str) or mode not in ("hybrid", "dense", "keyword") or not scope:
            return None
        if threshold is not None and not (
            type(threshold) is float and -_LARGEST < threshold < _LARGEST
        ):
            return None
        if mode == "dense" and vector is not None:
            text = None
        elif type(text) is str and text and not text.isspace():
            check_text(text, self._max_bytes, "query", "limits.max_query_bytes")
        else:
            return None
        given = None
        if vector is not None:
            given = unit(vector, self._dim)
            if given is None or mode == "keyword":
                return None
        asked = _Asked(
            text, given, mode, top_k, threshold, scope, where, now_micros(), show_expired
        )
        answer = self._answer(asked)
        if answer is None:
            return None
        if answer:
            self._store.note_access(keys_of(answer))
        return copies(answer)

    def _answer(self, asked: _Asked) -> Answer | None:
        partition = PartitionKey.of(asked.scope)
        # A model may take its time, and a transaction must not wait for it.
        slow = asked.given is None and asked.mode != "keyword"
        queries = self._queries(asked) if slow and not self._keeps(asked) else None
        for _ in range(_ATTEMPTS):
            lives = self._items.life, self._kept.life
            try:
                with self._store.peek() as snapshot:
                    if self._large.serves(snapshot, partition):
                        return None
                    key, until = self._key(asked, snapshot, partition)
                    answer = self._kept.get(key, asked.now) if key is not None else None
                    if answer is not None:
                        return answer
                    if queries is None and not (slow and snapshot.reading):
                        queries = self._queries(asked)
                    if queries is not None:
                        return self._rank(asked, queries, snapshot, partition, key, until, lives)
                queries = self._queries(asked)
            except StaleSnapshot:
                continue
        return None  # others write faster than this: ``search_batch`` reads a copy of its own

    def _rank(
        self,
        asked: _Asked,
        queries: Queries,
        snapshot: Snapshot,
        partition: PartitionKey,
        key: Hashable | None,
        until: int,
        lives: tuple[int, int],
    ) -> Answer:
        where, now = asked.where, asked.now
        ranked = self._index.search(
            snapshot,
            partition,
            mode=asked.mode,
            vectors=queries.vectors,
            terms=queries.terms,
            top_k=asked.top_k,
            now=None if asked.show_expired else now,
            scope=asked.scope,
            allowed=None if where is None else self._allowed.keys(snapshot, partition, where),
            threshold=asked.threshold,
            explain=False,
            cues=queries.cues,
            at=now,
        )
        answer = self._items.find(ranked, snapshot, lives[0])[0]
        # "Yesterday" is another day tomorrow.
        if key is not None and not (queries.cues and queries.cues[0].spans):
            self._kept.put(key, until, answer, size_of(answer), lives[1])
        return answer

    def _key(
        self, asked: _Asked, snapshot: Snapshot, partition: PartitionKey
    ) -> tuple[Hashable | None, int]:
        """What an answer is kept by, and until when it holds; None where none may be kept."""
        if not self._keeps(asked):
            return None, 0
        now = None if asked.show_expired else asked.now
        version, until = self._index.version(snapshot, partition, now)
        given, scope = asked.given, asked.scope
        # Numbers and texts only: such a tuple costs the garbage collector nothing (see ``kept``).
        return (
            version,
            asked.text,
            None if given is None else given.tobytes(),
            asked.mode,
            asked.top_k,
            asked.threshold,
            scope.user_id,
            scope.agent_id,
            scope.run_id,
            scope.org_id,
            None if asked.where is None else repr(asked.where.sql()),
            asked.show_expired,
        ), until

    def _keeps(self, asked: _Asked) -> bool:
        """Whether an answer may be kept."""
        return self._kept.enabled and (self._timeless or asked.mode != "hybrid")

    def _queries(self, asked: _Asked) -> Queries:
        """See ``query.prepare``."""
        text, mode, vectors = asked.text, asked.mode, asked.given
        if text is None:
            return Queries(1, vectors, None)
        if vectors is None and mode != "keyword":
            vectors = self._embedder.embed_queries([text])
        terms = None if mode == "dense" else self._analyzer.analyze([text])
        cues = [cues_of(text, self._analyzer, asked.now)] if mode == "hybrid" else None
        return Queries(1, vectors, terms, cues)
