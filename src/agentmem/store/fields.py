"""The fields that a filter may name, and each comparison on them as SQL.

Semantics, the same for every field:

- Comparisons are two-valued.  A field that is missing, NULL or JSON null matches no comparison;
  ``ne`` and ``nin`` are the exact negations of ``eq`` and ``in``, so they match it.
- Values of different types are never equal and never ordered: ``1`` is not ``"1"``, ``true`` is
  not ``1``.  Integers and floats compare by value, exactly, an operand of any size
  included.  (Integers beyond 64 bits are not stored; in JSON that came another way SQLite reads
  them as the nearest double.)
- Strings compare by code point.  ``contains`` is a substring of a string or a member of a list;
  ``icontains`` is the same after Unicode case folding.
- Times compare as instants; operands are ISO 8601, ``datetime`` or epoch seconds.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from agentmem.errors import FilterError, InvalidInputError
from agentmem.times import to_micros

__all__ = ["FALSE", "OPERATORS", "TRUE", "Comparison", "SQLText", "field", "join", "negate"]

#: A boolean SQL expression and its parameters.  NULL stands for false, until it is negated.
SQLText = tuple[str, list[Any]]
#: ``compare(operator, operand)``; the operator is a known one, and not ne, nin or exists.
Comparison = Callable[[str, Any], SQLText]

TRUE: SQLText = ("1", [])
FALSE: SQLText = ("0", [])

OPERATORS = (
    "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "icontains", "exists",
)  # fmt: skip
_SYMBOLS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
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
                raise FilterError(f"{self.name}: exists takes true or false, not {operand!r}")
            return self.present() if operand else negate(self.present())
        if operator in ("ne", "nin"):
            return negate(self.compare("eq" if operator == "ne" else "in", operand))
        return self.compare(operator, operand)

    def present(self) -> SQLText:
        return f"{self.column} IS NOT NULL", []

    def compare(self, operator: str, operand: Any) -> SQLText:
        if operator == "in":
            if not isinstance(operand, list | tuple | set | frozenset):
                raise FilterError(f"{self.name}: in and nin take a list, not {operand!r}")
            values = [_bound("eq", self.value(one)) for one in operand]
            return self.member([one[1] for one in values if one is not None])
        if operator == "icontains" and not isinstance(operand, str):
            raise FilterError(f"{self.name}: icontains takes a string, not {operand!r}")
        same = _bound(operator, self.value(operand))
        return FALSE if same is None else self.single(*same)

    def value(self, operand: Any) -> Any:
        """A checked operand, as it is bound."""
        return scalar(self.name, operand)

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
            raise FilterError(f"{name}: {operand!r} holds a lone surrogate") from None
        return str(operand)
    if isinstance(operand, int):
        return int(operand)
    if isinstance(operand, float):
        if not math.isfinite(operand):
            raise FilterError(f"{name}: {operand!r} compares with nothing; use a finite number")
        return float(operand)
    if operand is None:
        raise FilterError(f"{name}: nothing equals null; use {{'exists': false}}")
    if isinstance(operand, list | tuple | set | frozenset):
        raise FilterError(f"{name}: a list is an operand of in and nin only: {operand!r}")
    raise FilterError(f"{name}: an operand is a string, a number or a boolean, not {operand!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _marks(values: Sequence[Any]) -> str:
    return f"({', '.join('?' * len(values))})"


def _text(column: str, operator: str, value: str) -> SQLText:
    """A comparison of a column that holds text, or of text out of JSON."""
    if operator == "contains":
        return f"instr({column}, ?) > 0", [value]
    if operator == "icontains":
        return f"instr(am_casefold({column}), ?) > 0", [value.casefold()]
    return f"{column} {_SYMBOLS[operator]} ?", [value]


class TextField(Field):
    def member(self, values: list[Any]) -> SQLText:
        texts = [value for value in values if isinstance(value, str)]
        return (f"{self.column} IN {_marks(texts)}", texts) if texts else FALSE

    def single(self, operator: str, value: Any) -> SQLText:
        return _text(self.column, operator, value) if isinstance(value, str) else FALSE


class NumberField(Field):
    def member(self, values: list[Any]) -> SQLText:
        numbers = [value for value in values if _is_number(value)]
        return (f"{self.column} IN {_marks(numbers)}", numbers) if numbers else FALSE

    def single(self, operator: str, value: Any) -> SQLText:
        if not _is_number(value) or operator not in _SYMBOLS:
            return FALSE
        return f"{self.column} {_SYMBOLS[operator]} ?", [value]


class MixedField(Field):
    """A column without affinity that holds strings or numbers."""

    def member(self, values: list[Any]) -> SQLText:
        alike = [value for value in values if not isinstance(value, bool)]
        return (f"{self.column} IN {_marks(alike)}", alike) if alike else FALSE

    def single(self, operator: str, value: Any) -> SQLText:
        if isinstance(value, str):
            text, params = _text(self.column, operator, value)
            return f"typeof({self.column}) = 'text' AND {text}", params
        if not _is_number(value) or operator not in _SYMBOLS:
            return FALSE
        # SQLite orders every number before every text.
        return f"typeof({self.column}) <> 'text' AND {self.column} {_SYMBOLS[operator]} ?", [value]


class TimeField(Field):
    def compare(self, operator: str, operand: Any) -> SQLText:
        if operator not in _SYMBOLS and operator != "in":
            raise FilterError(f"{self.name} is a time, which has no {operator}; use gte and lt")
        return super().compare(operator, operand)

    def value(self, operand: Any) -> int:
        try:
            return to_micros(operand, self.name)
        except InvalidInputError as error:
            raise FilterError(str(error)) from None

    def member(self, values: list[Any]) -> SQLText:
        return (f"{self.column} IN {_marks(values)}", values) if values else FALSE

    def single(self, operator: str, value: Any) -> SQLText:
        return f"{self.column} {_SYMBOLS[operator]} ?", [value]


class BytesField(Field):
    """A column of 16 bytes that is shown as text."""

    def __init__(
        self, name: str, column: str, shown: str, what: str, parse: Callable[[str], bytes]
    ) -> None:
        super().__init__(name, column)
        self._shown = shown
        self._what = what
        self._parse = parse

    def compare(self, operator: str, operand: Any) -> SQLText:
        if operator in ("contains", "icontains"):
            if not isinstance(operand, str):
                raise FilterError(f"{self.name}: {operator} takes a string, not {operand!r}")
            return _text(self._shown, operator, str(scalar(self.name, operand)))
        return super().compare(operator, operand)

    def value(self, operand: Any) -> bytes:
        try:
            return self._parse(str(operand) if isinstance(operand, UUID) else operand)
        except (ValueError, TypeError, AttributeError):
            raise FilterError(f"{self.name} is {self._what}, which {operand!r} is not") from None

    def member(self, values: list[Any]) -> SQLText:
        return (f"{self.column} IN {_marks(values)}", values) if values else FALSE

    def single(self, operator: str, value: Any) -> SQLText:
        return f"{self.column} {_SYMBOLS[operator]} ?", [value]


class JSONField(Field):
    """A value inside ``metadata``.  Arrays and objects are equal to nothing."""

    def __init__(self, name: str, keys: Sequence[str]) -> None:
        super().__init__(name, "m.metadata ->> ?")
        self._path = "$." + ".".join(json.dumps(key, ensure_ascii=False) for key in keys)

    def present(self) -> SQLText:
        return "json_type(m.metadata, ?) <> 'null'", [self._path]

    def _of_type(self, types: str, expression: SQLText) -> SQLText:
        text, params = expression
        # The path binds twice: to the type and to the value.
        return f"json_type(m.metadata, ?) IN ({types}) AND {text}", [self._path, *params]

    def member(self, values: list[Any]) -> SQLText:
        parts: list[SQLText] = [
            (f"json_type(m.metadata, ?) = '{kind}'", [self._path])
            for kind in ("true", "false")
            if any(value is (kind == "true") for value in values)
        ]
        for types, alike in (
            ("'text'", [value for value in values if isinstance(value, str)]),
            ("'integer', 'real'", [value for value in values if _is_number(value)]),
        ):
            if alike:
                test = f"{self.column} IN {_marks(alike)}"
                parts.append(self._of_type(types, (test, [self._path, *alike])))
        return join(parts, "OR", FALSE)

    def single(self, operator: str, value: Any) -> SQLText:
        if operator in ("contains", "icontains"):
            return self._contains(operator, value)
        if operator == "eq":
            return self.member([value])
        if isinstance(value, bool):
            return FALSE  # truth has no order
        types = "'text'" if isinstance(value, str) else "'integer', 'real'"
        test = f"{self.column} {_SYMBOLS[operator]} ?"
        return self._of_type(types, (test, [self._path, value]))

    def _contains(self, operator: str, value: Any) -> SQLText:
        if isinstance(value, bool):
            member, params = f"e.type = '{'true' if value else 'false'}'", []
        elif isinstance(value, str):
            folded = operator == "icontains"
            element = "am_casefold(e.value)" if folded else "e.value"
            member = f"e.type = 'text' AND {element} = ?"
            params = [value.casefold() if folded else value]
        else:
            member, params = "e.type IN ('integer', 'real') AND e.value = ?", [value]
        in_list = self._of_type(
            "'array'",
            (
                f"EXISTS (SELECT 1 FROM json_each(m.metadata, ?) e WHERE {member})",
                [self._path, *params],
            ),
        )
        if not isinstance(value, str):
            return in_list
        text, params = _text(self.column, operator, value)
        in_text = self._of_type("'text'", (text, [self._path, *params]))
        return join([in_list, in_text], "OR", FALSE)


_ID_SHOWN = (
    "lower({0}1, 8) || '-' || {0}9, 4) || '-' || {0}13, 4) || '-' || {0}17, 4) || '-' || {0}21))"
)
_HEX = re.compile(r"[0-9a-fA-F]{32}")


def _parse_hash(value: str) -> bytes:
    if not _HEX.fullmatch(value):
        raise ValueError(value)
    return bytes.fromhex(value)


_FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        BytesField(
            "id", "m.id", _ID_SHOWN.format("substr(hex(m.id), "), "a UUID", lambda v: UUID(v).bytes
        ),
        BytesField(
            "hash", "m.content_hash", "lower(hex(m.content_hash))", "32 hex digits", _parse_hash
        ),
        *(TextField(name, f"s.{name}") for name in ("user_id", "agent_id", "run_id", "org_id")),
        *(
            TextField(name, f"m.{name}")
            for name in ("actor_id", "role", "content", "memory_type", "idempotency_key")
        ),
        TextField("memory", "m.content"),
        MixedField("level", "m.level"),
        NumberField("importance", "m.importance"),
        NumberField("position", "m.position"),
        TimeField("timestamp", "m.event_at"),
        TimeField("event_at", "m.event_at"),
        TimeField("created_at", "m.created_at"),
        TimeField("updated_at", "m.updated_at"),
        TimeField("expiration_date", "m.expires_at"),
        TimeField("expires_at", "m.expires_at"),
    )
}


def field(name: str) -> Field:
    """The field of a filter by its name.

    Raises:
        FilterError: there is none.
    """
    found = _FIELDS.get(name)
    if found is not None:
        return found
    if name.startswith("metadata."):
        return JSONField(name, _path_keys(name))
    if name.upper() in ("AND", "OR", "NOT"):
        raise FilterError(f"unknown filter field {name!r}; write {name.upper()} in capitals")
    if name == "metadata":
        raise FilterError("name a key of the metadata to filter by: 'metadata.<name>'")
    raise FilterError(
        f"unknown filter field {name!r}; for your own metadata write 'metadata.{name}'. "
        f"Known: {', '.join(_FIELDS)}, metadata.<name>"
    )


def _path_keys(name: str) -> list[str]:
    """Keys of ``metadata.a.b``.  A key with dots is quoted as in JSON: ``metadata."a.b".c``."""
    rest = name.removeprefix("metadata.")
    keys: list[str] = []
    while True:
        if rest.startswith('"'):
            try:
                key, end = json.JSONDecoder().raw_decode(rest)
            except ValueError:
                raise FilterError(f"{name!r}: a key in quotes does not end") from None
        else:
            end = rest.find(".") if "." in rest else len(rest)
            key = rest[:end]
            if not key:
                raise FilterError(f'{name!r} has an empty key; write "" if one is meant')
        keys.append(str(scalar(name, key)))
        rest = rest[end:]
        if not rest:
            return keys
        if not rest.startswith("."):
            raise FilterError(f"{name!r}: after a key in quotes comes a dot, or nothing")
        rest = rest[1:]
