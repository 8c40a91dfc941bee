"""What comparisons mean, the same for every field of a filter, as SQL.

- Comparisons are two-valued.  A field that is missing, NULL or JSON null matches no comparison;
  ``ne`` and ``nin`` are the exact negations of ``eq`` and ``in``, so they match it.
- Values of different types are never equal and never ordered: ``1`` is not ``"1"``, ``true`` is
  not ``1``.  Integers and floats compare by value, exactly, whatever their size.
- Strings compare by code point.  ``contains`` is a substring of a string or a member of a list;
  ``icontains`` is the same after Unicode case folding.
- Times compare as instants; operands are ISO 8601, ``datetime`` or epoch seconds.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from agentmem.errors import FilterError
from agentmem.inputs import shorten

__all__ = [
    "FALSE",
    "OPERATORS",
    "SYMBOLS",
    "TRUE",
    "Field",
    "SQLText",
    "is_number",
    "join",
    "marks",
    "negate",
    "scalar",
    "text_test",
]

#: A boolean SQL expression and its parameters.  NULL stands for false, until it is negated.
SQLText = tuple[str, list[Any]]

TRUE: SQLText = ("1", [])
FALSE: SQLText = ("0", [])

OPERATORS = (
    "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "icontains", "exists",
)  # fmt: skip
SYMBOLS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_INT64 = range(-(2**63), 2**63)


def negate(expression: SQLText) -> SQLText:
    """Exact: what was NULL counts as false and becomes true."""
    return f"NOT ifnull(({expression[0]}), 0)", expression[1]


def join(parts: Sequence[SQLText], word: str, empty: SQLText) -> SQLText:
    """``AND`` or ``OR`` of the parts, as a balanced tree: SQLite limits an expression's depth."""
    if not parts:
        return empty
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    left, right = join(parts[:middle], word, empty), join(parts[middle:], word, empty)
    return f"({left[0]}) {word} ({right[0]})", left[1] + right[1]


class Field(ABC):
    """A field by name; subclasses say how its values compare."""

    def __init__(self, name: str, column: str) -> None:
        self.name = name
        self.column = column

    def compile(self, operator: str, operand: Any) -> SQLText:
        """
        Raises:
            FilterError: the operand does not suit the operator.
        """
        if operator == "exists":
            if type(operand) is not bool:
                raise FilterError(
                    f"{self.name}: exists takes true or false, not {shorten(operand)}"
                )
            return self.present() if operand else negate(self.present())
        if operator in ("ne", "nin"):
            return negate(self.compare("eq" if operator == "ne" else "in", operand))
        return self.compare(operator, operand)

    def present(self) -> SQLText:
        return f"{self.column} IS NOT NULL", []

    def compare(self, operator: str, operand: Any) -> SQLText:
        if operator == "in":
            if not isinstance(operand, list | tuple | set | frozenset):
                raise FilterError(f"{self.name}: in and nin take a list, not {shorten(operand)}")
            values = [self.bound("eq", self.value(one)) for one in operand]
            return self.member([one[1] for one in values if one is not None])
        if operator == "icontains" and not isinstance(operand, str):
            raise FilterError(f"{self.name}: icontains takes a string, not {shorten(operand)}")
        same = self.bound(operator, self.value(operand))
        return FALSE if same is None else self.single(*same)

    def value(self, operand: Any) -> Any:
        """A checked operand."""
        return scalar(self.name, operand)

    def bound(self, operator: str, value: Any) -> tuple[str, Any] | None:
        """The same comparison with what can be bound to a statement; None if nothing satisfies
        it."""
        return _bound(operator, value)

    @abstractmethod
    def member(self, values: list[Any]) -> SQLText:
        """Whether it is one of ``values``."""

    @abstractmethod
    def single(self, operator: str, value: Any) -> SQLText:
        """Any other operator with its one operand."""


def _bound(operator: str, value: Any) -> tuple[str, Any] | None:
    """The same comparison with a value that SQLite can hold; None if nothing satisfies it.

    An integer beyond 64 bits becomes the nearest double, and where that lies beside it, the
    operator says on which side.
    """
    if type(value) is not int or value in _INT64:
        return operator, value
    try:
        near = float(value)
    except OverflowError:
        near = math.inf if value > 0 else -math.inf
    if near == value:  # Python compares the two exactly
        return operator, near
    if operator not in ("gt", "gte", "lt", "lte"):
        return None
    sign = operator[:1]
    beyond = (near > value) == (sign == "g")
    return f"{sign}te" if beyond else f"{sign}t", near


def scalar(name: str, operand: Any) -> str | bool | int | float:
    """An operand that JSON could hold, and that SQLite can compare.

    Raises:
        FilterError: anything else.
    """
    if isinstance(operand, bool):
        return operand
    if isinstance(operand, str):
        try:
            operand.encode()
        except UnicodeEncodeError:
            raise FilterError(f"{name}: {shorten(operand)} holds a lone surrogate") from None
        return str.__str__(operand)  # of an enumeration of strings the value, not its name
    if isinstance(operand, int):
        return int(operand)
    if isinstance(operand, float):
        if not math.isfinite(operand):
            raise FilterError(
                f"{name}: {shorten(operand)} compares with nothing; use a finite number"
            )
        return float(operand)
    if operand is None:
        raise FilterError(f"{name}: nothing equals null; use {{'exists': false}}")
    if isinstance(operand, list | tuple | set | frozenset):
        raise FilterError(f"{name}: a list is an operand of in and nin only: {shorten(operand)}")
    raise FilterError(
        f"{name}: an operand is a string, a number or a boolean, not {shorten(operand)}"
    )


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def marks(values: Sequence[Any]) -> str:
    return f"({', '.join('?' * len(values))})"


def text_test(column: str, operator: str, value: str) -> SQLText:
    """A comparison of a column that holds text, or of text out of JSON."""
    if operator == "contains":
        return f"instr({column}, ?) > 0", [value]
    if operator == "icontains":
        return f"instr(am_casefold({column}), ?) > 0", [value.casefold()]
    return f"{column} {SYMBOLS[operator]} ?", [value]
