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

__all__ = ["FIELD_NAMES", "Fields"]

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


class Fields:
    """Checks field values and puts them onto a record."""

    def __init__(self, limits: Limits) -> None:
        label = partial(check_label, limits=limits)
        self._table: dict[str, tuple[str, Callable[[Any], Any]]] = {
            "role": ("role", partial(label, what="role")),
            "actor_id": ("actor_id", partial(label, what="actor_id")),
            "metadata": ("metadata", partial(check_metadata, limits=limits)),
            "memory_type": ("memory_type", check_memory_type),
            "level": ("level", partial(check_level, limits=limits)),
            "importance": ("importance", check_importance),
            "timestamp": ("event_at", partial(to_micros, what="timestamp")),
            "expiration_date": ("expires_at", _expiration),
            "idempotency_key": ("idempotency_key", partial(label, what="idempotency_key")),
        }

    def put(self, record: Any, values: Mapping[str, Any]) -> bool:
        """Set the given fields; absent and None mean not given.  True if there was any.

        Raises:
            InvalidInputError (and its kinds): a value that cannot be accepted.
        """
        given = False
        table = self._table
        for name, value in values.items():
            if value is not None and name in table:
                column, check = table[name]
                setattr(record, column, check(value))
                given = True
        return given


def _expiration(value: Any) -> int | None:
    """A time, or ``"never"`` to take an expiration away."""
    if isinstance(value, str) and value == "never":
        return None
    return to_micros(value, "expiration_date")
