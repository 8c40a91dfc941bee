"""Times as others write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from agentmem.cli.formats.dates import parse_time
from agentmem.errors import InvalidInputError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2024-03-09T14:00:00+02:00", datetime(2024, 3, 9, 12, tzinfo=UTC)),
        ("2024-03-09T14:00:00Z", datetime(2024, 3, 9, 14, tzinfo=UTC)),
        ("2024-03-09 14:00", datetime(2024, 3, 9, 14, tzinfo=UTC)),
        ("2024-03-09", datetime(2024, 3, 9, tzinfo=UTC)),
        ("1:56 pm on 8 May, 2023", datetime(2023, 5, 8, 13, 56, tzinfo=UTC)),
        ("12:09 am on 13 September, 2023", datetime(2023, 9, 13, 0, 9, tzinfo=UTC)),
        ("12:30 pm on 1 sept 2023", datetime(2023, 9, 1, 12, 30, tzinfo=UTC)),
        ("2023/05/20 (Sat) 02:21", datetime(2023, 5, 20, 2, 21, tzinfo=UTC)),
        ("2023/05/20", datetime(2023, 5, 20, tzinfo=UTC)),
        (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (
            datetime(2024, 1, 1, 5, tzinfo=timezone(timedelta(hours=5))),
            datetime(2024, 1, 1, tzinfo=UTC),
        ),
    ],
)
def test_usual_times_are_understood(given, expected) -> None:
    assert parse_time(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "yesterday",
        "",
        "13:56 pm on 8 May, 2023",
        "1:56 pm on 31 June, 2023",
        "1:56 pm on 8 Mayor, 2023",
        "2023/13/20",
        True,
        None,
        float("nan"),
        "0001-01-01T00:00:00+05:00",
    ],
)
def test_other_things_are_an_error_that_names_them(given) -> None:
    with pytest.raises(InvalidInputError):
        parse_time(given)
