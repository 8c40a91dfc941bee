"""Rows laid down column by column: the same as by way of lists, and nothing beyond them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem._native import gather as native
from agentmem._native import twins

VALUES = {
    "i": st.none() | st.integers(-(2**63), 2**63 - 1),
    "d": st.none() | st.floats(allow_nan=False),
    "t": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    "b": st.none() | st.binary(),
    "o": st.none() | st.text() | st.integers(),
}
ROWS = st.text(st.sampled_from("idtbo"), max_size=6).flatmap(
    lambda kinds: st.tuples(
        st.just(kinds), st.lists(st.tuples(*(VALUES[kind] for kind in kinds)), max_size=30)
    )
)
ANY = 1 << 40


def same(one: list[Any], other: list[Any]) -> bool:
    for a, b in zip(one, other, strict=True):
        if isinstance(a, list):
            if a != b:
                return False
            continue
        for x, y in zip(a, b, strict=True):
            if (x is None) != (y is None):
                return False
            if x is not None and (x.dtype != y.dtype or not np.array_equal(x, y)):
                return False
    return True


@given(ROWS, st.integers(0, 40), st.integers(0, 2_000))
def test_equals_twin(given_: tuple[str, list[tuple[Any, ...]]], most: int, size: int) -> None:
    kinds, rows = given_
    ours, theirs = iter(rows), iter(rows)
    made = native.gather(ours, kinds, most, size)
    wanted = twins.gather(theirs, kinds, most, size)
    assert made[:2] == wanted[:2]
    assert same(made[2], wanted[2])
    assert list(ours) == list(theirs)  # what was left


@given(ROWS, st.integers(1, 7))
def test_parts_are_the_whole(given_: tuple[str, list[tuple[Any, ...]]], most: int) -> None:
    kinds, rows = given_
    left = iter(rows)
    parts = []
    while (part := native.gather(left, kinds, most, ANY))[0]:
        parts.append(part)
    assert sum(part[0] for part in parts) == len(rows)
    assert sum(part[1] for part in parts) == native.gather(iter(rows), kinds, 100, ANY)[1]


def test_long_texts_find_room() -> None:
    rows = [("é" * 10_000 * i, b"x" * 3_000 * i) for i in range(20)]
    n, size, [(ends, text, _), (starts, blobs, _)] = native.gather(iter(rows), "tb", 20, ANY)
    assert n == 20
    assert size == 20 * 8 + len(text) + len(blobs)
    assert [text[a:b].tobytes().decode() for a, b in pairwise(ends)] == [row[0] for row in rows]
    assert [blobs[a:b].tobytes() for a, b in pairwise(starts)] == [row[1] for row in rows]


def test_an_error_of_the_rows_is_passed_on() -> None:
    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        native.gather(rows(), "i", 10, ANY)


@pytest.mark.parametrize(
    ("row", "kinds", "error"),
    [
        (("1",), "i", TypeError),
        ((1,), "d", TypeError),
        ((b"1",), "t", TypeError),
        (("1",), "b", TypeError),
        ((1, 2), "i", ValueError),
        ([1], "i", ValueError),
        ((1,), "x", ValueError),
        ((2**63,), "i", OverflowError),
        (("\ud800",), "t", UnicodeEncodeError),
    ],
)
def test_what_does_not_fit_is_refused(row: Any, kinds: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        native.gather(iter([row]), kinds, 1, ANY)
    with pytest.raises(error):
        twins.gather(iter([row]), kinds, 1, ANY)
