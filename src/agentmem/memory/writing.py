"""The calls of ``Memory`` that change memories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentmem.errors import ScopeError, UnsupportedError
from agentmem.inputs import (
    check_count,
    check_flag,
    check_label,
    check_progress,
    require_scope,
    resolve_scope,
)
from agentmem.memory.face import Face

if TYPE_CHECKING:
    from agentmem.ports import Progress
    from agentmem.times import TimeLike
    from agentmem.types import Scope
    from agentmem.write.drafts import Names
    from agentmem.write.jobs import Job

__all__ = ["Writing"]

#: Told apart from None, so that ``purge(found.get("id"))`` cannot mean everything.
_ABSENT: Any = object()


class Writing(Face):
    """Adding, updating, deleting, erasing."""

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
        from agentmem.write.drafts import Names, items_of_messages

        items = items_of_messages(messages)
        if vector is not None and len(items) == 1:
            item = items[0]
            own = {"content": item} if isinstance(item, str) else item
            items, vector = [own | {"vector": vector}], None
        return self._add(
            items,
            Names.of_messages(messages),
            vectors=vector,
            scope=self._resolve(user_id, agent_id, run_id, org_id),
            infer=infer,
            dedupe=False,
            actor_id=actor_id,
            metadata=metadata,
            memory_type=memory_type,
            level=level,
            importance=importance,
            timestamp=timestamp,
            expiration_date=expiration_date,
            idempotency_key=idempotency_key,
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
            dedupe: do not store a text that its exact scope already has; it is answered with
                ``"NONE"`` and the id of the memory that has it, which stays as it is.

        Returns:
            ``{"results": [...]}`` as ``add``, n of them in input order.

        Raises:
            As ``add``; ConflictError: an ``id`` that another memory has.
        """
        return self._add(
            items,
            None,
            vectors=vectors,
            scope=self._resolve(user_id, agent_id, run_id, org_id),
            infer=infer,
            dedupe=check_flag(dedupe, "dedupe"),
            actor_id=actor_id,
            metadata=metadata,
            memory_type=memory_type,
            level=level,
            importance=importance,
            timestamp=timestamp,
            expiration_date=expiration_date,
            idempotency_key=idempotency_key,
        )

    def _add(
        self,
        items: Iterable[Any],
        names: Names | None,
        *,
        vectors: Any,
        scope: Scope,
        infer: bool | None,
        dedupe: bool,
        **fields: Any,
    ) -> dict[str, list[dict[str, Any]]]:
        """``add`` and ``add_batch``; errors call what was given by ``names``."""
        if infer is not None and check_flag(infer, "infer"):
            raise UnsupportedError(
                "infer=True needs a language model, and none can be configured in this version;"
                " pass infer=False (or leave it out) to store the texts verbatim"
            )
        engine = self._engine
        return self._write(
            engine.adding(items, fields, vectors, scope=scope, dedupe=dedupe, names=names)
        )

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
            source: a table, a record batch, a reader of them, anything with an Arrow stream, a
                ``ParquetFile``, or the path of a Parquet file or of an Arrow IPC file or stream.
                Its columns are keys of ``add_batch``'s items: ``content`` (the only one needed),
                ``id``, scope ids, the other arguments given here, ``vector`` (lists of floats)
                and ``metadata`` (a struct, a map, or JSON text).  A null is a value not given.
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
            progress=check_progress(progress),
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
        from agentmem.write.drafts import OF_ONE

        actor = check_label(actor_id, self._limits, "actor_id")
        return self._write(self._engine.updating([item], actor_id=actor, names=OF_ONE))

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
        return Writing.delete_batch(self, [id], actor_id=actor_id)

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
            StoreError: erased, but for a table outside the store that ``projection.uri`` does not
                name in this process; ``check(repair=True)`` where it does finishes the purge.
            StoreTimeoutError, StoreFullError: erased, but its bytes may still be in files;
                ``check(repair=True)`` finishes the purge.
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

    def _write(self, job: Job) -> dict[str, list[dict[str, Any]]]:
        """Do what ``add_batch``, ``update_batch`` and ``delete_batch`` have checked."""
        return self._engine.write(job)
