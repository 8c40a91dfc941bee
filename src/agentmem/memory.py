"""``Memory``: the public face.  Checks arguments, hands the work to the engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from agentmem.config import Config
from agentmem.engine import Engine
from agentmem.errors import (
    ConfigError,
    InvalidInputError,
    LimitError,
    ScopeError,
    UnsupportedError,
)
from agentmem.inputs import (
    check_count,
    check_flag,
    check_label,
    require_scope,
    resolve_scope,
    shorten,
)
from agentmem.types import Scope, SearchMode

if TYPE_CHECKING:
    from agentmem.ports import Progress
    from agentmem.times import TimeLike
    from agentmem.write.jobs import Job

__all__ = ["Memory"]

#: Told apart from None, so that ``purge(found.get("id"))`` cannot mean everything.
_ABSENT: Any = object()
_PATH_SETTINGS = ("path", "embedder", "user_id", "agent_id", "run_id", "org_id")


class Memory:
    """Long-term memory in one folder.

    Any number of threads may share one ``Memory``, and any number of processes may open the
    same folder.  A write is durable when its call returns, and the next search of any process
    sees it.

    Args:
        path: the folder, made if missing; ``":memory:"`` is a temporary one that ``close``
            removes.
        embedder: ``"minilm"``, ``"minilm-fp32"``, ``"static"``, ``"bge-small"``, a folder with
            a BERT-family model, or an object with ``embed(texts) -> (n, dim)`` and ``dim``.
        config: a ``Config``, or nested dictionaries of its settings.
        user_id, agent_id, run_id, org_id: the default scope of every call.

    Raises:
        StorePathError: the path is a file, or cannot be read or written.
        ModelMismatchError: the store was made with another embedder.
        SchemaVersionError: the store was made by a newer version.
        StoreCorruptError: the files are not a store, or damaged.
        ModelNotFoundError: no such embedder.
        ConfigError, ScopeError: a setting or id that cannot be used.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        embedder: Any = "minilm",
        config: Config | Mapping[str, Any] | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
    ) -> None:
        if config is None:
            config = Config()
        elif not isinstance(config, Config):
            if not isinstance(config, Mapping):
                raise ConfigError(f"config must be a Config or a dictionary, not {shorten(config)}")
            config = Config.from_dict(dict(config))
        self._limits = config.limits
        self._scope = resolve_scope(
            {"user_id": user_id, "agent_id": agent_id, "run_id": run_id, "org_id": org_id},
            Scope(),
            self._limits,
        )
        self._engine = Engine(path, embedder, config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A ``Memory`` from one dictionary: ``path``, ``embedder``, default scope ids, and the
        sections of ``Config``.

        Raises:
            ConfigError: an unknown name, a value of the wrong type, or no path.
        """
        if not isinstance(config, Mapping):
            raise ConfigError(f"config must be a dictionary, not {shorten(config)}")
        settings = dict(config)
        own = {name: settings.pop(name) for name in _PATH_SETTINGS if name in settings}
        if "path" not in own:
            raise ConfigError("config has no 'path': name the folder of the store")
        return cls(own.pop("path"), config=Config.from_dict(settings), **own)

    # -- writing --------------------------------------------------------------------------

    def add(
        self,
        messages: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
        actor_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        memory_type: str | None = None,
        level: str | int | None = None,
        importance: float | None = None,
        timestamp: TimeLike | None = None,
        expiration_date: TimeLike | None = None,
        idempotency_key: str | None = None,
        infer: bool | None = None,
        vector: Any = None,
    ) -> dict[str, list[dict[str, Any]]]:
        """Store a text, a message, or a list of them (one memory each), as they are.

        Args:
            messages: a string, a ``{"role", "content", "name"}`` dictionary, or a list of
                either; ``name`` becomes the actor.
            actor_id: who said it.
            metadata: anything JSON can hold; filters reach it as ``metadata.<name>``.
            memory_type: ``episodic`` (default), ``semantic``, ``procedural``, ``working``,
                ``factual``, ``core``, ``resource`` or ``contextual``.
            level: a label or integer of your own.
            importance: 0 to 1.
            timestamp: when it happened: ISO 8601, a datetime, or epoch seconds; now if absent.
            expiration_date: from then on it is in no answer.
            idempotency_key: within one exact scope, the same key is stored once; for a list,
                message i gets ``"{key}#{i}"``.
            infer: False or None stores verbatim; True needs an LLM, which is not there yet.
            vector: ``(dim,)`` numbers to use instead of the embedder's; ``(n, dim)`` for a list.

        Returns:
            ``{"results": [{"id", "memory", "event", "actor_id", "role"}]}``; the event is
            ``"ADD"``, or ``"NONE"`` for what was already there.

        Raises:
            InvalidInputError, ScopeError, LimitError, VectorError: nothing was stored.
            UnsupportedError: ``infer=True``.
            StoreTimeoutError, StoreFullError, StorePathError: nothing was stored.
        """
        from agentmem.write.drafts import items_of_messages

        items = items_of_messages(messages)
        if vector is not None and len(items) == 1:
            items[0]["vector"], vector = vector, None
        return self.add_batch(
            items,
            user_id=user_id,
            agent_id=agent_id,
            run_id=run_id,
            org_id=org_id,
            actor_id=actor_id,
            metadata=metadata,
            memory_type=memory_type,
            level=level,
            importance=importance,
            timestamp=timestamp,
            expiration_date=expiration_date,
            idempotency_key=idempotency_key,
            infer=infer,
            vectors=vector,
        )

    def add_batch(
        self,
        items: Iterable[str | Mapping[str, Any]],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
        actor_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        memory_type: str | None = None,
        level: str | int | None = None,
        importance: float | None = None,
        timestamp: TimeLike | None = None,
        expiration_date: TimeLike | None = None,
        idempotency_key: str | None = None,
        infer: bool | None = None,
        vectors: Any = None,
        dedupe: bool = False,
    ) -> dict[str, list[dict[str, Any]]]:
        """Store many memories in one embedding batch and one transaction: all or none.

        Args:
            items: strings, or dictionaries with ``content`` and any of ``id`` (a UUID),
                ``role``, scope ids, the other arguments of ``add``, and ``vector``; what an
                item has goes before the arguments given here.
            idempotency_key: of the whole batch; item i that has none of its own gets
                ``"{key}#{i}"``.
            vectors: ``(n, dim)`` numbers to use instead of the embedder's.
            dedupe: do not store a text that its exact scope already has.

        Returns:
            ``{"results": [...]}`` as ``add``, n of them in input order.

        Raises:
            As ``add``; ConflictError: an ``id`` that another memory has.
        """
        if infer is not None and check_flag(infer, "infer"):
            raise UnsupportedError(
                "infer=True needs a language model, and none can be configured in this version;"
                " pass infer=False (or leave it out) to store the texts verbatim"
            )
        job = self._engine.adding(
            items,
            {
                "actor_id": actor_id,
                "metadata": metadata,
                "memory_type": memory_type,
                "level": level,
                "importance": importance,
                "timestamp": timestamp,
                "expiration_date": expiration_date,
                "idempotency_key": idempotency_key,
            },
            vectors,
            scope=self._resolve(user_id, agent_id, run_id, org_id),
            dedupe=check_flag(dedupe, "dedupe"),
        )
        return self._write(job)

    def add_arrow(
        self,
        source: Any,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
        actor_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        memory_type: str | None = None,
        level: str | int | None = None,
        importance: float | None = None,
        timestamp: TimeLike | None = None,
        expiration_date: TimeLike | None = None,
        idempotency_key: str | None = None,
        dedupe: bool = False,
        chunk_rows: int = 1000,
        progress: Progress | None = None,
    ) -> dict[str, int]:
        """Store an Arrow table of any length, chunk by chunk, in the memory of one chunk.

        Args:
            source: a table, a record batch, a reader of them, anything with an Arrow stream, or
                the path of a Parquet file or of an Arrow IPC file or stream.  Its columns are
                keys of ``add_batch``'s items: ``content`` (the only one needed), ``id``, scope
                ids, the other arguments given here, ``vector`` (lists of floats) and
                ``metadata`` (a struct, a map, or JSON text).  A null is a value not given.
            idempotency_key: of the whole table; row i that has none of its own gets
                ``"{key}#{i}"``, so that a stream that broke off can be sent again.
            dedupe: do not store a text that its exact scope already has.
            chunk_rows: rows of one transaction.  Each chunk is stored as a whole or not at all;
                an error leaves the chunks before it stored.
            progress: called after each chunk with (rows done, rows in all or 0 if not known).

        Returns:
            ``{"rows", "added"}``: rows read, and how many of them were not there before.

        Raises:
            As ``add_batch``; InvalidInputError: an unknown column, or a file that is neither.
        """
        check_count(chunk_rows, self._limits.max_batch, "chunk_rows", "max_batch")
        return self._engine.add_arrow(
            source,
            {
                "actor_id": actor_id,
                "metadata": metadata,
                "memory_type": memory_type,
                "level": level,
                "importance": importance,
                "timestamp": timestamp,
                "expiration_date": expiration_date,
                "idempotency_key": check_label(idempotency_key, self._limits, "idempotency_key"),
            },
            scope=self._resolve(user_id, agent_id, run_id, org_id),
            dedupe=check_flag(dedupe, "dedupe"),
            chunk_rows=chunk_rows,
            progress=progress,
        )

    def update(
        self,
        id: str,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        memory_type: str | None = None,
        level: str | int | None = None,
        importance: float | None = None,
        timestamp: TimeLike | None = None,
        expiration_date: TimeLike | None = None,
        vector: Any = None,
        actor_id: str | None = None,
    ) -> dict[str, list[dict[str, Any]]]:
        """Change a memory; what is not given stays.  Its history keeps the former state.

        Args:
            text: the new text; it is embedded, unless ``vector`` is given too.
            metadata: replaces the former metadata; ``{}`` clears it.
            expiration_date: a time, or ``"never"``.
            actor_id: who makes the change, for the history.

        Returns:
            ``{"results": [{"id", "memory", "event": "UPDATE", "previous_memory", "actor_id",
            "role"}]}``

        Raises:
            NotFoundError: no memory has this id.
            InvalidInputError (and its kinds): nothing to change, or a value not accepted.
        """
        item = {
            "id": id,
            "text": text,
            "metadata": metadata,
            "memory_type": memory_type,
            "level": level,
            "importance": importance,
            "timestamp": timestamp,
            "expiration_date": expiration_date,
            "vector": vector,
        }
        return self.update_batch([item], actor_id=actor_id)

    def update_batch(
        self, items: Iterable[Mapping[str, Any]], *, actor_id: str | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """``update`` for many, as dictionaries with ``id`` and its other arguments: all or none."""
        actor = check_label(actor_id, self._limits, "actor_id")
        return self._write(self._engine.updating(items, actor_id=actor))

    def delete(self, id: str, *, actor_id: str | None = None) -> dict[str, list[dict[str, Any]]]:
        """Remove a memory; its history stays (``purge`` erases that too).

        Returns:
            ``{"results": [{"id", "memory", "event": "DELETE", "actor_id", "role"}]}``

        Raises:
            NotFoundError: no memory has this id.
        """
        return self.delete_batch([id], actor_id=actor_id)

    def delete_batch(
        self, ids: Iterable[str], *, actor_id: str | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """``delete`` for many: all or none."""
        actor = check_label(actor_id, self._limits, "actor_id")
        return self._write(self._engine.deleting(self._id_list(ids), actor_id=actor))

    def delete_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
        actor_id: str | None = None,
    ) -> dict[str, int]:
        """Remove every memory of a scope, expired ones too; returns ``{"deleted": n}``.

        Raises:
            ScopeError: no scope (``reset`` wipes everything).
        """
        actor = check_label(actor_id, self._limits, "actor_id")
        scope = self._resolve(user_id, agent_id, run_id, org_id)
        require_scope(scope)
        return {"deleted": self._engine.delete_all(scope, actor_id=actor)}

    def purge(
        self,
        id: str = _ABSENT,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
    ) -> dict[str, int]:
        """Erase one memory, or all of a scope, with its history, vectors and every projection;
        no byte of the content stays in the store's files.  Returns ``{"purged": n}``.

        Raises:
            NotFoundError: the id was never stored.
            ScopeError: neither an id nor a scope, or both.
        """
        given = {"user_id": user_id, "agent_id": agent_id, "run_id": run_id, "org_id": org_id}
        if id is not _ABSENT:
            if any(value is not None for value in given.values()):
                raise ScopeError("purge takes an id or a scope, not both")
            return {"purged": self._engine.purge_ids([id])}
        scope = resolve_scope(given, self._scope, self._limits)
        require_scope(scope)
        return {"purged": self._engine.purge_scope(scope)}

    def reset(self) -> dict[str, int]:
        """Erase everything in the store; returns ``{"deleted": n}``."""
        return {"deleted": self._engine.reset()}

    # -- searching ------------------------------------------------------------------------

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
    ) -> dict[str, list[dict[str, Any]]]:
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

        Returns:
            ``{"results": [{"id", "memory", "hash", "metadata", "score", "created_at",
            "updated_at", "user_id", "agent_id", "run_id", "org_id", "actor_id", "role",
            "memory_type", "level", "importance", "timestamp", "expiration_date"}]}``

        Raises:
            ScopeError: no scope.
            FilterError, VectorError, LimitError, InvalidInputError: a bad argument.
        """
        return self.search_batch(
            [query],
            user_id=user_id,
            agent_id=agent_id,
            run_id=run_id,
            org_id=org_id,
            filters=filters,
            top_k=top_k,
            threshold=threshold,
            mode=mode,
            explain=explain,
            vectors=vector,
            unscoped=unscoped,
            show_expired=show_expired,
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
    ) -> list[dict[str, list[dict[str, Any]]]]:
        """``search`` for many queries of one scope, embedded as one batch; answers in order.

        Args:
            vectors: ``(len(queries), dim)`` numbers to use as the queries' embeddings.
        """
        scope = self._reading_scope(user_id, agent_id, run_id, org_id, unscoped)
        check_count(top_k, self._limits.max_top_k, "top_k", "max_top_k")
        return self._engine.search(
            queries if isinstance(queries, str) else list(queries),
            scope=scope,
            given=filters,
            top_k=top_k,
            threshold=threshold,
            mode=mode,
            explain=check_flag(explain, "explain"),
            vectors=vectors,
            show_expired=check_flag(show_expired, "show_expired"),
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
    ) -> dict[str, Any]:
        """The memories that bear on a query as one text for a prompt, within a token budget.

        The best go in first, near-duplicates of what is in stay out, and memories that followed
        one another in their run stand together under one heading.

        Args:
            max_tokens: the text never has more.
            order: passages by when they happened, or by their best memory.
            template: parts of the layout over the defaults ``{"head": "[{date}]", "line":
                "{speaker}{text}", "separator": "\\n\\n"}``; a head may name ``{date}``,
                ``{time}`` and ``{run}``, a line also ``{speaker}``, ``{text}`` and ``{id}``.
            tokenizer: from a list of texts to the number of tokens of each; the embedder's own
                if absent.
            filters, threshold, vector, unscoped, show_expired: as for ``search``.

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
        )

    # -- reading --------------------------------------------------------------------------

    def get(self, id: str, *, show_expired: bool = False) -> dict[str, Any] | None:
        """The memory with this id (a search result without a score), or None."""
        return self._engine.get([id], show_expired=check_flag(show_expired, "show_expired"))[0]

    def get_batch(
        self, ids: Iterable[str], *, show_expired: bool = False
    ) -> list[dict[str, Any] | None]:
        """``get`` for many, in the order of ``ids``."""
        return self._engine.get(
            self._id_list(ids), show_expired=check_flag(show_expired, "show_expired")
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
    ) -> dict[str, Any]:
        """The memories of a scope, page by page.

        Args:
            limit: most memories of a page.
            cursor: ``next_cursor`` of the page before.
            order: ``created_at``, ``updated_at`` or ``timestamp``; with a leading ``-``,
                newest first.

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
    ) -> int:
        """How many memories a scope holds that satisfy ``filters``."""
        scope = self._reading_scope(user_id, agent_id, run_id, org_id, unscoped)
        return self._engine.count(
            scope, filters, show_expired=check_flag(show_expired, "show_expired")
        )

    def history(self, id: str) -> list[dict[str, Any]]:
        """What happened to a memory, oldest first, also after its deletion.

        Returns:
            A list of ``{"id", "memory_id", "old_memory", "new_memory", "event", "created_at",
            "updated_at", "is_deleted", "actor_id", "role"}``; empty for an id that never was.
        """
        return self._engine.history(id)

    # -- upkeep ---------------------------------------------------------------------------

    def flush(self) -> None:
        """Wait until every projection has caught up with the log."""
        self._engine.flush()

    def warm_up(self) -> None:
        """Load the model now instead of with the first text."""
        self._engine.warm_up()

    def check(self, *, repair: bool = False, progress: Progress | None = None) -> dict[str, Any]:
        """Check the store and its projections.

        Args:
            repair: rebuild projections that are damaged or differ.

        Returns:
            ``{"ok": bool, "problems": [str], "repaired": [str]}``
        """
        return self._engine.check(repair=check_flag(repair, "repair"), progress=progress)

    def stats(self) -> dict[str, Any]:
        """Sizes and counters of the store, the index, the projection and the embedder."""
        return self._engine.stats()

    def close(self) -> None:
        """Give everything back.  A second call does nothing; other calls raise ClosedError."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Memory({str(self._engine.path)!r}, embedder={self._engine.embedder_name!r})"

    def _write(self, job: Job) -> dict[str, list[dict[str, Any]]]:
        """Do what ``add_batch``, ``update_batch`` and ``delete_batch`` have checked."""
        return self._engine.write(job)

    def _id_list(self, ids: Iterable[str]) -> list[str]:
        if isinstance(ids, str | bytes | Mapping) or not isinstance(ids, Iterable):
            raise InvalidInputError(f"ids must be a list of ids, not {shorten(ids)}")
        most = self._limits.max_batch
        found = list(islice(ids, most + 1))  # an endless iterator is not followed further
        if len(found) > most:
            raise LimitError(f"there are more ids than limits.max_batch = {most:,}; split them")
        return found

    # -- scopes ---------------------------------------------------------------------------

    def _resolve(self, user_id: object, agent_id: object, run_id: object, org_id: object) -> Scope:
        given = {"user_id": user_id, "agent_id": agent_id, "run_id": run_id, "org_id": org_id}
        return resolve_scope(given, self._scope, self._limits)

    def _reading_scope(
        self, user_id: object, agent_id: object, run_id: object, org_id: object, unscoped: bool
    ) -> Scope:
        if not check_flag(unscoped, "unscoped"):
            scope = self._resolve(user_id, agent_id, run_id, org_id)
            require_scope(scope)
            return scope
        if any(value is not None for value in (user_id, agent_id, run_id, org_id)):
            raise ScopeError("unscoped=True reads across all scopes; leave the scope ids out")
        return Scope()
