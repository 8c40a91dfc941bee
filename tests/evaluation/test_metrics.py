"""Measures against values worked out by hand."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.evaluation import metrics

RANKING = ["a", "x", "b", "y", "c"]


@pytest.mark.parametrize(
    ("k", "recall", "some", "every"),
    [(1, 1 / 3, 1, 0), (2, 1 / 3, 1, 0), (3, 2 / 3, 1, 0), (5, 1, 1, 1), (20, 1, 1, 1)],
)
def test_recall_any_and_all(k: int, recall: float, some: float, every: float) -> None:
    relevant = {"a", "b", "c"}
    assert metrics.recall_at(RANKING, relevant, k) == pytest.approx(recall)
    assert metrics.any_at(RANKING, relevant, k) == some
    assert metrics.all_at(RANKING, relevant, k) == every


def test_what_is_not_found_counts() -> None:
    assert metrics.recall_at(RANKING, {"a", "nowhere"}, 5) == 0.5
    assert metrics.all_at(RANKING, {"a", "nowhere"}, 5) == 0
    assert metrics.any_at(RANKING, {"nowhere"}, 5) == 0
    assert metrics.recall_at([], {"a"}, 5) == 0


def test_the_reciprocal_rank_is_that_of_the_first() -> None:
    assert metrics.reciprocal_rank(RANKING, {"b", "c"}) == pytest.approx(1 / 3)
    assert metrics.reciprocal_rank(RANKING, {"a"}) == 1
    assert metrics.reciprocal_rank(RANKING, {"nowhere"}) == 0


def test_gain_is_discounted_and_normalised() -> None:
    # Hits at ranks 1 and 3; the best ranking has them at 1 and 2.
    expected = (1 + 1 / log2(4)) / (1 + 1 / log2(3))
    assert metrics.ndcg_at(RANKING, {"a", "b"}, 5) == pytest.approx(expected)
    assert expected == pytest.approx(0.9197, abs=1e-4)
    # At k = 1 only one of the two could be there.
    assert metrics.ndcg_at(RANKING, {"a", "b"}, 1) == 1
    assert metrics.ndcg_at(RANKING, {"c"}, 5) == pytest.approx(1 / log2(6))
    assert metrics.ndcg_at(RANKING, {"nowhere"}, 5) == 0


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    assert metrics.auroc([3, 4], [1, 2]) == 1
    assert metrics.auroc([1, 2], [3, 4]) == 0
    assert metrics.auroc([1, 1], [1]) == 0.5
    # Pairs: (0.9, 0.5) (0.9, 0.1) (0.3, 0.1) in order, (0.3, 0.5) not.
    assert metrics.auroc([0.9, 0.3], [0.5, 0.1]) == 0.75
    # A question that found nothing scores below every other.
    assert metrics.auroc([0.2], [float("-inf")]) == 1
    assert metrics.auroc([], [1.0]) is None
    assert metrics.auroc([1.0], []) is None


def test_percentiles() -> None:
    assert metrics.percentile([4, 1, 3, 2], 50) == 2.5
    assert metrics.percentile([4, 1, 3, 2], 100) == 4
    assert metrics.percentile([7], 99) == 7
    assert metrics.percentile([], 50) is None


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=50),
    st.sampled_from([0, 1, 50, 95, 99, 100]),
)
def test_percentiles_are_those_of_numpy(values: list[float], percent: int) -> None:
    found = metrics.percentile(values, percent)
    assert found == pytest.approx(np.percentile(values, percent), rel=1e-9, abs=1e-9)


@given(st.permutations("abcdefgh"), st.sets(st.sampled_from("abcdefgh"), min_size=1))
def test_measures_agree_where_they_must(ranking: list[str], relevant: set[str]) -> None:
    for k in range(1, 9):
        recall = metrics.recall_at(ranking, relevant, k)
        assert (
            metrics.all_at(ranking, relevant, k) <= recall <= metrics.any_at(ranking, relevant, k)
        )
        assert (metrics.ndcg_at(ranking, relevant, k) > 0) == (recall > 0)
    assert metrics.recall_at(ranking, relevant, 8) == 1
    assert 0 < metrics.reciprocal_rank(ranking, relevant) <= 1
