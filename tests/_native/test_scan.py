"""Scans: dense scores, BM25 and the best of them, against their twins."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from agentmem._native import scan, twins

Floats = NDArray[np.float32]

pytestmark = pytest.mark.usefixtures("simd")

dims = st.sampled_from([1, 3, 7, 8, 9, 16, 17, 31, 33, 63, 64, 65, 127, 128, 200, 384])
seeds = st.integers(0, 2**32 - 1)
small_floats = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 2.0, -1.0, np.inf, -np.inf, np.nan]), st.floats(width=32)
)
score_arrays = hnp.arrays(np.float32, st.integers(0, 300), elements=small_floats)


def scored(matrix: NDArray[np.floating], query: Floats) -> Floats:
    out = np.full(len(matrix), np.nan, np.float32)
    scan.dense_scores(matrix, query, out)
    return out


@given(seeds, st.integers(0, 20), dims, st.booleans())
def test_dense_scores_equal_twin(seed: int, n: int, dim: int, half: bool) -> None:
    chance = np.random.default_rng(seed)
    matrix = chance.standard_normal((n, dim)).astype(np.float16 if half else np.float32)
    query = chance.standard_normal(dim, dtype=np.float32)
    wanted = np.empty(n, np.float32)
    twins.dense_scores(matrix, query, wanted)
    np.testing.assert_allclose(scored(matrix, query), wanted, rtol=1e-5, atol=1e-5 * dim**0.5)


@given(seeds, dims, st.booleans())
def test_a_score_does_not_depend_on_the_other_rows(seed: int, dim: int, half: bool) -> None:
    chance = np.random.default_rng(seed)
    matrix = chance.standard_normal((11, dim)).astype(np.float16 if half else np.float32)
    query = chance.standard_normal(dim, dtype=np.float32)
    together = scored(matrix, query)
    for start in range(11):
        alone = scored(matrix[start : start + 1], query)
        np.testing.assert_array_equal(alone[0], together[start])
        np.testing.assert_array_equal(scored(matrix[start:], query), together[start:])


@given(seeds, dims)
def test_half_rows_score_as_their_widened_selves(seed: int, dim: int) -> None:
    chance = np.random.default_rng(seed)
    matrix = chance.standard_normal((6, dim)).astype(np.float16)
    query = chance.standard_normal(dim, dtype=np.float32)
    np.testing.assert_array_equal(scored(matrix, query), scored(matrix.astype(np.float32), query))


@given(seeds, st.integers(0, 9), dims)
def test_int8_scores_are_exact(seed: int, n: int, dim: int) -> None:
    chance = np.random.default_rng(seed)
    codes = chance.integers(-128, 128, (n, dim)).astype(np.int8)
    query = chance.integers(-128, 128, dim).astype(np.int8)
    made, wanted = np.empty(n, np.int32), np.empty(n, np.int32)
    scan.int8_scores(codes, query, made)
    twins.int8_scores(codes, query, wanted)
    np.testing.assert_array_equal(made, wanted)


@given(seeds, st.integers(0, 1500), st.sampled_from([1, 8, 33]))
def test_coded_scores_equal_twin(seed: int, n: int, dim: int) -> None:
    """Of stretches that overlap, that are empty, and that are longer than a block."""
    chance = np.random.default_rng(seed)
    codes = chance.integers(-127, 128, (n, dim)).astype(np.int8)
    query = chance.integers(-127, 128, dim).astype(np.int8)
    scales = chance.random(n, np.float32)
    edges = np.sort(chance.integers(0, n + 1, (3, 2)), axis=1)
    begins, ends = (np.ascontiguousarray(edge) for edge in edges.T)
    made, wanted = (np.empty(int((ends - begins).sum()), np.float32) for _ in range(2))
    scan.coded_scores(codes, scales, begins, ends, query, 0.25, made)
    twins.coded_scores(codes, scales, begins, ends, query, 0.25, wanted)
    np.testing.assert_allclose(made, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "changed",
    [
        {"scales": np.ones(3, np.float32)},
        {"begins": np.array([-1])},
        {"begins": np.array([3])},
        {"ends": np.array([5])},
        {"ends": np.array([2, 3])},
        {"query": np.ones(3, np.int8)},
        {"out": np.empty(2, np.float32)},
    ],
)
def test_stretches_that_cannot_be(changed: dict[str, Any]) -> None:
    given_arrays: dict[str, Any] = {
        "codes": np.ones((4, 2), np.int8),
        "scales": np.ones(4, np.float32),
        "begins": np.array([1]),
        "ends": np.array([2]),
        "query": np.ones(2, np.int8),
        "factor": 1.0,
        "out": np.empty(1, np.float32),
        **changed,
    }
    with pytest.raises(ValueError, match=r"dimensions|scales|ends|rows"):
        scan.coded_scores(**given_arrays)


@pytest.mark.parametrize(("left", "right"), [(-128, -128), (-128, 127), (127, 127), (127, -128)])
def test_int8_scores_do_not_saturate(left: int, right: int) -> None:
    codes = np.full((5, 131071), left, np.int8)
    query = np.full(131071, right, np.int8)
    made = np.empty(5, np.int32)
    scan.int8_scores(codes, query, made)
    assert made.tolist() == [left * right * 131071] * 5


@given(
    score_arrays,
    st.integers(0, 40),
    st.one_of(st.none(), small_floats.filter(lambda x: x == x)),
    st.one_of(st.none(), seeds),
)
def test_top_k_equals_twin(
    scores: Floats, k: int, threshold: float | None, mask_seed: int | None
) -> None:
    mask = None
    if mask_seed is not None:
        mask = np.random.default_rng(mask_seed).random(len(scores)) < 0.5
    indices, best = scan.top_k(scores, mask, k, threshold)
    wanted_indices, wanted = twins.top_k(scores, mask, k, threshold)
    np.testing.assert_array_equal(indices, wanted_indices)
    np.testing.assert_array_equal(best, wanted)


@pytest.mark.parametrize("k", [0, 1, 10, 1000, 99_999, 100_000, 200_000])
def test_top_k_of_many(k: int) -> None:
    # Rounded, so that ties cross the border of the best k.
    scores = np.random.default_rng(k).standard_normal(100_000).round(2).astype(np.float32)
    indices, best = scan.top_k(scores, None, k)
    wanted_indices, wanted = twins.top_k(scores, None, k)
    np.testing.assert_array_equal(indices, wanted_indices)
    np.testing.assert_array_equal(best, wanted)


def test_a_mask_may_hold_any_byte() -> None:
    mask = np.array([0, 255, 1, 0, 128], np.uint8)
    indices, _ = scan.top_k(np.arange(5, dtype=np.float32), mask, 9)
    assert indices.tolist() == [4, 2, 1]


@st.composite
def documents(draw: st.DrawFn) -> tuple[NDArray[np.generic], ...]:
    """A TermBatch of few documents over few terms; 0 and the largest hash are terms as any."""
    vocabulary = [0, 1, 2**64 - 1, 2**63, *(k << 40 for k in range(1, 20))]
    row = st.dictionaries(st.sampled_from(vocabulary), st.integers(1, 65535), max_size=12)
    rows = [sorted(found.items()) for found in draw(st.lists(row, max_size=20))]
    return (
        np.cumsum([0, *map(len, rows)], dtype=np.int64),
        np.array([term for found in rows for term, _ in found], np.uint64),
        np.array([count for found in rows for _, count in found], np.uint16),
        np.array([sum(count for _, count in found) for found in rows], np.uint32),
    )


queries = st.lists(
    st.sampled_from([0, 1, 2**64 - 1, 7, *(k << 40 for k in range(1, 25))]), max_size=8
)


@given(documents(), queries, st.booleans())
def test_document_frequencies_equal_twin(
    batch: tuple[NDArray[np.generic], ...], query: list[int], some: bool
) -> None:
    terms = np.array(query, np.uint64)
    live = np.arange(len(batch[3])) % 3 != 0 if some else None
    made = scan.Postings(*batch).df(terms, live)  # type: ignore[arg-type]
    wanted = twins.Postings(*batch).df(terms, live)  # type: ignore[arg-type]
    np.testing.assert_array_equal(made, wanted)


@given(documents(), queries, st.floats(0, 3), st.floats(0, 1), st.floats(0.5, 50))
def test_bm25_equals_twin(
    batch: tuple[NDArray[np.generic], ...], query: list[int], k1: float, b: float, average: float
) -> None:
    terms = np.array(query, np.uint64)
    weights = np.linspace(0.1, 5, len(query), dtype=np.float32)
    made, wanted = np.full((2, len(batch[3])), np.nan, np.float32)
    postings = scan.Postings(*batch)  # type: ignore[arg-type]
    postings.bm25(terms, weights, k1, b, average, made)
    twins.Postings(*batch).bm25(terms, weights, k1, b, average, wanted)  # type: ignore[arg-type]
    np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-6)
    assert (made <= (k1 + 1) * weights.sum() * 1.00001).all()
    assert len(postings) == len(batch[3])


def many_documents(n: int) -> tuple[NDArray[np.int64], ...]:
    chance = np.random.default_rng(5)
    rows = [np.unique(chance.integers(1, 4000, 15).astype(np.uint64)) << 30 for _ in range(n)]
    terms = np.concatenate(rows)
    lengths = np.array([len(row) for row in rows], np.uint32)
    return (
        np.cumsum([0, *lengths], dtype=np.int64),
        terms,
        chance.integers(1, 4, len(terms)).astype(np.uint16),
        lengths,
    )


def test_many_documents_from_many_threads_at_once() -> None:
    batch = many_documents(2000)
    postings, twin = scan.Postings(*batch), twins.Postings(*batch)
    asked = [np.arange(k, k + 40, 8, dtype=np.uint64) << 30 for k in range(0, 4000, 500)]
    weights = np.ones(5, np.float32)

    def score(terms: NDArray[np.uint64]) -> Floats:
        out = np.empty(2000, np.float32)
        for _ in range(20):
            postings.bm25(terms, weights, 1.2, 0.75, 14.0, out)
        return out

    with ThreadPoolExecutor(4) as pool:
        for terms, made in zip(asked, pool.map(score, asked), strict=True):
            wanted = np.empty(2000, np.float32)
            twin.bm25(terms, weights, 1.2, 0.75, 14.0, wanted)
            np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(postings.df(terms), twin.df(terms))


def test_postings_keep_nothing_of_their_input() -> None:
    offsets, terms, counts, lengths = many_documents(10)
    postings = scan.Postings(offsets, terms, counts, lengths)
    asked = terms[:3].copy()
    before = postings.df(asked)
    terms[:] = 0
    np.testing.assert_array_equal(postings.df(asked), before)
    assert postings.nbytes > 10 * len(terms) * 0.5


OFFSETS, TERMS, COUNTS, LENGTHS = many_documents(3)


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ((OFFSETS[:-1], TERMS, COUNTS, LENGTHS), "4 entries"),
        ((OFFSETS, TERMS[:-1], COUNTS, LENGTHS), "counts"),
        ((OFFSETS, TERMS[:-1], COUNTS[:-1], LENGTHS), "run from 0 to"),
        ((OFFSETS + 1, TERMS, COUNTS, LENGTHS), "run from 0 to"),
        ((OFFSETS[[0, 2, 1, 3]], TERMS, COUNTS, LENGTHS), "descend"),
        ((OFFSETS, TERMS.astype(np.int64), COUNTS, LENGTHS), "terms must be"),
        ((OFFSETS, TERMS, COUNTS.astype(np.uint32), LENGTHS), "counts must be"),
    ],
)
def test_postings_that_do_not_fit_are_refused(arrays: tuple[object, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        scan.Postings(*arrays)  # type: ignore[arg-type]


POSTINGS = scan.Postings(OFFSETS, TERMS, COUNTS, LENGTHS)
OUT = np.zeros(3, np.float32)
WEIGHT = np.ones(1, np.float32)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: POSTINGS.bm25(TERMS[:2], WEIGHT, 1.2, 0.75, 9, OUT), "1 weights"),
        (lambda: POSTINGS.bm25(TERMS[:1], WEIGHT, 1.2, 0.75, 9, OUT[:2]), "2 entries"),
        (lambda: POSTINGS.bm25(TERMS[:1], WEIGHT, -1, 0.75, 9, OUT), "k1"),
        (lambda: POSTINGS.bm25(TERMS[:1], WEIGHT, 1.2, 1.5, 9, OUT), "in 0..1"),
        (lambda: POSTINGS.bm25(TERMS[:1], WEIGHT, 1.2, 0.75, np.nan, OUT), "avg_length"),
        (lambda: POSTINGS.df(TERMS[:1], np.ones(2, bool)), "2 entries"),
        (lambda: scan.top_k(OUT, np.ones(2, bool), 3), "mask has 2"),
        (lambda: scan.top_k(OUT, None, -1), "k must be"),
        (lambda: scan.top_k(OUT, None, 1, np.nan), "NaN"),
        (lambda: scan.dense_scores(OUT[None], OUT, OUT), "out has 3"),
        (lambda: scan.dense_scores(OUT[None], OUT[:2], OUT[:1]), "2 dimensions"),
        (lambda: scan.dense_scores(OUT[None].astype(np.int8), OUT, OUT[:1]), "got int8"),
    ],
)
def test_wrong_arguments_are_named(call: object, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()  # type: ignore[operator]


def test_a_scope_without_a_word_has_no_average_length() -> None:
    empty = np.zeros(0, np.uint64), np.zeros(0, np.uint16)
    postings = scan.Postings(np.zeros(4, np.int64), *empty, np.zeros(3, np.uint32))
    out = np.full(3, np.nan, np.float32)
    postings.bm25(TERMS[:1], WEIGHT, 1.2, 0.75, 0.0, out)
    assert out.tolist() == [0, 0, 0]
