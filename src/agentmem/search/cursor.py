"""Cursors of searches.

A cursor names the state of the store that the first page was made from: epoch, event and time,
and then how many memories came before and the last of them.  Every page is a part of that one
ranking, whatever is written meanwhile.  ``""`` stands for the first page.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentmem.errors import InvalidInputError
from agentmem.inputs import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentmem.ports import Remake, Snapshot
    from agentmem.types import Hit

__all__ = ["STALE", "Cursor", "fingerprint", "read_cursors", "start_of"]

STALE = "begin again with the first page, cursor=''"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins.  The empty one, ``Cursor()``, is the beginning of the present."""

    epoch: str = ""  # its first digits
    seq: int = 0
    at: int = 0  # microseconds
    offset: int = 0
    last: int = 0  # key of the memory before
    asked: int = 0  # fingerprint of the query and what else decides the ranking

    @classmethod
    def read(cls, text: object) -> Cursor:
        """
        Raises:
            InvalidInputError: not what ``str`` of one gives.
        """
        if not isinstance(text, str):
            raise _not_ours(text)
        if not text:
            return cls()
        try:
            epoch, *numbers = text.split("-")
            seq, at, offset, last, asked = (int(number, 16) for number in numbers)
            if min(seq, at, offset, last, asked) > 0 and epoch:
                return cls(epoch, seq, at, offset, last, asked)
        except ValueError:
            pass
        raise _not_ours(text)

    def __str__(self) -> str:
        numbers = (self.seq, self.at, self.offset, self.last, self.asked)
        return "-".join([self.epoch, *(f"{number:x}" for number in numbers)])

    def begin(self, hits: Sequence[Hit], asked: int) -> int:
        """Where in ``hits``, best first from the first page on, the page begins.

        Raises:
            InvalidInputError: the cursor is of another query, or the memory before it is gone.
        """
        if not self.epoch:
            return 0
        if asked != self.asked:
            raise InvalidInputError(
                f"the cursor belongs to another query, or to other arguments; {STALE}"
            )
        if len(hits) >= self.offset and hits[self.offset - 1].key == self.last:
            return self.offset
        # Something before it was purged, or is found in another order on another path.
        for place, hit in enumerate(hits, 1):
            if hit.key == self.last:
                return place
        raise InvalidInputError(f"the last memory of the page before was purged; {STALE}")

    def state_of(self, snapshot: Snapshot, remake: Remake) -> Snapshot:
        """
        Raises:
            InvalidInputError: the store has been reset, or moved to another model.
        """
        if not snapshot.epoch.startswith(self.epoch) or snapshot.seq < self.seq:
            raise InvalidInputError(
                f"the store was reset or given another model since the page before; {STALE}"
            )
        return snapshot.back_to(self.seq, remake)


def _not_ours(text: object) -> InvalidInputError:
    return InvalidInputError(
        f"cursor {shorten(text)} is not one that search returned; pass next_cursor back"
        " unchanged, or '' for the first page"
    )


def read_cursors(cursors: Sequence[str | None], queries: int) -> list[Cursor | None]:
    if not isinstance(cursors, list | tuple) or len(cursors) != queries:
        raise InvalidInputError(
            f"cursors must be a list with one cursor per query, not {shorten(cursors)}"
        )
    return [None if text is None else Cursor.read(text) for text in cursors]


def start_of(pages: Sequence[Cursor | None]) -> Cursor:
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


def fingerprint(*asked: object) -> int:
    """A number above 0 of the arguments that must not change from page to page."""
    return zlib.crc32(repr(asked).encode("utf-8", "surrogatepass")) or 1
