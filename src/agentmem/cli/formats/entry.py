"""What a reader yields, what it may be told, and the error it raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from agentmem.errors import InvalidInputError

__all__ = ["Entry", "FormatError", "Item", "ReadOptions"]

#: An item for ``Memory.add_batch``.
Item = dict[str, Any]


class FormatError(InvalidInputError):
    """A file that cannot be read in the format; the message names the file and the place."""


class Entry(NamedTuple):
    """One memory of a file; ``item`` is None where a turn has no text and is left out."""

    where: str  # for error messages: "line 12", "conv-26 D1:3"
    item: Item | None


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the command line says about a file."""

    user_id: str | None = None
    run_id: str | None = None
    split: Literal["auto", "lines", "paragraphs"] = "auto"  # plain text only
