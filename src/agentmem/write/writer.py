"""Checked input to committed rows: embed outside the lock, then one transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem.errors import NotFoundError
from agentmem.ids import id_from_str, id_to_str
from agentmem.inputs import shorten
from agentmem.types import Record, VectorSource
from agentmem.write.settle import Settled, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from agentmem.ports import Analyzer, Embedder, Filter, Snapshot, Store
    from agentmem.types import PartitionKey, Scope, TermBatch
    from agentmem.write.changes import Edit
    from agentmem.write.drafts import Drafts

__all__ = ["Writer"]


@dataclass(slots=True)
class _Prepared:
    """What must be computed before the lock is taken, row by row of ``rows``."""

    rows: list[int]  # numbers of drafts or edits, ascending
    vectors: NDArray[np.float32]
    sources: list[VectorSource]
    terms: TermBatch


class Writer:
    """Every change of the store goes through here.  Any thread may call."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        analyzer: Analyzer,
        committed: Callable[[int], None],
    ) -> None:
        """``committed(seq)`` is called after each commit with its last event, no lock held."""
        self._store = store
        self._embedder = embedder
        self._analyzer = analyzer
        self._committed = committed

    # -- add ------------------------------------------------------------------------------

    def add(self, drafts: Drafts, *, dedupe: bool = False) -> list[dict[str, Any]]:
        """Store a batch, all of it or none.  One result per draft, in order.

        A draft that is already there (see ``settle``) is not stored again; its result names
        the stored memory, with the event ``NONE``.

        Raises:
            ConflictError: a chosen id belongs to another memory.
            StoreTimeoutError, StoreFullError, StorePathError: nothing was stored.
        """
        if not drafts.memories:
            return []
        while True:
            prepared = self._prepare_add(drafts, dedupe)
            with self._store.write() as tx:
                # Other writers may have committed since; what holds now is what counts.
                settled = settle(tx.view, drafts, dedupe=dedupe)
                missing = [i for i, key in enumerate(settled) if key is None]
                if not set(missing).issubset(prepared.rows):
                    continue  # an earlier copy was deleted meanwhile: prepare its text too
                if missing != prepared.rows:
                    prepared = self._take(prepared, missing, drafts)
                if missing:
                    memories = [drafts.memories[i] for i in missing]
                    tx.insert(memories, prepared.vectors, prepared.sources, prepared.terms)
                stored = tx.view.records([key for key in settled if key is not None and key > 0])
                seq = tx.view.seq
            self._committed(seq)
            return _added(drafts, settled, stored)

    def _prepare_add(self, drafts: Drafts, dedupe: bool) -> _Prepared:
        with self._store.read() as snapshot:
            settled = settle(snapshot, drafts, dedupe=dedupe)
            rows = [i for i, key in enumerate(settled) if key is None]
            memories = [drafts.memories[i] for i in rows]
            own = [drafts.vectors[i] for i in rows]
            known = _known_vectors(
                snapshot, [m.scope for m in memories], [m.content_hash for m in memories], own
            )
        return self._prepare(rows, [m.content for m in memories], own, known)

    def _prepare(
        self,
        rows: list[int],
        texts: list[str],
        own: Sequence[NDArray[np.float32] | None],
        known: Sequence[bytes | None],
    ) -> _Prepared:
        """Vectors and terms of texts; only those without a vector are embedded."""
        vectors = np.empty((len(texts), self._embedder.dim), dtype=np.float32)
        unknown = []
        for row, (given, stored) in enumerate(zip(own, known, strict=True)):
            if given is not None:
                vectors[row] = given
            elif stored is not None:
                vectors[row] = np.frombuffer(stored, dtype=np.float16)
            else:
                unknown.append(row)
        if unknown:
            vectors[unknown] = self._embedder.embed([texts[row] for row in unknown])
        sources = [VectorSource.MODEL if v is None else VectorSource.CALLER for v in own]
        return _Prepared(rows, vectors, sources, self._analyzer.analyze(texts))

    def _take(self, prepared: _Prepared, rows: list[int], drafts: Drafts) -> _Prepared:
        """The part of ``prepared`` for these rows."""
        at = {row: k for k, row in enumerate(prepared.rows)}
        kept = [at[row] for row in rows]
        return _Prepared(
            rows,
            prepared.vectors[kept],
            [prepared.sources[k] for k in kept],
            self._analyzer.analyze([drafts.memories[row].content for row in rows]),
        )

    # -- update ---------------------------------------------------------------------------

    def update(self, edits: Sequence[Edit], *, actor_id: str | None = None) -> list[dict[str, Any]]:
        """Change a batch of memories, all of them or none.

        A new text gets a new vector of the model, unless the edit brings its own.

        Raises:
            NotFoundError: an id that no live memory has.
        """
        if not edits:
            return []
        with self._store.read() as snapshot:
            before = self._found(snapshot, edits)
            rows = [i for i, e in enumerate(edits) if e.text is not None or e.vector is not None]
            own = [edits[i].vector for i in rows]
            known = _known_vectors(
                snapshot,
                [before[i].scope for i in rows],
                [edits[i].content_hash or before[i].content_hash for i in rows],
                own,
            )
        texts = [edits[i].text or before[i].content for i in rows]
        prepared = self._prepare(rows, texts, own, known)
        with self._store.write() as tx:
            now = self._found(tx.view, edits)
            after = [replace(record) for record in now]
            for edit, record in zip(edits, after, strict=True):
                edit.apply(record)
            for k, i in enumerate(rows):
                if after[i].content != texts[k]:  # a vector alone, and the text changed meanwhile
                    prepared.terms = self._analyzer.analyze([after[i].content for i in rows])
            plain = [after[i] for i in sorted(set(range(len(edits))).difference(rows))]
            if plain:
                tx.update(plain, None, None, None, actor_id=actor_id)
            if rows:
                tx.update(
                    [after[i] for i in rows],
                    prepared.vectors,
                    prepared.sources,
                    prepared.terms,
                    actor_id=actor_id,
                )
            seq = tx.view.seq
        self._committed(seq)
        return [
            _result(new, "UPDATE") | {"previous_memory": old.content}
            for old, new in zip(now, after, strict=True)
        ]

    def _found(self, snapshot: Snapshot, edits: Sequence[Edit]) -> list[Record]:
        stored = snapshot.by_ids([edit.id for edit in edits if edit.id is not None])
        return [_one(stored, edit.id, edit.public_id) for edit in edits]

    # -- delete ---------------------------------------------------------------------------

    def delete(self, ids: Sequence[str], *, actor_id: str | None = None) -> list[dict[str, Any]]:
        """Remove memories, all of them or none; their history stays.

        Raises:
            NotFoundError: an id that no live memory has.
        """
        if not ids:
            return []
        raw = [id_from_str(public) for public in ids]
        with self._store.write() as tx:
            stored = tx.view.by_ids([one for one in raw if one is not None])
            records = [_one(stored, one, public) for one, public in zip(raw, ids, strict=True)]
            tx.delete(list(dict.fromkeys(r.key for r in records)), actor_id=actor_id)
            seq = tx.view.seq
        self._committed(seq)
        return [_result(record, "DELETE") for record in records]

    def delete_matching(
        self, partition: PartitionKey, where: Filter, *, actor_id: str | None = None
    ) -> int:
        """Remove every memory of a partition that satisfies ``where``; returns how many."""
        with self._store.write() as tx:
            keys = tx.view.matching_keys(partition, where).tolist()
            if keys:
                tx.delete(keys, actor_id=actor_id)
            seq = tx.view.seq
        self._committed(seq)
        return len(keys)

    # -- purge ----------------------------------------------------------------------------

    def purge_ids(self, ids: Sequence[str]) -> int:
        """Erase these memories and their history from the store's files.

        Raises:
            NotFoundError: an id that was never stored (or was purged before).
        """
        raw = [id_from_str(public) for public in ids]
        with self._store.write() as tx:
            for one, public in zip(raw, ids, strict=True):
                if one is None or not tx.purge([one]):
                    raise _not_found(public)
            seq = tx.view.seq
        self._erased(seq)
        return len(raw)

    def purge_scope(self, scope: Scope) -> int:
        """Erase every memory of a scope and its history; returns how many."""
        with self._store.write() as tx:
            ids = tx.ids_of(scope)
            if ids:
                tx.purge(ids)
            seq = tx.view.seq
        self._erased(seq)
        return len(ids)

    def _erased(self, seq: int) -> None:
        self._store.scrub()
        self._committed(seq)


def _known_vectors(
    snapshot: Snapshot,
    scopes: Sequence[Scope],
    hashes: Sequence[bytes],
    own: Sequence[NDArray[np.float32] | None],
) -> list[bytes | None]:
    """The stored vector of the same scope and text, where the caller gave none."""
    found: list[bytes | None] = [None] * len(own)
    wanted = [row for row, vector in enumerate(own) if vector is None]
    if wanted:
        answer = snapshot.known_vectors([scopes[r] for r in wanted], [hashes[r] for r in wanted])
        for row, vector in zip(wanted, answer, strict=True):
            found[row] = vector
    return found


def _one(stored: dict[bytes, Record], raw: bytes | None, public_id: str) -> Record:
    record = stored.get(raw) if raw is not None else None
    if record is None:
        raise _not_found(public_id)
    return record


def _not_found(public_id: str) -> NotFoundError:
    return NotFoundError(
        f"no memory has the id {shorten(public_id)}; ids are those that add() and search() return"
    )


def _result(record: Record, event: str) -> dict[str, Any]:
    return {
        "id": id_to_str(record.id),
        "memory": record.content,
        "event": event,
        "actor_id": record.actor_id,
        "role": record.role,
    }


def _added(drafts: Drafts, settled: Settled, stored: dict[int, Record]) -> list[dict[str, Any]]:
    """The results of ``add``; drafts and records share the field names they need here."""
    results: list[dict[str, Any]] = []
    for i, key in enumerate(settled):
        if key is None:
            draft = drafts.memories[i]
            results.append(
                {
                    "id": id_to_str(draft.id),
                    "memory": draft.content,
                    "event": "ADD",
                    "actor_id": draft.actor_id,
                    "role": draft.role,
                }
            )
        elif key > 0:
            results.append(_result(stored[key], "NONE"))
        else:
            results.append(results[-1 - key] | {"event": "NONE"})
    return results
