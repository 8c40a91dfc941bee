"""The lines of an archive, each held to the rules that writing holds its values to."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem.config import Limits
from agentmem.errors import InvalidInputError
from agentmem.inputs import (
    check_importance,
    check_label,
    check_level,
    check_memory_type,
    check_metadata,
    check_text,
    resolve_scope,
    shorten,
)
from agentmem.store.archive import COLUMNS
from agentmem.times import MAX_TIME, MIN_TIME
from agentmem.types import SCOPE_FIELDS, Event, Scope, VectorSource

if TYPE_CHECKING:
    from agentmem.store.archive import Header

__all__ = ["Rows"]

_MOST = 2**63 - 1  # of SQLite's integers
#: What a store may hold is its own configuration's to say, and an archive does not know it.
_LIMITS = Limits(max_content_bytes=_MOST, max_metadata_bytes=_MOST, max_scope_bytes=_MOST)
#: Where no value is a value.
_OPTIONAL = frozenset(
    (*SCOPE_FIELDS, "actor_id", "role", "level", "importance", "metadata", "expires_at",
     "idempotency_key", "reads", "last_read", "data")
)  # fmt: skip
_ORDER = {kind: i for i, kind in enumerate(COLUMNS)}
_UNIT = 0.01  # by which the square of a stored vector's length may differ from 1, as in a check


class Rows:
    """Checks the lines of one archive, in their order, and makes rows of them."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._kind = next(iter(COLUMNS))
        self._last = -1  # first value of the line before, if it was of this kind
        self._counts = dict.fromkeys(COLUMNS, 0)
        self._scopes: dict[int, Scope] = {}
        self._taken: dict[str, set[Any]] = {}

    def row(self, value: dict[str, Any]) -> tuple[Any, ...]:
        """The stored values of a line, as ``COLUMNS`` names them.

        Raises:
            InvalidInputError: a value that no store would hold, or that does not fit the lines
                before it.
        """
        kind = value["kind"]
        names = COLUMNS[kind]
        unknown = [name for name in value if name != "kind" and name not in names]
        if unknown:
            raise InvalidInputError(f"a {kind} has the unknown key {shorten(unknown[0])}")
        row = {name: _value(name, value.get(name)) for name in names}
        self._place(kind, row[names[0]])
        getattr(self, f"_check_{kind}")(row)
        self._counts[kind] += 1
        return tuple(row.values())

    def finish(self) -> None:
        """
        Raises:
            InvalidInputError: there are not as many rows as the header says.
        """
        if self._counts != self._header.counts:
            raise InvalidInputError(
                f"the archive says that it has {_counted(self._header.counts)}, and has"
                f" {_counted(self._counts)}: it is not whole"
            )

    def _place(self, kind: str, first: int) -> None:
        if _ORDER[kind] < _ORDER[self._kind]:
            raise InvalidInputError(f"a {kind} after a {self._kind}")
        if kind != self._kind:
            self._kind, self._last = kind, -1
        if first <= self._last:
            name = COLUMNS[kind][0]
            raise InvalidInputError(
                f"{name} {first} of a {kind} stands after {self._last}; they must ascend"
            )
        self._last = first

    def _check_scope(self, row: dict[str, Any]) -> None:
        given = {name: row[name] for name in SCOPE_FIELDS}
        scope = resolve_scope(given, Scope(), _LIMITS)
        if not scope:
            raise InvalidInputError(f"a scope needs one of {', '.join(SCOPE_FIELDS)}")
        for name, value in given.items():
            _same(name, value, getattr(scope, name))
        self._take("scope", scope)
        self._scopes[row["scope"]] = scope

    def _check_event(self, row: dict[str, Any]) -> None:
        if row["seq"] > self._header.seq:
            raise InvalidInputError(
                f"seq {row['seq']} is beyond the archive's last, {self._header.seq}"
            )

    def _check_version(self, row: dict[str, Any]) -> None:
        if row["scope"] not in self._scopes:
            raise InvalidInputError(f"scope {row['scope']} is none of the archive's")

    def _check_past_vector(self, row: dict[str, Any]) -> None:
        if row["data"] is not None:
            self._check_vector(row["data"], VectorSource.CALLER)

    def _check_memory(self, row: dict[str, Any]) -> None:
        self._check_version(row)
        self._check_vector(row["vector"], row["source"])
        if (row["reads"] is None) != (row["last_read"] is None):
            raise InvalidInputError("reads and last_read come together")
        self._take("id", row["id"], str(uuid.UUID(bytes=row["id"])))
        self._take("position", (row["scope"], row["position"]), row["position"])
        if row["idempotency_key"] is not None:
            named = (row["scope"], row["idempotency_key"])
            self._take("idempotency_key", named, row["idempotency_key"])

    def _check_vector(self, data: bytes, source: int) -> None:
        caller = source == VectorSource.CALLER
        dtype = np.dtype("<f4" if caller else "<f2")
        if len(data) != self._header.dim * dtype.itemsize:
            raise InvalidInputError(
                f"a vector of a wrong size: {len(data)} bytes, not {self._header.dim} numbers of"
                f" {dtype.itemsize}"
            )
        vector = np.frombuffer(data, dtype).astype(np.float32)
        squared = float(vector @ vector)
        # Zeros are what a model makes of a text without any word.
        if not (abs(squared - 1) < _UNIT or (squared == 0 and not caller)):
            raise InvalidInputError(f"a vector of length {squared**0.5:.3g}, not 1")

    def _take(self, name: str, value: Any, shown: object = None) -> None:
        taken = self._taken.setdefault(name, set())
        if value in taken:
            raise InvalidInputError(f"{name} {shorten(shown or tuple(value))} stands there twice")
        taken.add(value)


def _value(name: str, given: Any) -> Any:
    """The stored form of a value.

    Raises:
        InvalidInputError: it is none that a store would hold.
    """
    if given is None:
        if name in _OPTIONAL:
            return None
        raise InvalidInputError(f"it has no {name}")
    return _CHECKS[name](name, given) if name in _CHECKS else _number(name, given)


def _number(name: str, given: Any) -> int:
    least = 1 if name in ("key", "seq") else 0
    if type(given) is not int or not least <= given <= _MOST:
        raise InvalidInputError(
            f"{name} must be an integer from {least} to 2^63 - 1, not {shorten(given)}"
        )
    return given


def _time(name: str, given: Any) -> int:
    if type(given) is not int or not MIN_TIME <= given <= MAX_TIME:
        raise InvalidInputError(
            f"{name} must be microseconds since 1970 within the years 1 to 9999, not"
            f" {shorten(given)}"
        )
    return given


def _content(name: str, given: Any) -> str:
    return check_text(given, _MOST, name)


def _label(name: str, given: Any) -> str:
    _same(name, given, check_label(given, _LIMITS, name))
    return str(given)


def _level(name: str, given: Any) -> Any:
    _same(name, given, check_level(given, _LIMITS))
    return given


def _same(name: str, given: object, stored: object) -> None:
    if given != stored:
        raise InvalidInputError(f"{name} {shorten(given)} has blanks around it")


def _metadata(name: str, given: Any) -> str:
    text = check_text(given, _MOST, name)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{name} {shorten(given)} is not JSON: {error}") from None
    if check_metadata(value, _LIMITS) is None:
        raise InvalidInputError(f"{name} {shorten(given)} has nothing in it")
    return text


def _id(name: str, given: Any) -> bytes:
    try:
        return uuid.UUID(given).bytes
    except (AttributeError, TypeError, ValueError):
        raise InvalidInputError(f"{name} {shorten(given)} is no UUID") from None


def _named(kind: type[Event | VectorSource], text: Callable[[str], str]) -> Callable[..., int]:
    names = {text(member.name): int(member) for member in kind}

    def number(name: str, given: Any) -> int:
        if not isinstance(given, str) or given not in names:
            raise InvalidInputError(f"{name} {shorten(given)} is not one of {', '.join(names)}")
        return names[given]

    return number


def _base64(name: str, given: Any) -> bytes:
    try:
        return base64.b64decode(given, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise InvalidInputError(f"{name} {shorten(given)} is not base64") from None


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in counts.items())


#: How values are checked that are not just numbers from 0.
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "id": _id,
    **dict.fromkeys((*SCOPE_FIELDS, "actor_id", "role", "idempotency_key"), _label),
    "content": _content,
    "memory_type": lambda _, given: check_memory_type(given),
    "level": _level,
    "importance": lambda _, given: check_importance(given),
    "metadata": _metadata,
    **dict.fromkeys(("event_at", "created_at", "updated_at", "expires_at"), _time),
    **dict.fromkeys(("at", "last_read"), _time),
    "event": _named(Event, str),
    "source": _named(VectorSource, str.lower),
    "vector": _base64,
    "data": _base64,
}  # fmt: skip
