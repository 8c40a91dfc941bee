"""Which drafts are already there: chosen ids, idempotency keys, exact duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem.errors import ConflictError
from agentmem.ids import id_to_str
from agentmem.inputs import shorten
from agentmem.times import now_micros

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from agentmem.ports import LookUps
    from agentmem.types import NewMemory
    from agentmem.write.drafts import Drafts

__all__ = ["Settled", "settle"]

#: Per draft: None (to be inserted), the key of a stored memory (> 0), or -1 - j where draft j
#: of the same batch is the same memory.
Settled = list[int | None]


def settle(look: LookUps, drafts: Drafts, *, dedupe: bool) -> Settled:
    """Look every draft up.  An id decides, then an idempotency key, then (``dedupe``) the text
    of a memory that has not expired.

    Raises:
        ConflictError: a chosen id belongs to a memory with another text or scope.
    """
    settled: Settled = [None] * len(drafts.memories)
    _by_chosen_id(look, drafts, settled)
    rows = [i for i, m in enumerate(drafts.memories) if m.idempotency_key is not None]
    if rows:
        found = look.idempotent(
            [drafts.memories[i].scope for i in rows],
            [drafts.memories[i].idempotency_key for i in rows],
        )
        names = [(drafts.memories[i].scope, drafts.memories[i].idempotency_key) for i in rows]
        _merge(settled, rows, found, names)
    if dedupe:
        _by_text(look, drafts, settled)
    return settled


def _by_text(look: LookUps, drafts: Drafts, settled: Settled) -> None:
    """What has expired, in the store or in the batch, is no copy: no answer would show it."""
    now = now_micros()
    found = look.duplicates(
        [m.scope for m in drafts.memories], [m.content_hash for m in drafts.memories], now
    )
    rows = [
        i
        for i, memory in enumerate(drafts.memories)
        if found[i] is not None or memory.expires_at is None or memory.expires_at > now
    ]
    names = [(drafts.memories[i].scope, drafts.memories[i].content_hash) for i in rows]
    _merge(settled, rows, [found[i] for i in rows], names)


def _merge(
    settled: Settled, rows: Sequence[int], found: Sequence[int | None], names: Sequence[Hashable]
) -> None:
    """Settle what the store has, and what an earlier draft with the same name will be."""
    first: dict[Hashable, int] = {}
    for i, key, name in zip(rows, found, names, strict=True):
        if settled[i] is not None:
            continue
        if key is not None:
            settled[i] = key
        elif name in first:
            settled[i] = -1 - first[name]
        else:
            first[name] = i


def _by_chosen_id(look: LookUps, drafts: Drafts, settled: Settled) -> None:
    rows = [i for i, chosen in enumerate(drafts.chosen) if chosen]
    if not rows:
        return
    stored = look.by_ids([drafts.memories[i].id for i in rows])
    first: dict[bytes, int] = {}
    for i in rows:
        draft = drafts.memories[i]
        record = stored.get(draft.id)
        if record is not None:
            if (record.content_hash, record.scope) != (draft.content_hash, draft.scope):
                raise _conflict(draft, record.content)
            settled[i] = record.key
        elif draft.id in first:
            earlier = drafts.memories[first[draft.id]]
            if (earlier.content_hash, earlier.scope) != (draft.content_hash, draft.scope):
                raise _conflict(draft, earlier.content)
            settled[i] = -1 - first[draft.id]
        else:
            first[draft.id] = i


def _conflict(draft: NewMemory, taken_by: str) -> ConflictError:
    return ConflictError(
        f"id {id_to_str(draft.id)} is taken by another memory ({shorten(taken_by)}); leave the id"
        " out, choose another, or change that memory with update()"
    )
