"""Dates asked for, against when memories happened."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from agentmem.index.calendar import date_part
from agentmem.types import Cues

DAYS = 10.0


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


def fit(when: str, *asked: tuple[int, int, int], others: tuple[str, ...] = ()) -> float:
    events = np.array([at(when), *map(at, others)], np.int64)
    return float(date_part(events, Cues(dates=asked), DAYS)[0])


@pytest.mark.parametrize(
    "asked", [(2024, 2, 29), (2024, 2, 0), (2024, 0, 0), (0, 2, 29), (0, 2, 0)]
)
def test_within_a_date_is_1(asked: tuple[int, int, int]) -> None:
    assert fit("2024-02-29T00:00:00", asked) == 1.0
    assert fit("2024-02-29T23:59:59.999999", asked) == 1.0


def test_afterwards_it_fades_in_a_straight_line() -> None:
    assert fit("2024-03-05T00:00:00", (2024, 2, 29)) == pytest.approx(0.6)
    assert fit("2024-03-12T00:00:00", (2024, 2, 29)) == 0.0


def test_before_it_is_nothing() -> None:
    assert fit("2024-02-28T23:59:59", (2024, 2, 29)) == 0.0


def test_a_month_without_a_year_is_that_of_any_year() -> None:
    others = ("2019-06-01", "2024-06-01")
    assert fit("2021-12-31", (0, 12, 0), others=others) == 1.0
    # The month began before the first memory.
    assert fit("2021-01-02", (0, 12, 0)) == pytest.approx(0.9, abs=0.11)


def test_the_best_of_several_dates_counts() -> None:
    assert fit("2024-03-05", (2024, 2, 29), (2024, 3, 5)) == 1.0


@pytest.mark.parametrize("asked", [(2023, 2, 29), (2023, 4, 31), (9999, 12, 31), (0, 2, 30)])
def test_days_that_do_not_exist_fit_nothing(asked: tuple[int, int, int]) -> None:
    assert fit("2023-03-01", asked) == 0.0


def test_times_that_no_calendar_has_are_no_error() -> None:
    events = np.array([-(2**62), 0, 2**62], np.int64)
    assert date_part(events, Cues(dates=((0, 1, 1), (1970, 0, 0))), DAYS)[1] == 1.0
    assert len(date_part(events[:0], Cues(dates=((0, 1, 1),)), DAYS)) == 0
