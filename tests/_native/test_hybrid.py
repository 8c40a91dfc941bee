"""Hybrid scores of a partition against their twin, and the best of them against all of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem._native import hybrid, scan, twins, vectors

pytestmark = pytest.mark.usefixtures("simd")

seeds = st.integers(0, 2**32 - 1)
native = SimpleNamespace(Postings=scan.Postings, Conversation=hybrid.Conversation)


def make(module: Any, made: dict[str, Any]) -> Any:
    parts = [(m, module.Postings(*batch), *rest) for m, batch, *rest in made["parts"]]
    return module.Conversation(parts, *made["rest"])


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """Segments with dead rows, their live rows dealt to runs in any order."""
    chance = np.random.default_rng(draw(seeds))
    dim = draw(st.sampled_from([1, 7, 16, 33]))
    sizes = draw(st.lists(st.integers(0, 9), min_size=0, max_size=4))
    live = [chance.random(n) < 0.8 for n in sizes]
    slots = int(sum(mask.sum() for mask in live))
    order = chance.permutation(slots).astype(np.int32)
    parts = []
    for n, mask in zip(sizes, live, strict=True):
        places = np.full(n, -1, np.int32)
        places[mask], order = order[: mask.sum()], order[mask.sum() :]
        bags = [np.unique(chance.integers(1, 12, chance.integers(0, 7))) for _ in range(n)]
        counts = [chance.integers(1, 4, len(bag)) for bag in bags]
        offsets = np.cumsum([0, *(len(bag) for bag in bags)]).astype(np.int64)
        terms = np.concatenate([*bags, []]).astype(np.uint64)
        lengths = np.array([c.sum() for c in counts], np.uint32)
        dtype = draw(st.sampled_from([np.float16, np.float32]))
        matrix = chance.standard_normal((n, dim)).astype(dtype)
        batch = (offsets, terms, np.concatenate([*counts, []]).astype(np.uint16), lengths)
        keys = (100 - 10 * len(parts) + np.arange(n)).astype(np.int64)
        parts.append((matrix, batch, places, keys, 3 * keys, None))
    cuts = chance.random(max(slots - 1, 0)) < 0.4
    inner = np.flatnonzero(cuts) + 1
    starts = np.array([0, *inner, slots] if slots else [0], np.int32)
    query = np.unique(chance.integers(1, 15, draw(st.integers(0, 6)))).astype(np.uint64)
    actors = chance.integers(0, 4, slots).astype(np.int32)
    partial = draw(st.booleans())  # or all there is
    return {
        "parts": parts,
        "rest": (
            *(starts, chance.random(slots, np.float32), actors, 3, draw(st.integers(0, 3))),
            (6.5, 20.0, 31.0) if partial else None,
        ),
        "whole": (100, 30, *chance.integers(9, 25, (2, len(query)), np.int32)) if partial else None,
        "query": (
            chance.standard_normal(dim, np.float32),
            query,
            chance.integers(1, 3, len(query)).astype(np.uint16),
            draw(st.sampled_from([None, (chance.random(len(query)) < 0.4).astype(np.uint8)])),
            draw(st.sampled_from([None, (chance.random(4) < 0.5).astype(np.uint8)])),
            draw(st.sampled_from([None, chance.random(slots, np.float32)])),
            chance.random(8, np.float32),
            draw(st.sampled_from([0.0, 0.9, 2.0])),
            draw(st.sampled_from([0.0, 0.4, 1.0])),
        ),
    }


@given(conversations())
def test_conversations_equal_twin(made: dict[str, Any]) -> None:
    answers = []
    for module in (native, twins):
        conversation = make(module, made)
        work = np.full(conversation.work_size, np.nan, np.float32)
        out = np.full(conversation.rows, np.nan, np.float32)
        conversation.score(*made["query"], work, out, made["whole"])
        answers.append((out, work))
    (out, work), (wanted, parts_wanted) = answers
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(work[: len(parts_wanted)], parts_wanted, rtol=1e-5, atol=2e-5)


def masks_of(made: dict[str, Any], chance: np.random.Generator) -> list[Any]:
    """Some of the live rows of each part; None where all rows are live and let through."""
    masks = []
    for _, _, places, *_ in made["parts"]:
        mask = (places >= 0) & (chance.random(len(places)) < chance.choice([0.5, 1.0]))
        masks.append(None if mask.all() else mask)
    return masks


def best_of_scores(made: dict[str, Any], masks: list[Any], k: int, threshold: float | None) -> Any:
    """Keys and scores of the best, from the scores of all."""
    conversation = make(native, made)
    out = np.empty(conversation.rows, np.float32)
    conversation.score(*made["query"], np.empty(conversation.work_size, np.float32), out)
    found = []
    for (_, _, places, keys, *_), mask in zip(made["parts"], masks, strict=True):
        scores, out = out[: len(places)], out[len(places) :]
        rows, best = scan.top_k(scores, mask, len(places), threshold)
        found += [(-s, key) for s, key in zip(best.tolist(), keys[rows].tolist(), strict=True)]
    return [(key, -negative) for negative, key in sorted(found)[:k]]


def best(made: dict[str, Any], masks: list[Any], k: int, threshold: float | None) -> Any:
    conversation = make(native, made)
    work = np.full(conversation.work_size, np.nan, np.float32)
    keys, scores, seqs = conversation.best(*made["query"], work, masks, k, threshold)
    assert seqs == [3 * key for key in keys]
    return list(zip(keys, scores, strict=True))


@given(conversations(), seeds, st.integers(0, 12), st.sampled_from([None, 0.5, 2.0]))
def test_the_best_are_those_with_the_highest_scores(
    made: dict[str, Any], seed: int, k: int, threshold: float | None
) -> None:
    made["rest"], made["whole"] = (*made["rest"][:-1], None), None
    masks = masks_of(made, np.random.default_rng(seed))
    assert best(made, masks, k, threshold) == best_of_scores(made, masks, k, threshold)
    if k and threshold is None:
        twin = make(twins, made)
        work = np.empty(twin.work_size, np.float32)
        wanted = twin.best(*made["query"], work, masks, k, threshold)
        scores = [score for _, score in best(made, masks, k, threshold)]
        np.testing.assert_allclose(scores, wanted[1], rtol=1e-5, atol=2e-5)


def coded(
    seed: int, *, orderly: bool, lie: bool = False, dim: int = 96, n: int = 600
) -> dict[str, Any]:
    """Two segments of clustered unit vectors, the first with codes; equal rows among them."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((8, dim))
    rows = centres[chance.integers(0, 8, 2 * n)] + chance.standard_normal((2 * n, dim))
    rows[n - 5 : n] = rows[n : n + 5] = rows[:5]
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    slots = np.arange(2 * n, dtype=np.int32) if orderly else chance.permutation(2 * n)
    parts = []
    for p in range(2):
        matrix = rows[p * n : (p + 1) * n]
        wide = matrix.astype(np.float32)
        vectors.rotate(wide)
        codes, scales = vectors.quantize_int8(wide)
        around = vectors.dequantize_int8(codes, scales)
        length = float(np.linalg.norm(around, axis=1).max())
        error = float(np.linalg.norm(wide - around, axis=1).max())
        if lie:
            codes, error = np.zeros_like(codes), 0.0
        bags = [np.unique(chance.zipf(1.5, 6) % 50).astype(np.uint64) for _ in range(n)]
        offsets = np.cumsum([0, *(len(bag) for bag in bags)]).astype(np.int64)
        lengths = np.diff(offsets).astype(np.uint32)
        batch = (offsets, np.concatenate(bags), np.ones(offsets[-1], np.uint16), lengths)
        places = slots[p * n : (p + 1) * n].astype(np.int32)
        keys = np.arange(p, 2 * n, 2)  # the parts' keys are mixed
        parts.append(
            (
                matrix,
                batch,
                places,
                keys,
                3 * keys,
                (codes, scales, length, error) if p == 0 else None,
            )
        )
    starts = np.array([0, *(np.flatnonzero(chance.random(2 * n - 1) < 0.1) + 1), 2 * n], np.int32)
    query = rows[chance.integers(0, 2 * n)].astype(np.float32) + 0.05 * chance.standard_normal(dim)
    query = (query / np.linalg.norm(query)).astype(np.float32)
    weights = np.array([0.4, 0.6, 0.5, 0.15, 0.2, 0.3, 0.15, 0.1], np.float32) / np.float32(2.4)
    actors = chance.integers(0, 4, 2 * n).astype(np.int32)
    terms = np.array([1, 2, 7, 30], np.uint64)
    names = [None, np.array([0, 1, 0, 1], np.uint8)][chance.integers(2)]
    asked = [None, np.array([0, 1, 0, 1], np.uint8)][chance.integers(2)]
    extra = 0.1 * chance.random(2 * n, np.float32) if chance.random() < 0.3 else None
    return {
        "parts": parts,
        "rest": (starts, chance.random(2 * n, np.float32), actors, 3, 2, None),
        "whole": None,
        "query": (query, terms, np.ones(4, np.uint16), names, asked, extra, weights, 0.9, 0.75),
    }


@settings(max_examples=25)
@given(seeds, st.booleans(), st.sampled_from([1, 5, 10, 700]), st.sampled_from([None, 0.2, 0.3]))
def test_codes_change_nothing(seed: int, orderly: bool, k: int, threshold: float | None) -> None:
    made = coded(seed, orderly=orderly)
    masks = masks_of(made, np.random.default_rng(seed))
    assert best(made, masks, k, threshold) == best_of_scores(made, masks, k, threshold)


def test_codes_decide_what_is_scored_exactly() -> None:
    made = coded(7, orderly=True, lie=True)
    nothing = [None, None]
    assert best(made, nothing, 10, None) != best_of_scores(made, nothing, 10, None)


def small_conversation(**changed: Any) -> hybrid.Conversation:
    postings = scan.Postings(
        np.array([0, 1, 1], np.int64),
        np.array([5], np.uint64),
        np.array([1], np.uint16),
        np.array([1, 0], np.uint32),
    )
    given = {
        "matrix": np.ones((2, 3), np.float16),
        "places": np.array([1, 0], np.int32),
        "starts": np.array([0, 2], np.int32),
        "length_part": np.zeros(2, np.float32),
        "actors": np.zeros(2, np.int32),
        "n_actors": 0,
        "window": 2,
        **changed,
    }
    part = (given.pop("matrix"), postings, given.pop("places"), *2 * [np.arange(2)], None)
    return hybrid.Conversation([part], *given.values())


@pytest.mark.parametrize(
    "changed",
    [
        {"matrix": np.ones((3, 3), np.float16)},
        {"places": np.array([0, 0], np.int32)},
        {"places": np.array([0, 2], np.int32)},
        {"places": np.array([0, -2], np.int32)},
        {"places": np.array([0, -1], np.int32)},
        {"starts": np.array([0, 1], np.int32)},
        {"starts": np.array([0, 0, 2], np.int32)},
        {"starts": np.array([], np.int32)},
        {"actors": np.zeros(3, np.int32)},
        {"actors": np.array([0, 1], np.int32)},
        {"actors": np.array([0, -1], np.int32)},
        {"window": -1},
    ],
)
def test_conversations_that_cannot_be(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"slot|run|part|actors|window"):
        small_conversation(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"vector": np.ones(4, np.float32)},
        {"counts": np.ones(2, np.uint16)},
        {"names": np.ones(2, np.uint8)},
        {"asked": np.ones(2, np.uint8)},
        {"extra": np.ones(3, np.float32)},
        {"weights": np.ones(7, np.float32)},
        {"k1": -1.0},
        {"b": 1.5},
        {"work": np.ones(3, np.float32)},
        {"out": np.ones(3, np.float32)},
    ],
)
def test_questions_to_a_conversation_that_cannot_be(changed: dict[str, Any]) -> None:
    conversation = small_conversation()
    given: dict[str, Any] = {
        "vector": np.ones(3, np.float32),
        "terms": np.array([5], np.uint64),
        "counts": np.ones(1, np.uint16),
        "names": None,
        "asked": None,
        "extra": None,
        "weights": np.ones(8, np.float32),
        "k1": 0.9,
        "b": 0.75,
        "work": np.empty(conversation.work_size, np.float32),
        "out": np.empty(2, np.float32),
    }
    conversation.score(*given.values())
    given.update(changed)
    name = "k1" if "b" in changed else next(iter(changed))
    with pytest.raises(ValueError, match=name):
        conversation.score(*given.values())


@pytest.mark.parametrize(
    "changed",
    [
        {"work": np.ones(3, np.float32)},
        {"masks": [None, None]},
        {"masks": [np.ones(3, np.uint8)]},
        {"k": -1},
        {"threshold": float("nan")},
    ],
)
def test_the_best_of_what_cannot_be(changed: dict[str, Any]) -> None:
    conversation = small_conversation()
    empty = np.zeros(0, np.uint64), np.zeros(0, np.uint16)
    rest = (None, None, None, np.ones(8, np.float32), 0.9, 0.75)
    given = {"work": np.empty(conversation.work_size, np.float32), "masks": [None], "k": 1}
    given["threshold"] = 0.0
    conversation.best(np.ones(3, np.float32), *empty, *rest, *given.values())
    given.update(changed)
    with pytest.raises(ValueError, match=next(iter(changed))[:4]):
        conversation.best(np.ones(3, np.float32), *empty, *rest, *given.values())
