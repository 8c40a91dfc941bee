"""What can befall a table while it is drained."""

from __future__ import annotations

from agentmem.errors import StoreCorruptError

__all__ = ["Overtaken", "TableLost"]


class TableLost(StoreCorruptError):
    """The table is gone, damaged or not ours; a rebuild cures it."""


class Overtaken(Exception):
    """Someone else changed the table or its watermark, so the lock did not hold."""
