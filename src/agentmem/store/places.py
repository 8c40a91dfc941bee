"""What a connection remembers of the scopes that it has met."""

from __future__ import annotations

from collections.abc import Iterable

from agentmem.types import Scope

__all__ = ["Places", "ScopePlace"]

#: Scopes that are remembered, and texts of all of them: 10 MB of hashes.
_MOST_SCOPES = 1024
_MOST_TEXTS = 100_000

#: Memories of a scope whose hashes are read in the time of one look-up.
_READ_MEANWHILE = 64


class ScopePlace:
    """A scope's interned id, the position that its next memory gets, and, where they are all
    known, the hashes of its texts (and of some that it no longer has)."""

    __slots__ = ("asked", "number", "position", "texts")

    def __init__(self, number: int, position: int, texts: set[bytes] | None = None) -> None:
        self.number = number
        self.position = position
        self.texts = texts
        self.asked = 0  # texts that were looked up for want of these


class Places:
    """The places of some scopes.  One thread at a time changes them; any may ask ``lacks``."""

    def __init__(self) -> None:
        self._known: dict[Scope, ScopePlace] = {}
        self._texts = 0

    def get(self, scope: Scope) -> ScopePlace | None:
        return self._known.get(scope)

    def put(self, scope: Scope, place: ScopePlace) -> None:
        self._known[scope] = place

    def worth_reading(self, place: ScopePlace) -> bool:
        """Whether so many texts of it were looked up that reading all its hashes would have cost
        less, and there is room for them."""
        return (
            place.texts is None
            and self._texts + place.position <= _MOST_TEXTS
            and place.asked * _READ_MEANWHILE > place.position
        )

    def make_room(self) -> None:
        """To be called when nobody holds a place."""
        if len(self._known) >= _MOST_SCOPES or self._texts > _MOST_TEXTS:
            self.clear()

    def clear(self) -> None:
        self._known.clear()
        self._texts = 0

    def note(self, place: ScopePlace | None, hashes: Iterable[bytes]) -> None:
        """The scope of ``place`` has these texts, too."""
        texts = None if place is None else place.texts
        if texts is not None:
            before = len(texts)
            texts.update(hashes)
            self._texts += len(texts) - before

    def lacks(self, scope: Scope, content_hash: bytes) -> bool:
        """Whether the scope is known not to have this text."""
        place = self._known.get(scope)
        if place is None:
            return False
        texts = place.texts
        if texts is None:
            place.asked += 1
            return False
        return content_hash not in texts
