"""What an evaluation asks: memories with labels, and questions that name labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from agentmem.times import TimeLike

__all__ = ["Collection", "Labelled", "Question"]


class Labelled(NamedTuple):
    """A memory and what it counts as when found.

    Memories may share a label: where sessions are to be found, every turn bears its session's,
    and a session's rank is that of its best turn.
    """

    label: str
    item: dict[str, Any]  # for ``Memory.add_batch``, with its scope


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the labels that answer it; none: nothing in the collection does."""

    text: str
    relevant: frozenset[str]
    scope: Mapping[str, str]  # keyword arguments of ``Memory.search``: ``{"user_id": ...}``
    category: str = ""
    asked_at: TimeLike | None = None  # as ``Memory.search`` takes it


@dataclass(slots=True)
class Collection:
    """Memories that are stored together, then the questions about them."""

    name: str
    memories: Sequence[Labelled]
    questions: Sequence[Question]
    left_out: int = 0  # questions of the file that cannot be judged, such as without evidence
