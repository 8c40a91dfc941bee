"""Dates that are named from where a question is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentmem import Memory
from agentmem.search.cues import words_of
from agentmem.search.relative import TRIGGERS, spans_in

#: A Wednesday.
NOW = datetime(2024, 3, 13, 15, 30, tzinfo=UTC)


def days(text: str, now: datetime = NOW) -> list[tuple[str, str]]:
    """First and last day of each span."""
    spans = spans_in(text, round(now.timestamp() * 1e6))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [
        (str((epoch + timedelta(microseconds=a)).date()),
         str((epoch + timedelta(microseconds=b - 1)).date()))
        for a, b in spans
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("What did I eat yesterday?", "2024-03-12", "2024-03-12"),
        ("the day before yesterday", "2024-03-11", "2024-03-11"),
        ("what is on TODAY", "2024-03-13", "2024-03-13"),
        ("where was I last night", "2024-03-12", "2024-03-12"),
        ("three days ago", "2024-03-10", "2024-03-10"),
        ("14 days ago", "2024-02-28", "2024-02-28"),
        ("a week ago", "2024-03-03", "2024-03-09"),
        ("a couple of weeks ago", "2024-02-25", "2024-03-02"),
        ("two months ago", "2023-12-29", "2024-01-28"),
        ("the Monday two months ago", "2024-01-15", "2024-01-15"),
        ("a year ago", "2022-09-11", "2023-09-12"),
        ("last week", "2024-03-04", "2024-03-10"),
        ("this week", "2024-03-11", "2024-03-17"),
        ("the past weekend", "2024-03-09", "2024-03-10"),
        ("last month", "2024-02-01", "2024-02-29"),
        ("in the last month", "2024-02-13", "2024-03-13"),
        ("over the past 10 days", "2024-03-03", "2024-03-13"),
        ("last year", "2023-01-01", "2023-12-31"),
        ("this year", "2024-01-01", "2024-12-31"),
        ("on Monday", "2024-03-11", "2024-03-11"),
        ("last Wednesday", "2024-03-06", "2024-03-06"),
    ],
)
def test_spans(text: str, first: str, last: str) -> None:
    assert days(text) == [(first, last)]
    assert not TRIGGERS.isdisjoint(words_of(text))


@pytest.mark.parametrize(
    "text",
    ["how long ago was it?", "the last of us", "this is it", "past tense", "Monday is a holiday",
     "at last", "ten days", "999 years ago and 999 years ago in the year 1"],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    assert days(text, datetime(400, 3, 1, tzinfo=UTC)) == []


def test_months_end_where_they_do() -> None:
    assert days("a month ago", datetime(2024, 3, 31, tzinfo=UTC)) == [("2024-02-14", "2024-03-15")]
    assert days("last month", datetime(2024, 1, 1, tzinfo=UTC)) == [("2023-12-01", "2023-12-31")]


def test_a_search_counts_from_when_it_is_asked(memory: Memory) -> None:
    told = [NOW - timedelta(days=days) for days in (1, 8, 40)]
    for when in told:
        memory.add("We went to the cinema", user_id="u", timestamp=when)

    def first(query: str, **asked: Any) -> str:
        found: str = memory.search(query, user_id="u", **asked)["results"][0]["timestamp"]
        return found

    for query, when in zip(("yesterday", "last week", "in February"), told, strict=True):
        assert first(f"What did we see at the cinema {query}?", asked_at=NOW) == when.isoformat()
    # Asked a week before, it was another time that was yesterday.
    earlier = NOW - timedelta(days=7)
    assert first("the cinema yesterday", asked_at=earlier) == told[1].isoformat()
    memory.add("We went to the cinema", user_id="u", timestamp=datetime.now(UTC))
    assert first("the cinema today")[:10] == str(datetime.now(UTC).date())
    explained = memory.search("the cinema yesterday", user_id="u", asked_at=NOW, explain=True)
    shown = [item["explain"]["date"] > 0 for item in explained["results"]]
    assert shown == [True, False, False, False]
