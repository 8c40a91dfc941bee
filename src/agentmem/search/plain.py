"""Searches as most are: of one scope, of the present, with nothing to explain.

They go the same way as all others (``searcher``), without what only the others need, and an answer
is kept for when the same is asked again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agentmem._native.answers import keys_of
from agentmem._native.vectors import normalize, unit
from agentmem.inputs import check_text, check_vectors
from agentmem.ports import StaleSnapshot
from agentmem.search.cues import cues_of
from agentmem.search.items import copies, size_of
from agentmem.search.query import Queries
from agentmem.times import now_micros
from agentmem.types import PartitionKey

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from agentmem.ports import Filter, Snapshot
    from agentmem.search.items import Answer
    from agentmem.search.kept import KeptAnswers
    from agentmem.search.means import Means
    from agentmem.types import Scope

__all__ = ["PlainSearch"]

_ATTEMPTS = 4
_LARGEST = 3.4e38


class _Asked(NamedTuple):
    """Questions that differ in text and vector alone, checked."""

    texts: Sequence[str]  # in dense mode with vectors they do not count
    given: NDArray[np.float32] | None  # (n, dim), normalised
    mode: Any
    top_k: int
    threshold: float | None
    scope: Scope
    where: Filter | None
    now: int
    show_expired: bool

    def only(self, numbers: list[int]) -> _Asked:
        if len(numbers) == len(self.texts):
            return self
        given = None if self.given is None else self.given[numbers]
        return self._replace(texts=[self.texts[i] for i in numbers], given=given)


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
        texts: list[Any],
        vectors: object,
        scope: Scope,
        where: Filter | None,
        top_k: int,
        threshold: object,
        mode: object,
        show_expired: bool,
    ) -> list[list[dict[str, Any]]] | None:
        """As ``Searcher.search_batch``, or None where these are no plain searches, or an argument
        is not as it should be: ``search_batch`` then does it, or says what is wrong.

        Args:
            texts, vectors, threshold, mode: as they were given.
        """
        if not isinstance(mode, str) or mode not in ("hybrid", "dense", "keyword") or not scope:
            return None
        if threshold is not None and not (
            type(threshold) is float and -_LARGEST < threshold < _LARGEST
        ):
            return None
        if vectors is None or mode != "dense":
            for text in texts:
                if type(text) is not str or not text or text.isspace():
                    return None
                check_text(text, self._max_bytes, "query", "limits.max_query_bytes")
        given = None
        if vectors is not None:
            given = self._given(vectors, len(texts)) if mode != "keyword" else None
            if given is None:
                return None
        if not texts:
            return None
        now = now_micros()
        answers = self._answers(
            _Asked(texts, given, mode, top_k, threshold, scope, where, now, show_expired)
        )
        if answers is None:
            return None
        keys = keys_of(answers[0])
        if len(answers) > 1:
            keys = list({hit.key for answer in answers for hit, _ in answer})
        if keys:
            self._store.note_access(keys)
        return list(map(copies, answers))

    def _given(self, vectors: Any, n: int) -> NDArray[np.float32] | None:
        """``(n, dim)``, normalised; None where that is for others to do."""
        if n == 1:
            return unit(vectors, self._dim)
        return check_vectors(vectors, n, self._dim, normalize)

    def _answers(self, asked: _Asked) -> list[Answer] | None:
        """All of one state of the store, in one pass over the partition."""
        partition = PartitionKey.of(asked.scope)
        keeps = self._kept.enabled and (self._timeless or asked.mode != "hybrid")
        # A model may take its time, and a transaction must not wait for it.
        slow = asked.given is None and asked.mode != "keyword"
        queries = self._queries(asked) if slow and not keeps else None
        prepared: list[int] = []  # numbers of those questions whose answer is not kept
        for _ in range(_ATTEMPTS):
            lives = self._items.life, self._kept.life
            try:
                with self._store.peek() as snapshot:
                    if self._large.serves(snapshot, partition):
                        return None
                    if not keeps:
                        queries = queries or self._queries(asked)
                        return self._rank(asked, queries, snapshot, partition, lives[0])
                    keys, until = self._keys(asked, snapshot, partition)
                    answers: list[Any] = [self._kept.get(key, asked.now) for key in keys]
                    missing = [i for i, answer in enumerate(answers) if answer is None]
                    if not missing:
                        return answers
                    if missing != prepared:
                        prepared, queries = missing, None
                    if queries is None and not (slow and snapshot.reading):
                        queries = self._queries(asked.only(missing))
                    if queries is not None:
                        made = self._rank(asked, queries, snapshot, partition, lives[0])
                        for i, answer in zip(missing, made, strict=True):
                            answers[i] = answer
                        self._keep([keys[i] for i in missing], until, made, queries, lives[1])
                        return answers
                queries = self._queries(asked.only(missing))
            except StaleSnapshot:
                continue
        return None  # others write faster than this: ``search_batch`` reads a copy of its own

    def _rank(
        self,
        asked: _Asked,
        queries: Queries,
        snapshot: Snapshot,
        partition: PartitionKey,
        life: int,
    ) -> list[Answer]:
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
        return self._items.find(ranked, snapshot, life)

    def _keys(
        self, asked: _Asked, snapshot: Snapshot, partition: PartitionKey
    ) -> tuple[list[Hashable], int]:
        """What each answer is kept by, and until when it holds."""
        now = None if asked.show_expired else asked.now
        version, until = self._index.version(snapshot, partition, now)
        # Numbers and texts only: such a tuple costs the garbage collector nothing (see ``kept``).
        same = (
            version,
            asked.mode,
            asked.top_k,
            asked.threshold,
            *asked.scope,
            None if asked.where is None else repr(asked.where.sql()),
            asked.show_expired,
        )
        given = asked.given
        if given is None:
            return [(text, *same) for text in asked.texts], until
        texts = asked.texts if asked.mode == "hybrid" else [None] * len(given)
        rows = map(bytes, given)
        return [(text, row, *same) for text, row in zip(texts, rows, strict=True)], until

    def _keep(
        self,
        keys: list[Hashable],
        until: int,
        answers: list[Answer],
        queries: Queries,
        life: int,
    ) -> None:
        cues = queries.cues
        for i, answer in enumerate(answers):
            if not (cues and cues[i].spans):  # "yesterday" is another day tomorrow
                self._kept.put(keys[i], until, answer, size_of(answer), life)

    def _queries(self, asked: _Asked) -> Queries:
        """See ``query.prepare``."""
        texts, vectors, mode = asked.texts, asked.given, asked.mode
        n = len(texts)
        if vectors is not None and mode == "dense":
            return Queries(n, vectors, None)
        if vectors is None and mode != "keyword":
            vectors = self._embedder.embed_queries(texts)
        terms = None if mode == "dense" else self._analyzer.analyze(texts)
        cues = None
        if mode == "hybrid":
            cues = [cues_of(text, self._analyzer, asked.now) for text in texts]
        return Queries(n, vectors, terms, cues)
