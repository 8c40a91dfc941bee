"""Token ids to padded batches: every row once, within the limits, and back in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem._native import batching, twins

rows = st.lists(st.lists(st.integers(0, 30521), max_size=40), max_size=60)


@given(rows, st.integers(1, 300), st.integers(1, 20), st.integers(-1, 5))
def test_equals_twin(ids: list[list[int]], max_tokens: int, max_rows: int, pad: int) -> None:
    made = batching.make_batches(ids, max_tokens, max_rows, pad)
    wanted = twins.make_batches(ids, max_tokens, max_rows, pad)
    np.testing.assert_array_equal(made.order, wanted.order)
    np.testing.assert_array_equal(made.inverse, wanted.inverse)
    assert len(made) == len(made.batches) == len(wanted.batches)
    for (tokens, mask), (wanted_tokens, wanted_mask) in zip(
        made.batches, wanted.batches, strict=True
    ):
        assert tokens.dtype == mask.dtype == np.int64
        np.testing.assert_array_equal(tokens, wanted_tokens)
        np.testing.assert_array_equal(mask, wanted_mask)


@given(rows, st.integers(1, 300), st.integers(1, 20))
def test_results_come_back_in_input_order(
    ids: list[list[int]], max_tokens: int, max_rows: int
) -> None:
    made = batching.make_batches(ids, max_tokens, max_rows)
    sums = [(tokens * mask).sum(1) for tokens, mask in made.batches]
    in_batch_order = np.concatenate([np.empty(0, np.int64), *sums])
    assert in_batch_order[made.inverse].tolist() == [sum(row) for row in ids]


@given(rows, st.integers(1, 300), st.integers(1, 20))
def test_limits_hold_unless_one_row_alone_exceeds_them(
    ids: list[list[int]], max_tokens: int, max_rows: int
) -> None:
    for tokens, mask in batching.make_batches(ids, max_tokens, max_rows).batches:
        assert len(tokens) <= max_rows
        assert tokens.size <= max_tokens or len(tokens) == 1
        assert tokens.shape[1] == max(1, mask.sum(1).max())


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20), max_size=20))
def test_flatten_equals_twin(ids: list[list[int]]) -> None:
    for made, wanted in zip(batching.flatten(ids), twins.flatten(ids), strict=True):
        assert made.dtype == wanted.dtype
        np.testing.assert_array_equal(made, wanted)


def test_rows_need_not_be_lists() -> None:
    made = batching.make_batches(((1, 2), range(3)), 100, 10)
    assert made.batches[0][0].tolist() == [[1, 2, 0], [0, 1, 2]]


@pytest.mark.parametrize("limits", [(0, 1), (1, 0), (-5, 3)])
def test_limits_below_one_are_refused(limits: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        batching.make_batches([[1]], *limits)


@pytest.mark.parametrize("ids", [[["1"]], [[1.0]], [[None]], ["12"], [3], [[np.int64(3)]]])
def test_tokens_must_be_integers(ids: list[list[int]]) -> None:
    with pytest.raises(TypeError):
        batching.make_batches(ids, 10, 10)
    with pytest.raises(TypeError):
        batching.flatten(ids)


def test_ids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OverflowError, match="ids\\[1\\]"):
        batching.flatten([[1], [2**31]])
    with pytest.raises(OverflowError):
        batching.make_batches([[2**63]], 10, 10)
