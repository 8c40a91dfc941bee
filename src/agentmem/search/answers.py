"""From queries to what ``search`` and ``context`` return: pages of results, and how well they
are supported; a text for a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem.errors import InvalidInputError
from agentmem.search.context import pack
from agentmem.search.cursor import STALE, Cursor, fingerprint, read_cursors, start_of
from agentmem.search.support import DEPTH, support
from agentmem.times import now_micros
from agentmem.types import Hit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentmem.ports import Filter
    from agentmem.search.context import CountTokens, Order, Template
    from agentmem.search.searcher import Searcher, StateOf
    from agentmem.types import Scope, SearchMode

__all__ = ["Request", "answer", "context"]


@dataclass(slots=True)
class Request:
    """What holds for all queries of a call."""

    scope: Scope
    where: Filter | None
    top_k: int
    threshold: float | None
    show_expired: bool
    mode: SearchMode = "hybrid"
    explain: bool = False
    support: bool = False  # adds ``"support"`` to each answer
    as_of: int | None = None  # microseconds: the store as it was then
    asked_at: int | None = None  # microseconds: as of which recency and "yesterday" count


def answer(
    searcher: Searcher,
    queries: Sequence[str | None],
    request: Request,
    *,
    vectors: Any = None,
    cursors: Sequence[str | None] | None = None,
) -> list[dict[str, Any]]:
    """What ``search`` returns, for each query.

    Args:
        cursors: one per query: where its page begins; None where there are no more.

    Raises:
        InvalidInputError: cursors that are not of one state of the store, or no longer good.
    """
    pages = None if cursors is None else read_cursors(cursors, len(queries))
    start = start_of(pages or [])
    at = start.at or (now_micros() if request.as_of is None else request.as_of)
    asked = _Asked(request, queries, pages, vectors)
    found = searcher.search_batch(
        queries,
        scope=request.scope,
        where=request.where,
        top_k=request.top_k,
        depth=asked.depth,
        # What supports an answer is asked for of everything; it is cut afterwards.
        threshold=None if request.support else request.threshold,
        mode=request.mode,
        explain=request.explain or request.support,
        vectors=vectors,
        now=None if request.show_expired else at,
        at=at if request.asked_at is None else request.asked_at,
        unscoped=not request.scope,
        state_of=_state_of(start, request.as_of),
        wanted=asked.wanted if request.support or pages is not None else None,
        exact=pages is not None,
    )
    answers = []
    for i, items in enumerate(found.items):
        made: dict[str, Any] = {"results": items}
        if pages is not None:
            place = asked.following.get(i)
            end = place and Cursor(found.epoch[:8], found.seq, at, *place, asked.fingerprint(i))
            made["next_cursor"] = None if end is None else str(end)
        if request.support:
            made["support"] = asked.supports[i]
        answers.append(made)
    return answers


def context(
    searcher: Searcher,
    query: str,
    request: Request,
    *,
    vector: Any,
    count: CountTokens,
    max_tokens: int,
    order: Order,
    template: Template,
) -> dict[str, Any]:
    """What ``context`` returns: the results of a search packed as text (see ``pack``)."""
    at = now_micros() if request.as_of is None else request.as_of
    ranked = searcher.ranked(
        query,
        scope=request.scope,
        where=request.where,
        top_k=request.top_k,
        threshold=request.threshold,
        vector=vector,
        now=None if request.show_expired else at,
        at=at if request.asked_at is None else request.asked_at,
        unscoped=not request.scope,
        state_of=_state_of(Cursor(), request.as_of),
    )
    packed = pack(ranked, count, max_tokens, order=order, template=template)
    return {
        "text": packed.text,
        "ids": packed.ids,
        "tokens": packed.tokens,
        "left_out": packed.left_out,
        "duplicates": packed.duplicates,
    }


class _Asked:
    """Which of the hits are wanted, and what was seen on the way."""

    def __init__(
        self,
        request: Request,
        queries: Sequence[str | None],
        pages: list[Cursor | None] | None,
        vectors: Any,
    ) -> None:
        self._request = request
        self._queries = queries
        self._pages = pages
        self._vectors = vectors  # looked at once the search has checked them
        self.supports: dict[int, float] = {}
        #: Per query how many memories came up to the page's end and the key of the last; only
        #: where there are more.
        self.following: dict[int, tuple[int, int]] = {}

    @property
    def depth(self) -> int:
        """How many hits of each query are looked at."""
        depth = self._request.top_k
        if self._pages is not None:
            depth += 1 + max((page.offset for page in self._pages if page), default=0)
        return max(depth, DEPTH) if self._request.support else depth

    def wanted(self, i: int, hits: list[Hit]) -> list[Hit]:
        request = self._request
        if request.support:
            self.supports[i] = support(hits[:DEPTH])
            least = request.threshold
            if least is not None:
                hits = [hit for hit in hits if hit.score >= least]
        chosen = hits[: request.top_k] if self._pages is None else self._page(i, hits)
        if request.support and not request.explain:
            return [Hit(hit.key, hit.score, None, hit.seq) for hit in chosen]
        return chosen

    def fingerprint(self, i: int) -> int:
        request = self._request
        where = None if request.where is None else request.where.sql()
        return fingerprint(
            self._queries[i],
            request.scope,
            where,
            request.threshold,
            request.mode,
            request.show_expired,
            request.asked_at,
            self._vector(i),
        )

    def _vector(self, i: int) -> bytes | None:
        if self._vectors is None:
            return None
        with np.errstate(over="ignore"):
            numbers = np.asarray(self._vectors, np.float32)
        one: bytes = numbers.reshape(len(self._queries), -1)[i].tobytes()
        return one

    def _page(self, i: int, hits: list[Hit]) -> list[Hit]:
        assert self._pages is not None
        page = self._pages[i]
        if page is None:
            return []
        begin = page.begin(hits, self.fingerprint(i))
        chosen = hits[begin : begin + self._request.top_k]
        end = begin + len(chosen)
        if len(hits) > end:
            self.following[i] = (end, chosen[-1].key)
        return chosen


def _state_of(start: Cursor, as_of: int | None) -> StateOf | None:
    if start.epoch:
        if as_of is not None and as_of != start.at:
            raise InvalidInputError(f"the cursor belongs to another as_of; {STALE}")
        return start.state_of
    if as_of is None:
        return None
    return lambda snapshot, remake: snapshot.as_of(as_of, remake)
