"""What reaches a terminal."""

from __future__ import annotations

import pytest

from agentmem.cli.render import Column, fit, metadata_text, one_line, safe, size_text, time_text


def test_control_characters_become_visible() -> None:
    assert safe("a\x1b[31mred\x07\x9b1m") == r"a\x1b[31mred\x07\x9b1m"
    assert safe("left\u202eright") == r"left\x202eright"
    assert safe("two\nlines\tand a tab") == "two\nlines\tand a tab"


def test_one_line_is_one_line_of_at_most_so_many_characters() -> None:
    assert one_line("  two\n\n lines ") == "two lines"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"
    assert one_line("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2023-05-08T13:56:00+00:00", "2023-05-08 13:56"),
        ("2023-05-08T13:56:30.123456+02:00", "2023-05-08 13:56 +0200"),
        (None, ""),
    ],
)
def test_times_are_shown_to_the_minute(given, shown) -> None:
    assert time_text(given) == shown


def test_metadata_is_pairs() -> None:
    assert metadata_text({"dia_id": "D1:3", "n": 5, "tags": ["é"]}) == 'dia_id=D1:3 n=5 tags=["é"]'
    assert metadata_text(None) == ""


def test_sizes_have_units() -> None:
    assert [size_text(n) for n in (10, 2048, 3 << 20)] == ["10 B", "2.0 KiB", "3.0 MiB"]


COLUMNS = [Column("#"), Column("metadata", wide=1), Column("memory", wide=3)]


def test_long_columns_share_the_room_that_short_ones_leave() -> None:
    rows = [["1", "dia_id=D1:3", "word " * 100], ["2", "note=" + "some words " * 20, "x"]]
    assert fit(COLUMNS, rows, 100) is not None
    assert sum(fit(COLUMNS, rows, 100)) == 100 - 2 * 2
    number, metadata, memory = fit(COLUMNS, rows, 100)
    assert number == 1
    assert memory > metadata >= 24


def test_short_texts_are_never_broken() -> None:
    rows = [["10", "dia_id=D1:3", "likes tea"]]
    assert fit(COLUMNS, rows, 100) == [2, 11, 9]


def test_too_little_room_is_told() -> None:
    assert fit(COLUMNS, [["1", "a" * 100, "word " * 100]], 40) is None
