"""The calls of ``Memory`` that search and read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from agentmem.errors import InvalidInputError
from agentmem.inputs import check_count, check_flag, shorten
from agentmem.memory.face import Face
from agentmem.times import TimeLike, to_micros
from agentmem.types import Scope, SearchMode

__all__ = ["Reading"]


class Reading(Face):
    """Searching, and reading without a query."""

    def search(
        self,
        query: str | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        top_k: int = 10,
        threshold: float | None = None,
        mode: SearchMode = "hybrid",
        explain: bool = False,
        vector: Any = None,
        unscoped: bool = False,
        show_expired: bool = False,
        as_of: TimeLike | None = None,
        asked_at: TimeLike | None = None,
        cursor: str | None = None,
        support: bool = False,
    ) -> dict[str, Any]:
        """The memories that fit a query best, best first.

        Args:
            query: the text; may be left out in ``mode="dense"`` with a ``vector``.
            filters: see ``docs/filters.md``; all conditions must hold.
            top_k: at most this many.
            threshold: at least this score.
            mode: ``"hybrid"`` (meaning and words), ``"dense"`` or ``"keyword"``.
            explain: adds ``"explain"``, the parts that add up to the score.
            vector: ``(dim,)`` numbers to use as the query's embedding.
            unscoped: search across all scopes; then no scope id may be given.
            show_expired: expired memories too.
            as_of: search the store as it was at this time.
            asked_at: when the question is asked, from which "yesterday" or "two weeks ago" in it
                and recency count; ``as_of`` or else now, if absent.
            cursor: ``""`` for the first page of ``top_k``, then the ``next_cursor`` of the page
                before; all pages are parts of one ranking, whatever is written meanwhile.
            support: adds ``"support"``: the lower, the less likely that the memories answer.

        Returns:
            ``{"results": [{"id", "memory", "hash", "metadata", "score", "created_at",
            "updated_at", "user_id", "agent_id", "run_id", "org_id", "actor_id", "role",
            "memory_type", "level", "importance", "timestamp", "expiration_date"}]}``, with
            ``"next_cursor": str | None`` if a cursor was given

        Raises:
            ScopeError: no scope.
            FilterError, VectorError, LimitError, InvalidInputError: a bad argument.
        """
        return self._search(
            [query],
            vector,
            None if cursor is None else [cursor],
            self._reading_scope(user_id, agent_id, run_id, org_id, unscoped),
            filters,
            top_k,
            threshold,
            mode,
            explain,
            show_expired,
            as_of,
            asked_at,
            support,
        )[0]

    def search_batch(
        self,
        queries: Sequence[str | None],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        top_k: int = 10,
        threshold: float | None = None,
        mode: SearchMode = "hybrid",
        explain: bool = False,
        vectors: Any = None,
        unscoped: bool = False,
        show_expired: bool = False,
        as_of: TimeLike | None = None,
        asked_at: TimeLike | None = None,
        cursors: Sequence[str | None] | None = None,
        support: bool = False,
    ) -> list[dict[str, Any]]:
        """``search`` for many queries of one scope, embedded as one batch; answers in order.

        Args:
            vectors: ``(len(queries), dim)`` numbers to use as the queries' embeddings.
            cursors: one per query, each as ``search`` takes it; None for a query that has no
                more pages.
        """
        return self._search(
            self._query_list(queries),
            vectors,
            cursors,
            self._reading_scope(user_id, agent_id, run_id, org_id, unscoped),
            filters,
            top_k,
            threshold,
            mode,
            explain,
            show_expired,
            as_of,
            asked_at,
            support,
        )

    def _search(
        self,
        queries: list[str | None],
        vectors: Any,
        cursors: Sequence[str | None] | None,
        scope: Scope,
        filters: Mapping[str, Any] | None,
        top_k: int,
        threshold: float | None,
        mode: SearchMode,
        explain: bool,
        show_expired: bool,
        as_of: TimeLike | None,
        asked_at: TimeLike | None,
        support: bool,
    ) -> list[dict[str, Any]]:
        check_count(top_k, self._limits.max_top_k, "top_k", "max_top_k")
        check_flag(show_expired, "show_expired")
        if explain is False is support and as_of is None is asked_at and cursors is None:
            found = self._engine.search_plainly(
                queries, vectors, scope, filters, top_k, threshold, mode, show_expired
            )
            if found is not None:
                return [{"results": items} for items in found]
        return self._engine.search(
            queries,
            scope=scope,
            given=filters,
            top_k=top_k,
            threshold=threshold,
            mode=mode,
            explain=check_flag(explain, "explain"),
            vectors=vectors,
            show_expired=show_expired,
            as_of=_time(as_of),
            asked_at=_time(asked_at, "asked_at"),
            cursors=cursors,
            support=check_flag(support, "support"),
        )

    def context(
        self,
        query: str,
        *,
        max_tokens: int,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        threshold: float | None = None,
        order: Literal["time", "relevance"] = "time",
        template: Mapping[str, str] | None = None,
        tokenizer: Callable[[Sequence[str]], Sequence[int]] | None = None,
        vector: Any = None,
        unscoped: bool = False,
        show_expired: bool = False,
        as_of: TimeLike | None = None,
        asked_at: TimeLike | None = None,
    ) -> dict[str, Any]:
        """The memories that bear on a query as one text for a prompt, within a token budget.

        The best go in first, what repeats another that is in stays out, and memories that followed
        one another in their run stand together under one heading.

        Args:
            max_tokens: the text never has more.
            order: passages by when they happened, or by their best memory.
            template: parts of the layout over the defaults ``{"head": "[{date}]", "line":
                "{speaker}{text}", "separator": "\\n\\n"}``; a head may name ``{date}``,
                ``{time}`` and ``{run}``, a line also ``{speaker}``, ``{text}`` and ``{id}``.
            tokenizer: from a list of texts to the number of tokens of each; the embedder's own
                if absent.
            filters, threshold, vector, unscoped, show_expired, as_of, asked_at: as for
                ``search``.

        Returns:
            ``{"text", "ids", "tokens", "left_out", "duplicates"}``: the text, the ids of the
            memories in it in its order, its exact tokens, and how many hits did not fit or said
            what is in already.

        Raises:
            As ``search``; InvalidInputError: a budget below 1, an unknown order or template.
            UnsupportedError: an embedder of yours, and no ``tokenizer``.
        """
        scope = self._reading_scope(user_id, agent_id, run_id, org_id, unscoped)
        if type(max_tokens) is not int or max_tokens < 1:
            raise InvalidInputError(
                f"max_tokens must be a positive integer, not {shorten(max_tokens)}"
            )
        return self._engine.context(
            query,
            scope=scope,
            given=filters,
            max_tokens=max_tokens,
            threshold=threshold,
            order=order,
            template=template,
            tokenizer=tokenizer,
            vector=vector,
            show_expired=check_flag(show_expired, "show_expired"),
            as_of=_time(as_of),
            asked_at=_time(asked_at, "asked_at"),
        )

    def get(
        self, id: str, *, show_expired: bool = False, as_of: TimeLike | None = None
    ) -> dict[str, Any] | None:
        """The memory with this id (a search result without a score), or None.

        Args:
            as_of: as it was at this time.
        """
        return self._engine.get(
            [id], show_expired=check_flag(show_expired, "show_expired"), as_of=_time(as_of)
        )[0]

    def get_batch(
        self, ids: Iterable[str], *, show_expired: bool = False, as_of: TimeLike | None = None
    ) -> list[dict[str, Any] | None]:
        """``get`` for many, in the order of ``ids``."""
        return self._engine.get(
            self._id_list(ids),
            show_expired=check_flag(show_expired, "show_expired"),
            as_of=_time(as_of),
        )

    def get_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = 100,
        cursor: str | None = None,
        order: str = "created_at",
        unscoped: bool = False,
        show_expired: bool = False,
        as_of: TimeLike | None = None,
    ) -> dict[str, Any]:
        """The memories of a scope, page by page.

        Args:
            limit: most memories of a page.
            cursor: ``next_cursor`` of the page before; ``""`` or None for the first.
            order: ``created_at``, ``updated_at`` or ``timestamp``; with a leading ``-``,
                newest first.
            as_of: the memories that the scope held at this time; the same for every page.

        Returns:
            ``{"results": [...], "next_cursor": str | None}``
        """
        scope = self._reading_scope(user_id, agent_id, run_id, org_id, unscoped)
        check_count(limit, self._limits.max_page, "limit", "max_page")
        results, following = self._engine.page(
            scope,
            filters,
            order=order,
            limit=limit,
            cursor=cursor,
            show_expired=check_flag(show_expired, "show_expired"),
            as_of=_time(as_of),
        )
        return {"results": results, "next_cursor": following}

    def count(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        unscoped: bool = False,
        show_expired: bool = False,
        as_of: TimeLike | None = None,
    ) -> int:
        """How many memories a scope holds that satisfy ``filters``, or held at ``as_of``."""
        scope = self._reading_scope(user_id, agent_id, run_id, org_id, unscoped)
        return self._engine.count(
            scope,
            filters,
            show_expired=check_flag(show_expired, "show_expired"),
            as_of=_time(as_of),
        )

    def history(self, id: str) -> list[dict[str, Any]]:
        """What happened to a memory, oldest first, also after its deletion.

        Returns:
            A list of ``{"id", "memory_id", "old_memory", "new_memory", "event", "created_at",
            "updated_at", "is_deleted", "actor_id", "role"}``; empty for an id that never was.
        """
        return self._engine.history(id)


def _time(given: TimeLike | None, what: str = "as_of") -> int | None:
    return None if given is None else to_micros(given, what)
