"""Percentiles are those of the durations, within what a bucket is wide."""

from __future__ import annotations

import math
import random
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.telemetry import Histogram
from agentmem.telemetry.histogram import PERCENTILES

WIDTH = 1 / 32  # of a bucket, relative to where it begins


def filled(durations: list[int]) -> Histogram:
    histogram = Histogram()
    for duration in durations:
        histogram.record(duration)
    return histogram


@given(st.lists(st.integers(0, 1 << 43), min_size=1, max_size=200))
def test_percentiles_lie_in_the_bucket_of_the_true_one(durations: list[int]) -> None:
    histogram = filled(durations)
    ordered = sorted(durations)
    for _, share in PERCENTILES:
        true = ordered[max(0, math.ceil(share * len(ordered)) - 1)]
        assert abs(histogram.percentile(share) - true) <= max(WIDTH * true, 0)


@given(st.lists(st.integers(0, 1 << 43), max_size=100))
def test_count_sum_and_maximum_are_exact(durations: list[int]) -> None:
    histogram = filled(durations)
    assert histogram.count == len(durations)
    assert histogram.total == sum(durations)
    assert histogram.largest == max(durations, default=0)


@given(st.lists(st.integers(0, 1 << 43), max_size=100))
def test_below_counts_what_is_less_than_a_power_of_two(durations: list[int]) -> None:
    powers = list(range(44))
    expected = [sum(duration < 2**power for duration in durations) for power in powers]
    assert filled(durations).below(powers) == expected


def test_what_is_out_of_range_is_counted_at_the_ends() -> None:
    histogram = filled([-5, 1 << 60])
    assert histogram.count == 2
    assert histogram.percentile(0.5) == 0
    assert histogram.percentile(1.0) == pytest.approx(1 << 44, rel=WIDTH)


def test_merged_and_sent_is_as_if_counted_in_one() -> None:
    chance = random.Random(7)
    first, second = ([chance.randrange(1 << 30) for _ in range(500)] for _ in range(2))
    merged = Histogram.from_dict(filled(first).to_dict())
    merged.merge(filled(second))
    both = filled(first + second)
    assert merged.counts == both.counts
    assert merged.summary() == both.summary()


def test_something_else_is_no_histogram() -> None:
    with pytest.raises(ValueError, match="not a histogram"):
        Histogram.from_dict({"counts": [], "total": 0, "largest": 0})


def test_threads_lose_no_count() -> None:
    histogram = Histogram()
    threads, each = 8, 20_000

    def record() -> None:
        for _ in range(each):
            histogram.record(1000)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # switch as often as the interpreter can
    try:
        running = [threading.Thread(target=record) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert histogram.count == threads * each
    assert histogram.total == threads * each * 1000
