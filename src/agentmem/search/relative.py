"""Dates that a question names from where it is asked: "yesterday", "two weeks ago", "last month".

English only.  Days are those of UTC, weeks begin on Monday.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta

from agentmem.times import EPOCH

__all__ = ["TRIGGERS", "spans_in"]

Span = tuple[datetime, datetime]

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_COUNTS = {
    word: number
    for number, words in enumerate(
        ("", "a an one", "two couple", "three few", "four", "five", "six", "seven several",
         "eight", "nine", "ten", "eleven", "twelve")
    )
    for word in words.split()
}  # fmt: skip
#: No question without one of these words has such a date.
TRIGGERS = frozenset(
    ("ago", "last", "past", "previous", "this", "yesterday", "today", "tonight", *_DAYS)
)

_COUNT = rf"(?P<count>\d{{1,3}}|(?:a\s+)?(?:couple|few)(?:\s+of)?|{'|'.join(_COUNTS)})"
_WEEKDAY = rf"(?P<weekday>{'|'.join(_DAYS)})"
_AGO = re.compile(
    rf"\b(?:(?:the|on)\s+{_WEEKDAY}\s+)?{_COUNT}\s+(?P<unit>day|week|month|year)s?\s+ago\b", re.I
)
_WITHIN = re.compile(
    rf"\b(?:in|over|during|within|for)\s+the\s+(?:last|past)\s+(?:{_COUNT}\s+)?"
    r"(?P<unit>day|week|month|year)s?\b",
    re.I,
)
_WHICH = re.compile(
    r"\b(?P<which>last|past|previous|this)\s+(?P<unit>week|weekend|month|year|night|morning)\b",
    re.I,
)
_ONE_DAY = re.compile(r"\b(?P<before>day\s+before\s+)?(?P<day>yesterday|today|tonight)\b", re.I)
_ON = re.compile(rf"\b(?:last|past|this|on)\s+{_WEEKDAY}\b(?!\s+(?:\d|\w+\s+(?:\w+\s+)?ago))", re.I)

_DAY = timedelta(days=1)
#: How far from the day that is named something may lie, for each unit: half of it.
_SLACK = {"day": timedelta(0), "week": 3 * _DAY, "month": 15 * _DAY, "year": 183 * _DAY}


def spans_in(text: str, at: int) -> tuple[tuple[int, int], ...]:
    """Microseconds [start, end) of every such date in a question asked at ``at``, in order."""
    try:
        now = EPOCH + timedelta(microseconds=at)
        return tuple(dict.fromkeys((_micros(a), _micros(b)) for a, b in _spans(text, now)))
    except (OverflowError, ValueError):  # before the first year, or after the last
        return ()


def _spans(text: str, now: datetime) -> list[Span]:
    today = datetime(now.year, now.month, now.day, tzinfo=UTC)
    found = [(match.start(), _ago(match, today)) for match in _AGO.finditer(text)]
    for match in _WITHIN.finditer(text):
        begin = _back(today, _count(match["count"] or "one"), match["unit"].lower())
        found.append((match.start(), (begin, today + _DAY)))
    taken = [match.span() for match in _WITHIN.finditer(text)]
    for match in _WHICH.finditer(text):
        if not any(a <= match.start() < b for a, b in taken):
            span = _which(match["which"].lower(), match["unit"].lower(), today)
            found.append((match.start(), span))
    for match in _ONE_DAY.finditer(text):
        days = (match["day"].lower() == "yesterday") + bool(match["before"])
        found.append((match.start(), _one(today - days * _DAY)))
    for match in _ON.finditer(text):
        back = (today.weekday() - _DAYS.index(match["weekday"].lower()) - 1) % 7 + 1
        found.append((match.start(), _one(today - back * _DAY)))
    return [span for _, span in sorted(found)]


def _ago(match: re.Match[str], today: datetime) -> Span:
    unit = match["unit"].lower()
    day = _back(today, _count(match["count"]), unit)
    if match["weekday"]:
        away = (_DAYS.index(match["weekday"].lower()) - day.weekday() + 3) % 7 - 3
        return _one(day + away * _DAY)
    return day - _SLACK[unit], day + _SLACK[unit] + _DAY


def _count(text: str) -> int:
    if text.isdecimal():
        return int(text)
    return next(_COUNTS[word] for word in reversed(text.lower().split()) if word in _COUNTS)


def _back(day: datetime, count: int, unit: str) -> datetime:
    if unit == "day":
        return day - count * _DAY
    if unit == "week":
        return day - 7 * count * _DAY
    months = 12 * day.year + day.month - 1 - count * (12 if unit == "year" else 1)
    year, month = months // 12, months % 12 + 1
    return day.replace(year=year, month=month, day=min(day.day, monthrange(year, month)[1]))


def _which(which: str, unit: str, today: datetime) -> Span:
    this = which == "this"
    if unit in ("night", "morning"):
        return _one(today if this else today - _DAY)
    monday = today - today.weekday() * _DAY
    if unit == "week":
        begin = monday if this else monday - 7 * _DAY
        return begin, begin + 7 * _DAY
    if unit == "weekend":
        saturday = monday + 5 * _DAY if this else monday - 2 * _DAY
        return saturday, saturday + 2 * _DAY
    first = today.replace(day=1) if unit == "month" else today.replace(month=1, day=1)
    begin = first if this else _back(first, 1, unit)
    return begin, _back(begin, -1, unit)


def _one(day: datetime) -> Span:
    return day, day + _DAY


def _micros(when: datetime) -> int:
    return (when - EPOCH) // timedelta(microseconds=1)
