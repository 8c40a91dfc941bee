"""Rows of a database as columns, against the twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem._native import columns, twins

rows = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 2**32 - 1),
        st.none() | st.floats(width=32),
        st.binary(max_size=20),
        st.none() | st.text(max_size=3),
    )
)


@given(rows)
def test_columns_equal_twin(given_rows: list[tuple[Any, ...]]) -> None:
    made = columns.split(given_rows, "qIfbo")
    wanted = twins.split(given_rows, "qIfbo")
    for one, other in zip(made[:3], wanted[:3], strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert made[3][0] == wanted[3][0]
    np.testing.assert_array_equal(made[3][1], wanted[3][1])
    assert made[4] == wanted[4]


@pytest.mark.parametrize(
    ("row", "kinds", "error"),
    [
        ((1,), "qq", ValueError),
        ([1], "q", TypeError),
        ((1,), "x", ValueError),
        ((None,), "q", TypeError),
        (("1",), "f", TypeError),
        (("1",), "b", TypeError),
        ((2**63,), "q", OverflowError),
        ((-1,), "I", OverflowError),
    ],
)
def test_rows_that_cannot_be(row: Any, kinds: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        columns.split([row], kinds)
