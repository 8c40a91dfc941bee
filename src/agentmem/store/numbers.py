"""Numbers beyond 64 bits in JSON: SQLite reads them as the nearest double, and this exactly."""

from __future__ import annotations

import json
import operator
from functools import lru_cache
from typing import Any

__all__ = ["FUNCTION", "holds", "is_beyond", "operand"]

#: The name of ``holds`` in SQL.
FUNCTION = "am_number"

_LEAST = 2**63
_COMPARISONS = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_decode: Any = json.JSONDecoder().decode


def is_beyond(value: float) -> bool:
    """Whether a number may equal, or lie beside, a stored one that SQLite misreads.

    Any other compares alike with the number and with the double nearest to it.
    """
    return abs(value) >= _LEAST


def operand(value: float) -> str:
    """``value``, which ``is_beyond``, as ``holds`` takes it.  Such a double is a whole number."""
    return hex(int(value))


def holds(*values: Any) -> bool | None:
    """``(JSON, comparison, operand)``: whether the comparison (``=``, ``<``...) holds for a
    number, or ``=`` for an element of a list; for nothing else, as SQLite may ask before it looks
    at the kind."""
    text, comparison, given = values
    if text is None:
        return None
    wanted = _whole(given)
    value = _decode(text)
    if isinstance(value, list):
        return any(_is_number(one) and one == wanted for one in value)
    return _is_number(value) and bool(_COMPARISONS[comparison](value, wanted))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


@lru_cache(maxsize=64)
def _whole(given: str) -> int:
    return int(given, 16)
