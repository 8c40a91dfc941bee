"""From queries to what ``search`` and ``context`` return: pages of results, and how well they
are supported; a text for a prompt.

A cursor names the state of the store that the first page was made from: epoch, event and time,
and then how many memories came before and the last of them.  Every page is a part of that one
ranking, whatever is written meanwhile.  ``""`` stands for the first page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentmem.errors import InvalidInputError
from agentmem.inputs import shorten
from agentmem.search.context import pack
from agentmem.search.support import DEPTH, support
from agentmem.times import now_micros
from agentmem.types import Hit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentmem.ports import Filter, Remake, Snapshot
    from agentmem.search.context import CountTokens, Order, Template
    from agentmem.search.searcher import Searcher, StateOf
    from agentmem.types import Scope, SearchMode

__all__ = ["Cursor", "Request", "answer", "context"]

_STALE = "begin again with the first page, cursor=''"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins.  The empty one, ``Cursor()``, is the beginning of the present."""

    epoch: str = ""  # its first digits
    seq: int = 0
    at: int = 0  # microseconds
    offset: int = 0
    last: int = 0  # key of the memory before

    @classmethod
    def read(cls, text: object) -> Cursor:
        """
        Raises:
            InvalidInputError: not what ``str`` of one gives.
        """
        if text == "":
            return cls()
        try:
            epoch, *numbers = text.split("-")  # type: ignore[attr-defined]
            seq, at, offset, last = (int(number, 16) for number in numbers)
            if min(seq, at, offset, last) > 0 and epoch:
                return cls(epoch, seq, at, offset, last)
        except (AttributeError, ValueError):
            pass
        raise InvalidInputError(
            f"cursor {shorten(text)} is not one that search returned; pass next_cursor back"
            " unchanged, or '' for the first page"
        )

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq:x}-{self.at:x}-{self.offset:x}-{self.last:x}"

    def state_of(self, snapshot: Snapshot, remake: Remake) -> Snapshot:
        """
        Raises:
            InvalidInputError: the store has been reset, or moved to another model.
        """
        if not snapshot.epoch.startswith(self.epoch) or snapshot.seq < self.seq:
            raise InvalidInputError(
                f"the store was reset or given another model since the page before; {_STALE}"
            )
        return snapshot.back_to(self.seq, remake)


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
    pages = None if cursors is None else _read(cursors, len(queries))
    start = _start(pages or [])
    at = start.at or (now_micros() if request.as_of is None else request.as_of)
    asked = _Asked(request, pages)
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
    )
    answers = []
    for i, items in enumerate(found.items):
        made: dict[str, Any] = {"results": items}
        if pages is not None:
            place = asked.following.get(i)
            end = Cursor(found.epoch[:8], found.seq, at, *place) if place else None
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

    def __init__(self, request: Request, pages: list[Cursor | None] | None) -> None:
        self._request = request
        self._pages = pages
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

    def _page(self, i: int, hits: list[Hit]) -> list[Hit]:
        assert self._pages is not None
        page = self._pages[i]
        if page is None:
            return []
        begin = page.offset
        if begin and (len(hits) < begin or hits[begin - 1].key != page.last):
            raise InvalidInputError(
                "the cursor belongs to another query, or to other arguments, or memories before it"
                f" were purged; {_STALE}"
            )
        chosen = hits[begin : begin + self._request.top_k]
        end = begin + len(chosen)
        if len(hits) > end:
            self.following[i] = (end, chosen[-1].key)
        return chosen


def _read(cursors: Sequence[str | None], queries: int) -> list[Cursor | None]:
    if isinstance(cursors, str) or len(cursors) != queries:
        raise InvalidInputError(
            f"cursors must be a list with one cursor per query, not {shorten(cursors)}"
        )
    return [None if text is None else Cursor.read(text) for text in cursors]


def _start(pages: Sequence[Cursor | None]) -> Cursor:
    """The state of the store that all cursors are of.

    Raises:
        InvalidInputError: they are of several.
    """
    states = {(page.epoch, page.seq, page.at): page for page in pages if page and page.epoch}
    if len(states) > 1:
        raise InvalidInputError(
            "the cursors come from different answers; ask for the pages of each by themselves"
        )
    return next(iter(states.values()), Cursor())


def _state_of(start: Cursor, as_of: int | None) -> StateOf | None:
    if start.epoch:
        if as_of is not None and as_of != start.at:
            raise InvalidInputError(f"the cursor belongs to another as_of; {_STALE}")
        return start.state_of
    if as_of is None:
        return None
    return lambda snapshot, remake: snapshot.as_of(as_of, remake)
