"""What callers hand to ``update`` and ``update_batch``, checked and made into ``Edit`` records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentmem._native.hashing import hash_texts
from agentmem._native.vectors import normalize
from agentmem.errors import InvalidInputError
from agentmem.ids import id_from_str
from agentmem.inputs import check_text, check_vector, clip, shorten
from agentmem.write.drafts import OF_BATCH, Names, bounded
from agentmem.write.fields import FIELD_NAMES, put_fields

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.config import Limits
    from agentmem.types import Record

__all__ = ["EDIT_KEYS", "Edit", "read_edits"]

#: Every key an item of ``update_batch`` may have.  Scope, id and role of a memory are fixed.
EDIT_KEYS = (
    "id",
    "text",
    "vector",
    *(name for name in FIELD_NAMES if name not in ("role", "actor_id", "idempotency_key")),
)
_EDIT_KEYS = frozenset(EDIT_KEYS)


@dataclass(slots=True)
class Edit:
    """A checked change of one memory."""

    public_id: str  # as the caller wrote it, for messages
    id: bytes | None  # None: not a UUID, so no memory has it
    text: str | None
    content_hash: bytes
    vector: NDArray[np.float32] | None
    values: dict[str, Any]  # checked column values

    def apply(self, record: Record) -> None:
        """Put the change onto a record (its own copy)."""
        if self.text is not None:
            record.content = self.text
            record.content_hash = self.content_hash
        for column, value in self.values.items():
            setattr(record, column, value)


class _Values:
    """Receives checked values by attribute, as ``put_fields`` gives them."""


def read_edits(
    items: Iterable[object], *, limits: Limits, dim: int, names: Names = OF_BATCH
) -> list[Edit]:
    """Check everything about a batch of updates.

    Raises:
        InvalidInputError (and its kinds): the first thing that is wrong, naming the item.
    """
    rows = bounded(items, limits, "items must be a list of dictionaries with an id")
    edits = []
    seen: set[bytes] = set()
    for i, item in enumerate(rows):
        try:
            edit = _read_edit(item, limits, dim)
            if edit.id is not None:
                if edit.id in seen:
                    raise InvalidInputError(f"id {edit.public_id} is in the batch twice")
                seen.add(edit.id)
        except InvalidInputError as error:
            names.locate(error, i)
            raise
        edits.append(edit)
    return edits


def _read_edit(item: object, limits: Limits, dim: int) -> Edit:
    if not isinstance(item, Mapping) or "id" not in item:
        raise InvalidInputError(f"an update needs a dictionary with an id, not {shorten(item)}")
    if not _EDIT_KEYS.issuperset(item):
        unknown = next(key for key in item if key not in _EDIT_KEYS)
        raise InvalidInputError(
            f"unknown key {shorten(unknown)}; an update may have {', '.join(EDIT_KEYS)}"
        )
    text, digest = item.get("text"), b""
    if text is not None:
        text = check_text(text, limits.max_content_bytes, "text")
        digest = hash_texts([text])
    holder = _Values()
    put_fields(holder, item, limits)
    vector = item.get("vector")
    if vector is not None:
        vector = check_vector(vector, dim, normalize)
    raw = id_from_str(item["id"])  # first, for nothing is known of what it is
    edit = Edit(clip(str(item["id"])), raw, text, digest, vector, vars(holder))
    if text is None and vector is None and not edit.values:
        raise InvalidInputError(
            f"nothing to change for id {edit.public_id}: give text, metadata or another field"
        )
    return edit
