"""Volumes: postings and the best slots by words, against their twins."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem._native import twins, volume

seeds = st.integers(0, 2**32 - 1)


def bags(chance: np.random.Generator, n: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """CSR of n texts over a small vocabulary."""
    texts = [np.unique(chance.integers(1, 12, chance.integers(0, 7))) for _ in range(n)]
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    terms = np.concatenate([*texts, []]).astype(np.uint64)
    return offsets, terms, chance.integers(1, 4, len(terms)).astype(np.uint16)


@given(seeds, st.integers(0, 40))
def test_postings_equal_twin(seed: int, n: int) -> None:
    batch = bags(np.random.default_rng(seed), n)
    for made, wanted in zip(volume.invert(*batch), twins.invert(*batch), strict=True):
        np.testing.assert_array_equal(made, wanted)
        assert made.dtype == wanted.dtype


def listed(
    starts: NDArray[Any], slots: NDArray[Any], counts: NDArray[Any]
) -> tuple[NDArray[Any], ...]:
    """The postings of a term by slot and by run."""
    runs, which = np.unique(np.searchsorted(starts, slots, side="right") - 1, return_inverse=True)
    sums = np.bincount(which, weights=counts, minlength=len(runs))
    return slots, counts, runs.astype(np.int32), sums.astype(np.uint16)


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """Runs of any sizes, some struck out, and a query with everything that one can have."""
    chance = np.random.default_rng(draw(seeds))
    sizes = chance.integers(1, 9, draw(st.integers(0, 12)))
    starts = np.cumsum([0, *sizes]).astype(np.int32)
    n = int(starts[-1])
    _, heads, slots, counts = twins.invert(*bags(chance, n))
    lists = [
        (
            *listed(starts, slots[a:b], counts[a:b]),
            chance.random(),
            chance.random(),
            bool(chance.random() < 0.4),
        )
        for a, b in pairwise(heads)
    ]
    maybe = draw(st.lists(st.booleans(), min_size=6, max_size=6))
    given: dict[str, Any] = {
        "asked": (chance.random(4) < 0.5).astype(np.uint8),
        "spans": np.array([10, 20, 40, 45], np.int64),
        "length_part": np.linspace(0, 1, 6, dtype=np.float32),
        "extra": chance.random(n, np.float32),
        "live": (chance.random(len(sizes)) < 0.7).astype(np.uint8),
        "mask": (chance.random(n) < 0.7).astype(np.uint8),
    }
    return {
        "texts": (
            starts,
            chance.integers(0, 9, n).astype(np.float32),
            chance.integers(0, 30, n).astype(np.float32),
            chance.integers(0, 60, len(sizes)).astype(np.float32),
            chance.permutation(n).astype(np.int64),
            chance.integers(0, 4, n).astype(np.int32),
            chance.integers(0, 60, n),
            3,
            draw(st.integers(0, 3)),
        ),
        "query": (
            lists[: draw(st.integers(0, 5))],
            chance.random(8, np.float32),
            draw(st.sampled_from([0.0, 0.9])),
            draw(st.sampled_from([0.0, 0.75])),
            (4.0, 14.0, 25.0),
        ),
        "rest": {k: v for keep, (k, v) in zip(maybe, given.items(), strict=True) if keep},
    }


@given(questions())
def test_the_best_slots_equal_twin(made: dict[str, Any]) -> None:
    n = len(made["texts"][4])
    rest = {"fade": 30.0, "date": 0.25, **made["rest"]}
    slots, scores = volume.Texts(*made["texts"]).best(*made["query"], n, **rest)
    wanted, wanted_scores = twins.Texts(*made["texts"]).best(*made["query"], n, **rest)
    np.testing.assert_allclose(scores, wanted_scores, rtol=1e-5, atol=1e-6)
    assert set(slots.tolist()) == set(wanted.tolist())
    by_slot = dict(zip(wanted.tolist(), wanted_scores.tolist(), strict=True))
    for slot, score in zip(slots.tolist(), scores.tolist(), strict=True):
        assert score == pytest.approx(by_slot[slot], rel=1e-5, abs=1e-6)
    # Fewer are the first of all of them.
    few, best = volume.Texts(*made["texts"]).best(*made["query"], 3, **rest)
    np.testing.assert_array_equal(few, slots[:3])
    np.testing.assert_array_equal(best, scores[:3])


@pytest.mark.parametrize("seed", range(12))
def test_runs_left_out_by_their_bounds_have_none_of_the_best(seed: int) -> None:
    """Of thousands of runs few are scored for a few slots, all for all."""
    chance = np.random.default_rng(seed)
    starts = np.cumsum([0, *chance.integers(1, 7, 3_000)]).astype(np.int32)
    n, runs = int(starts[-1]), len(starts) - 1
    lengths = chance.integers(3, 30, n).astype(np.float32)
    around = lengths + chance.integers(0, 60, n).astype(np.float32)
    texts = volume.Texts(
        starts,
        lengths,
        around,
        np.add.reduceat(lengths, starts[:-1]),
        chance.permutation(n),
        chance.integers(0, 4, n).astype(np.int32),
        np.arange(n),
        3,
        2,
    )
    lists = []
    for share in (0.002, 0.01, 0.05, 0.3):
        slots = np.flatnonzero(chance.random(n) < share).astype(np.int32)
        counts = chance.integers(1, 4, len(slots)).astype(np.uint16)
        weights = (chance.random() / (1 + 9 * share), chance.random(), bool(seed % 2))
        lists.append((*listed(starts, slots, counts), *weights))
    rest: dict[str, Any] = {
        "asked": np.array([0, 0, 1, 0], np.uint8) if seed % 3 else None,
        "spans": np.array([0, 900], np.int64) if seed % 4 == 3 else None,
        "date": 0.1,
        "fade": 500.0,
        "length_part": np.linspace(0, 1, 20, dtype=np.float32),
        "extra": 0.1 * chance.random(n, np.float32) if seed % 4 == 1 else None,
        "live": (chance.random(runs) < 0.9).astype(np.uint8) if seed % 5 else None,
        "mask": (chance.random(n) < 0.2).astype(np.uint8) if seed % 4 == 2 else None,
    }
    weights = chance.random(8, np.float32) * (1 if seed % 6 else np.eye(8, dtype=np.float32)[1])
    given = (lists, weights, 0.9, 0.75, (16.0, 46.0, 64.0))
    slots, scores = texts.best(*given, n, **rest)
    for room in (1, 40, 512):
        few, best = texts.best(*given, room, **rest)
        np.testing.assert_array_equal(few, slots[:room])
        np.testing.assert_array_equal(best, scores[:room])
        floor = float(scores[len(scores) // 3])
        few, best = texts.best(*given, room, floor=floor, **rest)
        np.testing.assert_array_equal(few, slots[scores >= floor][:room])
        np.testing.assert_array_equal(best, scores[scores >= floor][:room])


def test_runs_of_all_lengths_and_many_of_them() -> None:
    chance = np.random.default_rng(5)
    starts = np.cumsum([0, 5, 20_000, 3, *[7] * 3_000]).astype(np.int32)
    n = int(starts[-1])
    slots = np.flatnonzero(chance.random(n) < 0.1).astype(np.int32)
    counts = np.ones(len(slots), np.uint16)
    ones = np.ones(n, np.float32)
    keys = np.arange(n, dtype=np.int64)
    runs = np.diff(starts).astype(np.float32)
    nobody = np.zeros(n, np.int32)
    texts = volume.Texts(starts, ones, ones, runs, keys, nobody, keys, 0, 2)
    weights = np.zeros(8, np.float32)
    weights[1] = 1.0
    terms = [(*listed(starts, slots, counts), 1.0, 1.0, False)]
    found, scores = texts.best(terms, weights, 0.9, 0.75, (1, 1, 1), n)
    np.testing.assert_array_equal(found, slots)  # equal scores by key
    np.testing.assert_allclose(scores, 1 / 1.9, rtol=1e-6)


def small(**changed: Any) -> volume.Texts:
    ones = np.ones(3, np.float32)
    given: dict[str, Any] = {
        "starts": np.array([0, 2, 3], np.int32),
        "lengths": ones,
        "window_lengths": ones,
        "run_lengths": np.ones(2, np.float32),
        "keys": np.arange(3),
        "actors": np.zeros(3, np.int32),
        "event_at": np.arange(3),
        "n_actors": 0,
        "window": 2,
        **changed,
    }
    return volume.Texts(**given)


@pytest.mark.parametrize(
    "changed",
    [
        {"starts": np.array([0, 2], np.int32)},
        {"starts": np.array([0, 0, 3], np.int32)},
        {"starts": np.array([], np.int32)},
        {"lengths": np.ones(2, np.float32)},
        {"run_lengths": np.ones(3, np.float32)},
        {"actors": np.array([0, 1, 0], np.int32)},
        {"actors": np.array([0, -1, 0], np.int32)},
        {"event_at": np.arange(4)},
        {"window": -1},
    ],
)
def test_texts_that_cannot_be(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"slot|run|entries|actors|window"):
        small(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"slots": np.array([3], np.int32)},
        {"slots": np.array([-1], np.int32)},
        {"counts": np.ones(2, np.uint16)},
        {"run_counts": np.ones(2, np.uint16)},
        {"asked": np.ones(2, np.uint8)},
        {"extra": np.ones(2, np.float32)},
        {"live": np.ones(3, np.uint8)},
        {"mask": np.ones(2, np.uint8)},
    ],
)
def test_questions_that_cannot_be(changed: dict[str, Any]) -> None:
    one = np.ones(1, np.uint16)
    first = np.zeros(1, np.int32)
    term = {"slots": first, "counts": one, "runs": first, "run_counts": one}
    term |= {name: changed.pop(name) for name in list(changed) if name in term}
    with pytest.raises(ValueError, match=r"slots|entries"):
        small().best(
            [(*term.values(), 1.0, 1.0, False)],  # type: ignore[list-item]
            np.ones(8, np.float32),
            0.9,
            0.75,
            (1.0, 1.0, 1.0),
            5,
            **changed,
        )


def test_a_damaged_list_leads_nowhere() -> None:
    """A list from a file may not ascend, or name what is not there; it is passed over."""
    counts = np.ones(3, np.uint16)
    damaged = np.array([2, 0, 2], np.int32)
    for runs in (np.array([1, 0, 1]), np.array([-1, 2, 1]), np.array([2**31 - 1, 0, -(2**31)])):
        term = (damaged, counts, runs.astype(np.int32), counts, 1.0, 1.0, False)
        slots, _ = small().best([term], np.ones(8, np.float32), 0.9, 0.75, (1.0, 1.0, 1.0), 5)
        assert set(slots.tolist()) <= {0, 1, 2}


@pytest.mark.parametrize(
    "batch",
    [
        ([0, 2], [1], [1]),
        ([1, 1], [1], [1]),
        ([0, 1], [1], [1, 2]),
        ([0, 2, 1], [1], [1]),
    ],
)
def test_batches_that_cannot_be(batch: tuple[list[int], list[int], list[int]]) -> None:
    offsets, terms, counts = batch
    with pytest.raises(ValueError, match=r"offsets|fit"):
        volume.invert(
            np.array(offsets, np.int64), np.array(terms, np.uint64), np.array(counts, np.uint16)
        )
