"""The fields of ``metadata``, which is JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agentmem.errors import FilterError
from agentmem.inputs import clip, shorten
from agentmem.store import numbers
from agentmem.store.comparison import (
    FALSE,
    SYMBOLS,
    Field,
    SQLText,
    is_number,
    join,
    marks,
    scalar,
    text_test,
)

__all__ = ["JSONField", "path_keys"]

_NUMBER = "'integer', 'real'"  # as ``json_type`` calls them


class JSONField(Field):
    """A value inside ``metadata``.  Arrays and objects are equal to nothing."""

    def __init__(self, name: str, keys: Sequence[str]) -> None:
        super().__init__(clip(name), "m.metadata ->> ?")
        self._path = "$." + ".".join(json.dumps(key, ensure_ascii=False) for key in keys)

    def present(self) -> SQLText:
        return "json_type(m.metadata, ?) <> 'null'", [self._path]

    def bound(self, operator: str, value: Any) -> tuple[str, Any] | None:
        return operator, value  # see ``_beyond``

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
        known = [value for value in values if is_number(value)]
        for types, alike in (
            ("'text'", [value for value in values if isinstance(value, str)]),
            (_NUMBER, [value for value in known if not numbers.is_beyond(value)]),
        ):
            if alike:
                test = f"{self.column} IN {marks(alike)}"
                parts.append(self._of_type(types, (test, [self._path, *alike])))
        parts += [self._beyond("=", value, _NUMBER) for value in known if numbers.is_beyond(value)]
        return join(parts, "OR", FALSE)

    def single(self, operator: str, value: Any) -> SQLText:
        if operator in ("contains", "icontains"):
            return self._contains(operator, value)
        if operator == "eq":
            return self.member([value])
        if isinstance(value, bool):
            return FALSE  # truth has no order
        symbol = SYMBOLS[operator]
        if not isinstance(value, str) and numbers.is_beyond(value):
            return self._beyond(symbol, value, _NUMBER)
        types = "'text'" if isinstance(value, str) else _NUMBER
        return self._of_type(types, (f"{self.column} {symbol} ?", [self._path, value]))

    def _beyond(self, symbol: str, value: float, types: str) -> SQLText:
        """A comparison with a number that SQLite cannot make exactly."""
        test = f"{numbers.FUNCTION}(m.metadata -> ?, '{symbol}', ?)"
        return self._of_type(types, (test, [self._path, numbers.operand(value)]))

    def _contains(self, operator: str, value: Any) -> SQLText:
        if isinstance(value, bool):
            member, params = f"e.type = '{'true' if value else 'false'}'", []
        elif isinstance(value, str):
            folded = operator == "icontains"
            element = "am_casefold(e.value)" if folded else "e.value"
            member = f"e.type = 'text' AND {element} = ?"
            params = [value.casefold() if folded else value]
        elif numbers.is_beyond(value):
            return self._beyond("=", value, "'array'")
        else:
            member, params = f"e.type IN ({_NUMBER}) AND e.value = ?", [value]
        in_list = self._of_type(
            "'array'",
            (
                f"EXISTS (SELECT 1 FROM json_each(m.metadata, ?) e WHERE {member})",
                [self._path, *params],
            ),
        )
        if not isinstance(value, str):
            return in_list
        text, params = text_test(self.column, operator, value)
        in_text = self._of_type("'text'", (text, [self._path, *params]))
        return join([in_list, in_text], "OR", FALSE)


def path_keys(name: str) -> list[str]:
    """Keys of ``metadata.a.b``.  A key with dots is quoted as in JSON: ``metadata."a.b".c``."""
    rest = name.removeprefix("metadata.")
    keys: list[str] = []
    while True:
        if rest.startswith('"'):
            try:
                key, end = json.JSONDecoder().raw_decode(rest)
            except ValueError:
                raise FilterError(f"{shorten(name)}: a key in quotes does not end") from None
        else:
            end = rest.find(".") if "." in rest else len(rest)
            key = rest[:end]
            if not key:
                raise FilterError(f'{shorten(name)} has an empty key; write "" if one is meant')
        keys.append(str(scalar(f"the filter field {shorten(name)}", key)))
        rest = rest[end:]
        if not rest:
            return keys
        if not rest.startswith("."):
            raise FilterError(f"{shorten(name)}: after a key in quotes comes a dot, or nothing")
        rest = rest[1:]
