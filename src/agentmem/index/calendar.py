"""Dates that a question names, against when memories happened.  Days are those of UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["date_part"]

_DAY = 86_400_000_000  # microseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = 100  # most years that a date without one is looked for in


def date_part(
    event_at: NDArray[np.int64], asked: tuple[tuple[int, int, int], ...], days: float
) -> NDArray[np.float32]:
    """1 for what happened within a date, then less in a straight line, and 0 ``days`` after it:
    people tell of something on the day or in the days after.  The best of several dates.

    ``asked`` are (year, month, day), 0 where not said; a date without a year is any year's.
    """
    part = np.zeros(len(event_at), np.float32)
    if not len(event_at):
        return part
    first, last = _year_of(int(event_at.min())) - 1, _year_of(int(event_at.max()))
    fade = max(days * _DAY, 1.0)
    for year, month, day in asked:
        years = (year,) if year else range(max(first, last - _YEARS), last + 1)
        for one in years:
            span = _span(one, month, day)
            if span is None:
                continue
            after = np.maximum(event_at - span[1] + 1, 0)
            fits = np.clip(1.0 - after / fade, 0.0, 1.0)
            fits[event_at < span[0]] = 0.0
            np.maximum(part, fits, out=part, casting="same_kind")
    return part


def _span(year: int, month: int, day: int) -> tuple[int, int] | None:
    """Microseconds [start, end) of a year, month or day; None where there is no such day."""
    try:
        start = datetime(year, month or 1, day or 1, tzinfo=UTC)
        if day:
            end = start + timedelta(days=1)
        elif month:
            end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        else:
            end = datetime(year + 1, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return _micros(start), _micros(end)


def _micros(when: datetime) -> int:
    return (when - _EPOCH) // timedelta(microseconds=1)


def _year_of(micros: int) -> int:
    try:
        return (_EPOCH + timedelta(microseconds=micros)).year
    except OverflowError:
        return 1 if micros < 0 else 9999
