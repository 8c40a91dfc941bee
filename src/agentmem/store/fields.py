"""The fields that a filter may name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from agentmem.errors import FilterError, InvalidInputError
from agentmem.inputs import clip, shorten
from agentmem.store.comparison import (
    FALSE,
    SYMBOLS,
    Field,
    SQLText,
    is_number,
    marks,
    scalar,
    text_test,
)
from agentmem.store.json_field import JSONField, path_keys
from agentmem.times import to_micros

__all__ = ["field"]


class TextField(Field):
    def member(self, values: list[Any]) -> SQLText:
        texts = [value for value in values if isinstance(value, str)]
        return (f"{self.column} IN {marks(texts)}", texts) if texts else FALSE

    def single(self, operator: str, value: Any) -> SQLText:
        return text_test(self.column, operator, value) if isinstance(value, str) else FALSE


class NumberField(Field):
    def member(self, values: list[Any]) -> SQLText:
        numbers = [value for value in values if is_number(value)]
        return (f"{self.column} IN {marks(numbers)}", numbers) if numbers else FALSE

    def single(self, operator: str, value: Any) -> SQLText:
        if not is_number(value) or operator not in SYMBOLS:
            return FALSE
        return f"{self.column} {SYMBOLS[operator]} ?", [value]


class MixedField(Field):
    """A column without affinity that holds strings or numbers."""

    def member(self, values: list[Any]) -> SQLText:
        alike = [value for value in values if not isinstance(value, bool)]
        return (f"{self.column} IN {marks(alike)}", alike) if alike else FALSE

    def single(self, operator: str, value: Any) -> SQLText:
        if isinstance(value, str):
            text, params = text_test(self.column, operator, value)
            return f"typeof({self.column}) = 'text' AND {text}", params
        if not is_number(value) or operator not in SYMBOLS:
            return FALSE
        # SQLite orders every number before every text.
        return f"typeof({self.column}) <> 'text' AND {self.column} {SYMBOLS[operator]} ?", [value]


class TimeField(Field):
    def compare(self, operator: str, operand: Any) -> SQLText:
        if operator not in SYMBOLS and operator != "in":
            raise FilterError(f"{self.name} is a time, which has no {operator}; use gte and lt")
        return super().compare(operator, operand)

    def value(self, operand: Any) -> int:
        try:
            return to_micros(operand, self.name)
        except InvalidInputError as error:
            raise FilterError(str(error)) from None

    def member(self, values: list[Any]) -> SQLText:
        return (f"{self.column} IN {marks(values)}", values) if values else FALSE

    def single(self, operator: str, value: Any) -> SQLText:
        return f"{self.column} {SYMBOLS[operator]} ?", [value]


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
                raise FilterError(f"{self.name}: {operator} takes a string, not {shorten(operand)}")
            return text_test(self._shown, operator, str(scalar(self.name, operand)))
        return super().compare(operator, operand)

    def value(self, operand: Any) -> bytes:
        try:
            return self._parse(str(operand) if isinstance(operand, UUID) else operand)
        except (ValueError, TypeError, AttributeError):
            raise FilterError(
                f"{self.name} is {self._what}, which {shorten(operand)} is not"
            ) from None

    def member(self, values: list[Any]) -> SQLText:
        return (f"{self.column} IN {marks(values)}", values) if values else FALSE

    def single(self, operator: str, value: Any) -> SQLText:
        return f"{self.column} {SYMBOLS[operator]} ?", [value]


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
        return JSONField(name, path_keys(name))
    if name.upper() in ("AND", "OR", "NOT"):
        raise FilterError(f"unknown filter field {shorten(name)}; write {name.upper()} in capitals")
    if name == "metadata":
        raise FilterError("name a key of the metadata to filter by: 'metadata.<name>'")
    raise FilterError(
        f"unknown filter field {shorten(name)}; for your own metadata write"
        f" 'metadata.{clip(name)}'. Known: {', '.join(_FIELDS)}, metadata.<name>"
    )
