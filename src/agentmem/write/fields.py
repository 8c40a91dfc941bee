"""The fields of a memory that callers set: one table of names, columns and checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from agentmem.inputs import (
    check_importance,
    check_label,
    check_level,
    check_memory_type,
    check_metadata,
)
from agentmem.times import to_micros

if TYPE_CHECKING:
    from agentmem.config import Limits

__all__ = ["FIELD_NAMES", "put_fields"]

#: Public names of the fields, as arguments of ``add`` and keys of ``add_batch`` items.
FIELD_NAMES = (
    "role",
    "actor_id",
    "metadata",
    "memory_type",
    "level",
    "importance",
    "timestamp",
    "expiration_date",
    "idempotency_key",
)


def put_fields(record: Any, values: Mapping[str, Any], limits: Limits) -> None:
    """Set the given fields of a record; absent and None mean not given.

    Raises:
        InvalidInputError (and its kinds): a value that cannot be accepted.
    """
    for name, value in values.items():
        if value is not None and name in _TABLE:
            column, check = _TABLE[name]
            setattr(record, column, check(value, limits))


def _expiration(value: Any, _limits: Limits) -> int | None:
    """A time, or ``"never"`` to take an expiration away."""
    if isinstance(value, str) and value == "never":
        return None
    return to_micros(value, "expiration_date")


#: By public name the column and the check.
_TABLE: dict[str, tuple[str, Callable[[Any, Limits], Any]]] = {
    "role": ("role", partial(check_label, what="role")),
    "actor_id": ("actor_id", partial(check_label, what="actor_id")),
    "metadata": ("metadata", check_metadata),
    "memory_type": ("memory_type", lambda value, _: check_memory_type(value)),
    "level": ("level", check_level),
    "importance": ("importance", lambda value, _: check_importance(value)),
    "timestamp": ("event_at", lambda value, _: to_micros(value, "timestamp")),
    "expiration_date": ("expires_at", _expiration),
    "idempotency_key": ("idempotency_key", partial(check_label, what="idempotency_key")),
}
