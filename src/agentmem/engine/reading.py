"""What an open store does for calls that search and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentmem.engine.parts import Parts
from agentmem.store import filters
from agentmem.times import now_micros
from agentmem.types import Scope

if TYPE_CHECKING:
    from agentmem.search.context import CountTokens, Order

__all__ = ["Reading"]


class Reading(Parts):
    """Searching, and reading without a query."""

    def search(
        self,
        queries: Sequence[str | None],
        *,
        given: Mapping[str, Any] | None,
        vectors: Any,
        cursors: Sequence[str | None] | None,
        **asked: Any,
    ) -> list[dict[str, Any]]:
        """``asked`` are the other fields of ``search.answers.Request``."""
        searcher = self.searcher
        from agentmem.search.answers import Request, answer

        where = None if given is None else filters.parse(given, self.config.limits)
        request = Request(where=where, **asked)
        self._await_writes(request.as_of)
        return answer(searcher, queries, request, vectors=vectors, cursors=cursors)

    def search_plainly(
        self,
        queries: list[str | None],
        vectors: Any,
        scope: Scope,
        given: Mapping[str, Any] | None,
        *options: Any,
    ) -> list[list[dict[str, Any]]] | None:
        """See ``search.plain``; ``options`` are the others of its arguments."""
        where = None if given is None else filters.parse(given, self.config.limits)
        return self.plain.search(queries, vectors, scope, where, *options)

    def context(
        self,
        query: str,
        *,
        given: Mapping[str, Any] | None,
        max_tokens: int,
        order: Order,
        template: Mapping[str, str] | None,
        tokenizer: CountTokens | None,
        vector: Any,
        **asked: Any,
    ) -> dict[str, Any]:
        """``asked`` are the other fields of ``search.answers.Request``."""
        searcher = self.searcher
        from agentmem.search.answers import Request, context
        from agentmem.search.context import checked_tokenizer, read_template

        limits = self.config.limits
        request = Request(
            where=None if given is None else filters.parse(given, limits),
            # A memory has eight tokens or more, mostly; what is short comes in great numbers.
            top_k=min(limits.max_top_k, max(60, max_tokens // 8)),
            **asked,
        )
        self._await_writes(request.as_of)
        return context(
            searcher,
            query,
            request,
            vector=vector,
            count=self.count_tokens if tokenizer is None else checked_tokenizer(tokenizer),
            max_tokens=max_tokens,
            order=order,
            template=read_template(template),
        )

    def get(
        self, ids: Sequence[object], *, show_expired: bool, as_of: int | None
    ) -> list[dict[str, Any] | None]:
        self._await_writes(as_of)
        at = now_micros() if as_of is None else as_of
        return self.reader.get(ids, None if show_expired else at, as_of)

    def page(
        self,
        scope: Scope,
        given: Mapping[str, Any] | None,
        *,
        order: str,
        limit: int,
        cursor: str | None,
        show_expired: bool,
        as_of: int | None,
    ) -> tuple[list[dict[str, Any]], str | None]:
        from agentmem.search.cursor import fingerprint

        where = self.where(scope, given, show_expired=show_expired, as_of=as_of)
        asked = filters.parse(given or {}, self.config.limits).sql()
        self._await_writes(as_of)
        return self.reader.page(
            where,
            order=order,
            limit=limit,
            cursor=cursor,
            as_of=as_of,
            asked=fingerprint(scope, asked, show_expired, as_of),
        )

    def count(
        self,
        scope: Scope,
        given: Mapping[str, Any] | None,
        *,
        show_expired: bool,
        as_of: int | None = None,
    ) -> int:
        where = self.where(scope, given, show_expired=show_expired, as_of=as_of)
        self._await_writes(as_of)
        return self.reader.count(where, as_of)

    def history(self, memory_id: object) -> list[dict[str, Any]]:
        return self.reader.history(memory_id)

    def _await_writes(self, as_of: int | None) -> None:
        """So that what was asked of a time is the same whenever it is asked again."""
        if as_of is not None:
            self.store.await_writes(as_of)
