"""One query, put to a shelf, and rows that were found for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.index.shelf import Shelf
    from agentmem.index.volume import Occurrences
    from agentmem.index.whole import Whole
    from agentmem.types import Cues, SearchMode

__all__ = ["Found", "Inquiry", "Masks", "Question", "Sift"]

#: Those of some ascending keys that a filter lets through.
Sift = Callable[["NDArray[np.int64]"], "NDArray[np.int64]"]
#: Per holding, 1 for each slot that may be answered; None where all may.
Masks = list["NDArray[np.uint8] | None"]


@dataclass(frozen=True, slots=True)
class Question:
    """One query."""

    mode: SearchMode
    vector: NDArray[np.float32] | None  # (dim,), None in keyword mode
    terms: NDArray[np.uint64] | None  # (q,) ascending, None in dense mode
    counts: NDArray[np.uint16] | None
    cues: Cues | None
    top_k: int
    threshold: float | None
    explain: bool
    now: int | None  # hides what expired by then
    at: int | None  # from when recency counts

    @property
    def words(self) -> list[int]:
        return [] if self.terms is None else self.terms.tolist()


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question put to a shelf: where its terms are, and what that says of the partition."""

    shelf: Shelf
    asked: Question
    terms: list[list[Occurrences]]  # per holding, of each term
    whole: Whole

    @classmethod
    def of(cls, shelf: Shelf, asked: Question) -> Inquiry:
        terms = [holding.volume.occurrences(asked.words) for holding in shelf.holdings]
        return cls(shelf, asked, terms, shelf.whole(terms))


class Found(NamedTuple):
    """Rows, best first."""

    scores: NDArray[np.float32]
    numbers: NDArray[np.int64]  # of the holding of each
    slots: NDArray[np.int64]
    below: NDArray[np.float32]  # per holding: no other row of it has more; 0: no other has any

    @classmethod
    def nothing(cls) -> Found:
        empty = np.empty(0, np.float32)
        return cls(empty, np.empty(0, np.int64), np.empty(0, np.int64), empty)

    @classmethod
    def of(
        cls, number: int, scores: NDArray[np.float32], slots: NDArray[np.integer[Any]], below: float
    ) -> Found:
        """Of one holding."""
        numbers = np.full(len(slots), number)
        return cls(scores, numbers, slots.astype(np.int64), np.array([below], np.float32))

    @classmethod
    def best(cls, parts: list[Found]) -> Found:
        """Of all holdings together, given in their order."""
        if len(parts) == 1:
            return parts[0]
        joined = cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        return joined.take(np.argsort(-joined.scores, kind="stable"))

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> Found:
        return Found(self.scores[chosen], self.numbers[chosen], self.slots[chosen], self.below)
