"""What can befall a table while it is drained."""

from __future__ import annotations

from agentmem import errors
from agentmem.errors import AgentMemError, StoreCorruptError

__all__ = ["Overtaken", "TableLost", "public_name"]


class TableLost(StoreCorruptError):
    """The table is gone, damaged or not ours; a rebuild cures it."""


class Overtaken(Exception):
    """Someone else changed the table or its watermark, so the lock did not hold."""


def public_name(error: AgentMemError) -> str:
    """Of the class that ``errors`` has for it."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in errors.__all__)
