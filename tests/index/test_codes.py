"""Coded dense search gives the answer of a full scan, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem._native import scan, vectors
from agentmem.index.codes import CODED_FROM, Codes, codes_nbytes


def unit(n: int, dim: int, seed: int, dtype: type) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    vectors.normalize(rows)
    return rows.astype(dtype)


def full(matrix: np.ndarray, query: np.ndarray, mask: np.ndarray | None, k: int) -> tuple:
    scores = np.empty(len(matrix), np.float32)
    scan.dense_scores(matrix, query, scores)
    return scan.top_k(scores, mask, k, None)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 600),
    dim=st.sampled_from([3, 64, 384]),
    half=st.booleans(),
    share=st.sampled_from([0.0, 0.1, 0.9, None]),
    k=st.integers(1, 20),
)
def test_the_answer_is_that_of_a_full_scan(
    seed: int, n: int, dim: int, half: bool, share: float | None, k: int
) -> None:
    matrix = unit(n, dim, seed, np.float16 if half else np.float32)
    matrix[n // 2 :] = matrix[: n - n // 2]  # equal rows: ties go to the smaller
    query = unit(1, dim, seed + 1, np.float32)[0]
    chance = np.random.default_rng(seed)
    mask = None if share is None else (chance.random(n) < share).astype(np.uint8)
    codes = Codes(matrix)
    found = codes.candidates(query, mask, k)
    rows, scores = full(matrix, query, mask, k)
    if found is not None:
        assert set(rows.tolist()) <= set(found.tolist())
        answer = codes.best(query, mask, k)
        assert answer is not None
        np.testing.assert_array_equal(answer[0], rows)
        np.testing.assert_array_equal(answer[1], scores)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_large_segment_has_few_candidates(dtype: type) -> None:
    matrix = unit(CODED_FROM, 384, 7, dtype)
    codes = Codes(matrix)
    for seed in range(5):
        query = unit(1, 384, 100 + seed, np.float32)[0]
        found = codes.candidates(query, None, 10)
        assert found is not None
        assert len(found) < CODED_FROM / 8
        answer = codes.best(query, None, 10)
        assert answer is not None
        for one, other in zip(answer, full(matrix, query, None, 10), strict=True):
            np.testing.assert_array_equal(one, other)


def test_zero_rows_and_the_query_itself() -> None:
    matrix = unit(200, 64, 3, np.float16)
    matrix[5] = 0
    query = matrix[17].astype(np.float32)
    answer = Codes(matrix).best(query, None, 1)
    assert answer is not None
    assert answer[0].tolist() == [17]


def test_too_few_rows_left_for_an_answer_ask_for_a_full_scan() -> None:
    matrix = unit(100, 64, 3, np.float16)
    mask = np.zeros(100, np.uint8)
    mask[:3] = 1
    assert Codes(matrix).best(matrix[0].astype(np.float32), mask, 5) is None


def test_the_bytes_are_those_held() -> None:
    assert codes_nbytes(CODED_FROM - 1, 384) == 0
    assert codes_nbytes(CODED_FROM, 384) == CODED_FROM * 388
