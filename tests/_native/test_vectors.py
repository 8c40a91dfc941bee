"""Vector kernels against their twins, on each instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from agentmem._native import twins, vectors

Floats = NDArray[np.float32]

pytestmark = pytest.mark.usefixtures("simd")

#: Below, at and above every vector width and its multiples.
dims = st.sampled_from([1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 127, 130, 256, 384])
seeds = st.integers(0, 2**32 - 1)
any_float = st.floats(width=32, allow_subnormal=True)


def normal(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


ALL_HALVES = np.arange(65536, dtype=np.uint16).view(np.float16)


def test_every_half_widens_exactly() -> None:
    made = vectors.from_f16(ALL_HALVES)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, ALL_HALVES.astype(np.float32))


def test_every_half_survives_the_way_there_and_back() -> None:
    back = vectors.to_f16(vectors.from_f16(ALL_HALVES))
    np.testing.assert_array_equal(back, ALL_HALVES)


def test_halfway_cases_round_to_even() -> None:
    finite = np.sort(ALL_HALVES[np.isfinite(ALL_HALVES)].astype(np.float32))
    middle = ((finite[:-1].astype(np.float64) + finite[1:]) / 2).astype(np.float32)
    near = np.concatenate([middle, np.nextafter(middle, np.float32(9e9)), [65519.996, 65520]])
    around = np.concatenate([near, -near, np.nextafter(near, np.float32(0))]).astype(np.float32)
    np.testing.assert_array_equal(vectors.to_f16(around), twins.to_f16(around))


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3), elements=any_float))
def test_to_f16_equals_twin(x: Floats) -> None:
    made = vectors.to_f16(x)
    assert made.shape == x.shape
    np.testing.assert_array_equal(made, twins.to_f16(x))


@given(seeds, st.integers(0, 5), dims, st.floats(-30, 30))
def test_normalize_equals_twin(seed: int, n: int, dim: int, magnitude: float) -> None:
    x = normal(seed, n, dim) * np.float32(10.0**magnitude)
    wanted = x.copy()
    wanted_norms = twins.normalize(wanted)
    norms = vectors.normalize(x)
    np.testing.assert_allclose(norms, wanted_norms, rtol=1e-6)
    np.testing.assert_allclose(x, wanted, rtol=2e-6, atol=1e-7)


@given(seeds, st.integers(1, 5), dims)
def test_what_was_normalised_once_stays_to_the_bit(seed: int, n: int, dim: int) -> None:
    x = normal(seed, n, dim)
    vectors.normalize(x)
    again = x.copy()
    assert (vectors.normalize(again)[x.any(axis=1)] == 1).all()
    np.testing.assert_array_equal(again, x)


@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 4), dims), elements=any_float))
def test_normalize_defines_every_float(x: Floats) -> None:
    original, wanted = x.copy(), x.copy()
    wanted_norms = twins.normalize(wanted)
    norms = vectors.normalize(x)
    np.testing.assert_array_equal(np.isfinite(norms), np.isfinite(wanted_norms))
    for row, norm, before in zip(x, norms, original, strict=True):
        if not np.isfinite(norm):
            assert np.isnan(row).all()
        elif not before.any():
            assert norm == 0
            assert not row.any()
        else:
            assert np.linalg.norm(row.astype(np.float64)) == pytest.approx(1, abs=1e-6)


@given(
    st.one_of(
        hnp.arrays(np.float32, st.tuples(st.integers(0, 4), dims), elements=any_float),
        st.builds(normal, seeds, st.integers(0, 4), dims),
    )
)
def test_quantize_equals_twin_to_the_bit(x: Floats) -> None:
    codes, scales = vectors.quantize_int8(x)
    wanted_codes, wanted_scales = twins.quantize_int8(x)
    np.testing.assert_array_equal(codes, wanted_codes)
    np.testing.assert_array_equal(scales, wanted_scales)
    np.testing.assert_array_equal(
        vectors.dequantize_int8(codes, scales), twins.dequantize_int8(codes, scales)
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3, 12, 64, 96, 384]))
def test_a_rotation_keeps_products_and_equals_its_twin(seed: int, dim: int) -> None:
    x = np.random.default_rng(seed).standard_normal((5, dim)).astype(np.float32)
    turned, twin = x.copy(), x.copy()
    vectors.rotate(turned)
    twins.rotate(twin)
    np.testing.assert_allclose(turned, twin, atol=1e-4)
    np.testing.assert_allclose(turned @ turned.T, x @ x.T, rtol=1e-4, atol=1e-3)


def test_a_rotation_spreads_a_large_component() -> None:
    x = np.zeros((1, 384), np.float32)
    x[0, 7] = 1
    vectors.rotate(x)
    assert np.abs(x).max() < 0.1


@given(seeds, dims)
def test_quantisation_error_is_half_a_step(seed: int, dim: int) -> None:
    x = normal(seed, 3, dim)
    codes, scales = vectors.quantize_int8(x)
    error = np.abs(vectors.dequantize_int8(codes, scales) - x)
    assert (error <= 0.5001 * scales[:, None]).all()


@st.composite
def hidden_states(draw: st.DrawFn) -> tuple[Floats, NDArray[np.int64]]:
    rows, width, dim = draw(st.integers(0, 4)), draw(st.integers(1, 12)), draw(dims)
    mask = draw(hnp.arrays(np.int64, (rows, width), elements=st.integers(0, 1)))
    return normal(draw(seeds), rows, width, dim), mask


@given(hidden_states())
def test_mean_pool_equals_twin(case: tuple[Floats, NDArray[np.int64]]) -> None:
    hidden, mask = case
    np.testing.assert_allclose(
        vectors.mean_pool(hidden, mask), twins.mean_pool(hidden, mask), rtol=1e-5, atol=1e-6
    )


@given(hidden_states(), st.integers(0, 9))
def test_a_mean_is_the_same_at_any_padding(
    case: tuple[Floats, NDArray[np.int64]], more: int
) -> None:
    hidden, mask = case
    padded = np.pad(hidden, ((0, 0), (0, more), (0, 0)), constant_values=np.nan)
    padded_mask = np.pad(mask, ((0, 0), (0, more)))
    together = vectors.mean_pool(padded, padded_mask)
    for i in range(len(hidden)):
        alone = vectors.mean_pool(hidden[i : i + 1], mask[i : i + 1])
        np.testing.assert_array_equal(alone[0], together[i])


def test_mean_pool_by_lengths_and_into_a_given_array() -> None:
    hidden = normal(1, 3, 5, 40)
    lengths = np.array([5, 0, 2])
    out = np.full((3, 40), np.nan, np.float32)
    assert vectors.mean_pool(hidden, lengths, out) is out
    np.testing.assert_allclose(out, twins.mean_pool(hidden, lengths), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(out[1], 0)


def test_lengths_beyond_the_width_are_cut() -> None:
    hidden = normal(1, 2, 3, 4)
    made = vectors.mean_pool(hidden, np.array([2**40, -7]))
    np.testing.assert_allclose(made[0], hidden[0].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(made[1], 0)


@given(seeds, st.integers(0, 6), dims, st.booleans(), st.booleans())
def test_pool_table_equals_twin(seed: int, n: int, dim: int, half: bool, weighted: bool) -> None:
    chance = np.random.default_rng(seed)
    table = chance.standard_normal((50, dim), dtype=np.float32)
    lengths = chance.integers(0, 9, n)
    flat = chance.integers(0, 50, lengths.sum()).astype(np.int32)
    offsets = np.cumsum([0, *lengths])
    weights = chance.random(50, dtype=np.float32) if weighted else None
    rows = table.astype(np.float16) if half else table
    made = vectors.pool_table(rows, weights, flat, offsets)
    np.testing.assert_allclose(
        made, twins.pool_table(rows, weights, flat, offsets), rtol=1e-5, atol=1e-6
    )


def test_weights_that_sum_to_zero_give_a_zero_row() -> None:
    flat, offsets = np.array([0, 1], np.int32), np.array([0, 2])
    weights = np.array([1, -1], np.float32)
    made = vectors.pool_table(normal(0, 2, 20), weights, flat, offsets)
    np.testing.assert_array_equal(made, 0)


@pytest.mark.parametrize("token", [-1, 2, 2**31 - 1])
def test_a_token_outside_the_table_is_refused(token: int) -> None:
    flat, offsets = np.array([0, token], np.int32), np.array([0, 2])
    with pytest.raises(IndexError, match=str(token)):
        vectors.pool_table(normal(0, 2, 8), None, flat, offsets)


@pytest.mark.parametrize("offsets", [[], [1, 2], [0, 3], [0, 2, 1, 2], [0, -1, 2]])
def test_offsets_that_do_not_fit_are_refused(offsets: list[int]) -> None:
    flat = np.zeros(2, np.int32)
    with pytest.raises(ValueError, match="offsets"):
        vectors.pool_table(normal(0, 2, 8), None, flat, np.array(offsets, np.int64))


@given(seeds, st.integers(0, 2100), dims, st.integers(0, 30), st.booleans())
def test_top_k_dot_finds_the_best(seed: int, n: int, dim: int, k: int, half: bool) -> None:
    chance = np.random.default_rng(seed)
    # Small integers: every sum is exact, so equal scores are equal and order is decided by index.
    matrix = chance.integers(-3, 4, (n, dim)).astype(np.float16 if half else np.float32)
    query = chance.integers(-3, 4, dim).astype(np.float32)
    indices, scores = vectors.top_k_dot(matrix, query, k)
    wanted_indices, wanted_scores = twins.top_k_dot(matrix, query, k)
    np.testing.assert_array_equal(indices, wanted_indices)
    np.testing.assert_array_equal(scores, wanted_scores)


def test_rows_with_nan_rank_last() -> None:
    matrix = np.array([[np.nan], [1], [np.inf], [np.nan], [-np.inf]], np.float32)
    indices, _ = vectors.top_k_dot(matrix, np.ones(1, np.float32), 5)
    assert indices.tolist() == [2, 1, 4, 0, 3]


X = normal(0, 4, 6)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: vectors.normalize(X.astype(np.float64)), "x must .* got float64"),
        (lambda: vectors.normalize(X[:, ::2]), "not contiguous"),
        (lambda: vectors.normalize(np.asfortranarray(X)), "not contiguous"),
        (lambda: vectors.normalize(X[0]), r"shape \(6,\)"),
        (lambda: vectors.normalize(np.frombuffer(bytes(8), np.float32)[None]), "read-only"),
        (lambda: vectors.normalize(X.astype(">f4")), "got >f4"),
        (lambda: vectors.to_f16(X.astype(np.float16)), "float32"),
        (lambda: vectors.from_f16(X), "float16"),
        (lambda: vectors.quantize_int8(X[0]), "2 dimension"),
        (lambda: vectors.top_k_dot(X, X[0, :5].copy(), 2), "5 dimensions, matrix has 6"),
        (lambda: vectors.top_k_dot(X, X[0], -1), "k must be"),
        (lambda: vectors.mean_pool(X[None], np.ones((1, 3), np.int64)), "does not fit"),
        (lambda: vectors.mean_pool(X[None], np.ones((1, 4), np.int32)), "int64"),
        (lambda: vectors.dequantize_int8(X.astype(np.int8), X[:3, 0].copy()), "3 scales"),
    ],
)
def test_wrong_arrays_are_named(call: object, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("value", [[[1.0]], None, "text", 3])
def test_what_is_no_array_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="must be a C-contiguous"):
        vectors.normalize(value)  # type: ignore[arg-type]


def test_a_unit_vector_or_none() -> None:
    chance = np.random.default_rng(3)
    x = chance.standard_normal(100, np.float32)
    for scaled in (x, 1e-12 * x, 1e15 * x):
        made, wanted = vectors.unit(scaled, 100), twins.unit(scaled, 100)
        assert made is not None
        assert wanted is not None
        np.testing.assert_allclose(made, wanted, atol=1e-6)
    bad = [0 * x, np.inf * x, x.astype(np.float64), x[None, :], x[:50], x[::2], list(x), None]
    for other in bad:
        assert vectors.unit(other, 100) is None
        assert twins.unit(other, 100) is None
