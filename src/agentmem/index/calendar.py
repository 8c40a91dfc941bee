"""Dates that a question names, against when memories happened.  Days are those of UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.types import Cues

__all__ = ["date_part", "fade_of", "spans"]

_DAY = 86_400_000_000  # microseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = 100  # most years that a date without one is looked for in


def date_part(event_at: NDArray[np.int64], cues: Cues, days: float) -> NDArray[np.float32]:
    """1 for what happened within a date, then less in a straight line, and 0 ``days`` after it:
    people tell of something on the day or in the days after.  The best of several dates; one
    without a year is any year's."""
    part = np.zeros(len(event_at), np.float32)
    if not len(event_at):
        return part
    fade = fade_of(days)
    for start, end in spans(cues, int(event_at.min()), int(event_at.max())):
        after = np.maximum(event_at - end + 1, 0)
        fits = np.clip(1.0 - after / fade, 0.0, 1.0)
        fits[event_at < start] = 0.0
        np.maximum(part, fits, out=part, casting="same_kind")
    return part


def fade_of(days: float) -> float:
    """Microseconds in which the part falls to 0."""
    return max(days * _DAY, 1.0)


def spans(cues: Cues, first: int, last: int) -> list[tuple[int, int]]:
    """Microseconds ``[from, to)`` of each date, for memories of the times ``first`` to ``last``."""
    years = _year_of(first) - 1, _year_of(last)
    found = list(cues.spans)
    for year, month, day in cues.dates:
        for one in (year,) if year else range(max(years[0], years[1] - _YEARS), years[1] + 1):
            span = _span(one, month, day)
            if span is not None:
                found.append(span)
    return found


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
