"""Times as they are written in the files of others."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from agentmem.errors import InvalidInputError
from agentmem.times import EPOCH, to_micros

__all__ = ["parse_time"]

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)

# "1:56 pm on 8 May, 2023" (LoCoMo)
_CLOCK_FIRST = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)\s*(?P<half>[ap])\.?m\.?,?\s+(?:on\s+)?"
    r"(?P<day>\d{1,2})\s+(?P<month>[a-z]+)\.?,?\s+(?P<year>\d{4})",
    re.IGNORECASE,
)
# "2023/05/20 (Sat) 02:21" (LongMemEval), "2023/05/20", "2023/05/20 02:21:07"
_SLASHED = re.compile(
    r"(?P<year>\d{4})/(?P<month>\d{1,2})/(?P<day>\d{1,2})(?:\s*\([a-z]+\))?"
    r"(?:[\sT,]+(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?)?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
# Seconds reach this in the year 5138, milliseconds in March 1973: nobody's chat is older.
_SECONDS_BELOW = 1e11
_MILLISECONDS_BELOW = 1e14


def parse_time(value: Any) -> datetime:
    """The instant meant by ISO 8601, LoCoMo's or LongMemEval's dates, or an epoch number
    (seconds, or milliseconds or microseconds where seconds would lie beyond the year 5138).
    Without an offset it is UTC.

    Raises:
        InvalidInputError: nothing of these.
    """
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            value = float(text) if "." in text else int(text)
        else:
            return _parse_text(text)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) >= _MILLISECONDS_BELOW:
            value = value / 1e6
        elif abs(value) >= _SECONDS_BELOW:
            value = value / 1e3
    return _from_micros(to_micros(value, "time"))


def _parse_text(text: str) -> datetime:
    found = _CLOCK_FIRST.fullmatch(text) or _SLASHED.fullmatch(text)
    if found is None:
        return _from_micros(to_micros(text, "time"))
    part = found.groupdict()
    hour = int(part["hour"] or 0)
    if "half" in part:
        if not 1 <= hour <= 12:
            raise InvalidInputError(f"time {text!r} has no such hour")
        hour = hour % 12 + (12 if part["half"].lower() == "p" else 0)
    try:
        return datetime(
            int(part["year"]),
            _month(part["month"]),
            int(part["day"]),
            hour,
            int(part["minute"] or 0),
            int(part.get("second") or 0),
            tzinfo=UTC,
        )
    except ValueError as error:
        raise InvalidInputError(f"time {text!r} does not exist: {error}") from None


def _month(text: str) -> int:
    if text.isdigit():
        return int(text)
    name = text.lower()
    for number, month in enumerate(_MONTHS, 1):
        if name == month or (len(name) >= 3 and month.startswith(name)):
            return number
    raise ValueError(f"{text!r} is no month")


def _from_micros(micros: int) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise InvalidInputError("a time lies outside the years 1 to 9999") from None
