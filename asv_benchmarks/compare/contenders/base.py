"""What a contender can be asked to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compare.data import Row

__all__ = ["USER", "Contender"]

USER = "bench"


class Contender(ABC):
    """A store that is open in a folder; opening one again finds what was stored.

    An add returns when what was added is stored as durably as the contender offers for it.
    """

    #: What a reader must know of how it was set up, and of what its adds promise.
    setup: ClassVar[str]
    durability: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def add(self, row: Row) -> None: ...

    def add_batch(self, rows: Sequence[Row]) -> None:
        """One after the other, where there is no call for many."""
        for row in rows:
            self.add(row)

    @abstractmethod
    def search(self, query: Row, top_k: int) -> list[str]:
        """The texts found, best first."""

    @abstractmethod
    def count(self) -> int: ...

    @abstractmethod
    def close(self) -> None: ...

    def settle(self) -> None:
        """Wait for what the first calls have started in the background, which happens once."""
        return
