"""What a question says besides its words: whom it names, and when."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from agentmem._native.cues import Glance
from agentmem.search.relative import TRIGGERS, spans_in
from agentmem.times import now_micros
from agentmem.types import Cues

if TYPE_CHECKING:
    from agentmem.ports import Analyzer

__all__ = ["cues_of", "dates_in", "names_in", "words_of"]

_NONE = Cues()
_NAMES = "January February March April May June July August September October November December"
_MONTHS = tuple(_NAMES.lower().split(" "))
_MONTH = "|".join((*_MONTHS, "sept", *(name[:3] for name in _MONTHS)))
_NUMBER = {name[:3]: i for i, name in enumerate(_MONTHS, 1)}
#: Most questions have no date; looking for one of these words is the quickest way to know.
_MONTH_WORDS = frozenset((*_MONTHS, *_NUMBER, "sept"))
_SPACED = str.maketrans(dict.fromkeys(".,;:!?'\"()[]{}<>/-–—‘’“”", " "))
_DIGIT = re.compile(r"\d")
#: "3 July 2023", "3rd of July", "July 3rd, 2023", "July 2023", "July"
_WORDED = re.compile(
    r"\b(?:(?P<before>\d{1,2})(?:st|nd|rd|th)?\s+(?:of\s+)?)?"
    rf"(?P<month>{_MONTH})\b\.?"
    r"(?:\s+(?P<after>\d{1,2})(?:st|nd|rd|th)?\b(?!:))?"
    r"(?:,?\s+(?:of\s+)?(?P<year>[12]\d{3})\b)?",
    re.IGNORECASE,
)
#: "2023-07", "2023-07-03", "2023-07-03T10:00"
_ISO = re.compile(
    r"\b([12]\d{3})-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01])(?:\b|(?=T\d))|\b)", re.IGNORECASE
)
_YEAR = re.compile(r"\b(?:in|during|of|since)\s+([12]\d{3})\b(?!-\d)", re.IGNORECASE)
#: Words that are also no months, unless a day, a year or one of these stands beside them.
_AMBIGUOUS = frozenset(("may", "march", "mar", "jan", "dec", "sep"))
_BEFORE_MONTH = re.compile(
    r"\b(?:in|on|of|since|until|till|during|by|before|after|from|last|this|next|early|late|mid)"
    r"[\s-]+$",
    re.IGNORECASE,
)
_OPENING = "\"'([{<«“‘„"
_SENTENCE_END = (".", "!", "?", ":")
#: Most questions have no date, and are in ASCII: these are done with in a microsecond.
_GLANCE = Glance(_MONTH_WORDS | TRIGGERS)


def cues_of(text: str, analyzer: Analyzer, at: int | None = None) -> Cues:
    """The names and dates in a question asked at ``at``, in microseconds (None: now)."""
    seen = _GLANCE.look(text)
    names, dated = (names_in(text), True) if seen is None else seen
    dates: tuple[tuple[int, int, int], ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    if dated:
        words = words_of(text)
        dates = dates_in(text, words)
        if not TRIGGERS.isdisjoint(words):
            spans = spans_in(text, now_micros() if at is None else at)
    if not names:
        return Cues((), dates, spans) if dates or spans else _NONE
    terms = analyzer.analyze([" ".join(names)]).terms
    return Cues(tuple(terms.tolist()), dates, spans)


def words_of(text: str) -> list[str]:
    """The words of a text in small letters."""
    return text.lower().translate(_SPACED).split()


def names_in(text: str) -> list[str]:
    """Words with a capital letter that do not begin a sentence; none in a text that is all
    capitals."""
    if text.isupper():
        return []
    names = []
    words = text.split()
    for before, word in pairwise(words):
        if not before.endswith(_SENTENCE_END) and word.lstrip(_OPENING)[:1].isupper():
            names.append(word)
    return names


def dates_in(text: str, words: list[str]) -> tuple[tuple[int, int, int], ...]:
    """(year, month, day) of every date, in order; 0 for what is not said.  ``words`` are its
    ``words_of``."""
    found: list[tuple[int, tuple[int, int, int] | None]] = []
    if not _MONTH_WORDS.isdisjoint(words):
        found = [(m.start(), _worded(m)) for m in _WORDED.finditer(text)]
    if _DIGIT.search(text):
        found += [(m.start(), (int(m[1]), int(m[2]), int(m[3] or 0))) for m in _ISO.finditer(text)]
        found += [(m.start(), (int(m[1]), 0, 0)) for m in _YEAR.finditer(text)]
        found.sort()
    return tuple(dict.fromkeys(date for _, date in found if date is not None))


def _worded(match: re.Match[str]) -> tuple[int, int, int] | None:
    word = match["month"].lower()
    day = match["before"] or match["after"]
    year = match["year"]
    alone = day is None and year is None
    if alone and word in _AMBIGUOUS and not _BEFORE_MONTH.search(match.string[: match.start()]):
        return None
    return (int(year or 0), _NUMBER[word[:3]], int(day or 0))
