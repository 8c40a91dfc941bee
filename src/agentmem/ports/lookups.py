"""What a write asks of the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agentmem.types import Record, Scope

__all__ = ["LookUps"]


class LookUps(Protocol):
    """What is there already: asked before anything is computed, and inside the transaction again
    (through ``WriteTransaction.view``)."""

    def by_ids(self, ids: Sequence[bytes]) -> dict[bytes, Record]:
        """The live memories among ``ids``; expired ones too (the caller decides)."""
        ...

    def known_vectors(self, scopes: Sequence[Scope], hashes: Sequence[bytes]) -> list[bytes | None]:
        """Per item the stored, model-made vector (float16 bytes) of the same exact scope and
        text, or None."""
        ...

    def idempotent(self, scopes: Sequence[Scope], keys: Sequence[str | None]) -> list[int | None]:
        """Per item the key of the live memory of this exact scope that was added with this
        idempotency key, or None."""
        ...

    def duplicates(
        self, scopes: Sequence[Scope], hashes: Sequence[bytes], at: int | None = None
    ) -> list[int | None]:
        """Per item the key of the oldest live memory of this exact scope with this text; with
        ``at`` (microseconds) of those alone that have not expired by then."""
        ...
