"""Times: integer microseconds UTC inside, ISO 8601 with offset outside."""

from __future__ import annotations

import math
import time
from datetime import UTC, date, datetime, timedelta

from agentmem.errors import InvalidInputError
from agentmem.inputs import shorten

__all__ = ["EPOCH", "MAX_TIME", "TimeLike", "from_micros", "now_micros", "to_micros"]

TimeLike = str | int | float | date  # a ``datetime`` is a ``date``

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: 9999-12-31T23:59:59.999999Z, the last instant ``datetime`` can hold, in microseconds.
MAX_TIME = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
#: 0001-01-01T00:00:00Z in microseconds.
MIN_TIME = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND


def now_micros() -> int:
    """The wall clock, in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def to_micros(value: TimeLike, what: str = "timestamp") -> int:
    """Microseconds UTC of an ISO 8601 string, a ``datetime``, a ``date`` or epoch seconds.

    A time without an offset is taken as UTC, a date as its beginning.  ``what`` names the
    argument in errors.

    Raises:
        InvalidInputError: not a time, not finite, or outside years 1 to 9999.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | date):
        raise InvalidInputError(
            f"{what} must be an ISO 8601 string, a datetime or epoch seconds, not {shorten(value)}"
        )
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise InvalidInputError(
                f"{what} {shorten(value)} is not an ISO 8601 time, such as"
                " '2024-03-09T14:00:00+00:00'"
            ) from None
    if isinstance(value, date):
        if not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        micros = (value - EPOCH) // _MICROSECOND
    elif isinstance(value, int):
        micros = value * 1_000_000
    elif math.isfinite(value):
        micros = round(value * 1e6)
    else:
        raise InvalidInputError(f"{what} must be finite, not {shorten(value)}")
    if not MIN_TIME <= micros <= MAX_TIME:
        shown = value.isoformat() if isinstance(value, date) else shorten(value)
        raise InvalidInputError(
            f"{what} {shown} lies outside the years 1 to 9999 (UTC); epoch times are in seconds"
        )
    return micros


def from_micros(micros: int | None) -> str | None:
    """ISO 8601 with offset, microsecond resolution; None stays None."""
    if micros is None:
        return None
    return (EPOCH + timedelta(microseconds=micros)).isoformat()
