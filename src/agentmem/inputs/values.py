"""Checks of single values: fields of a memory, switches and numbers of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem.errors import InvalidInputError, LimitError
from agentmem.inputs.messages import shorten
from agentmem.inputs.texts import check_label
from agentmem.types import MEMORY_TYPES

if TYPE_CHECKING:
    from agentmem.config import Limits
    from agentmem.ports import Progress

__all__ = [
    "check_count",
    "check_flag",
    "check_importance",
    "check_level",
    "check_memory_type",
    "check_progress",
]


def check_memory_type(value: object) -> str:
    if isinstance(value, str) and value in MEMORY_TYPES:
        return str.__str__(value)
    raise InvalidInputError(f"memory_type {shorten(value)} is not one of {', '.join(MEMORY_TYPES)}")


def check_level(value: object, limits: Limits) -> str | int | None:
    """A level is the caller's own: None, a label or an integer (64 bits)."""
    if value is None or (type(value) is int and -(2**63) <= value < 2**63):
        return value
    if isinstance(value, str):
        return check_label(value, limits, "level")
    raise InvalidInputError(
        f"level must be a string or an integer of 64 bits, not {shorten(value)}"
    )


def check_importance(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInputError(f"importance must be a number from 0 to 1, not {shorten(value)}")
    return float(value)


def check_flag(value: object, what: str) -> bool:
    """A switch such as ``unscoped``: True or False, since ``"no"`` would be taken for yes."""
    if value is True or value is False:
        return value
    raise InvalidInputError(f"{what} must be True or False, not {shorten(value)}")


def check_progress(value: Progress | None) -> Progress | None:
    """What is called while a call gets on, or None."""
    if value is None or callable(value):
        return value
    raise InvalidInputError(
        f"progress is called with (done, total), so it must be a function, not {shorten(value)}"
    )


def check_count(value: object, most: int, what: str, setting: str) -> int:
    """A positive integer such as ``top_k`` or ``limit``."""
    if type(value) is not int or value < 1:
        raise InvalidInputError(f"{what} must be a positive integer, not {shorten(value)}")
    if value > most:
        raise LimitError(f"{what}={shorten(value)} is more than limits.{setting} = {most:,}")
    return value
