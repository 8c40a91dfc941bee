"""Integer products: safe on every processor, close to single precision, blind to the batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from agentmem.errors import ModelCorruptError
from agentmem.models.quantize import Site, dump, parse, quantize_columns, site_of, step_of
from agentmem.models.registry import data_bytes
from agentmem.types import ModelFiles


def pair_sums(codes: np.ndarray) -> int:
    """The largest sum of codes of one sign in a pair of rows that is added in 16 bits."""
    wide = codes.astype(np.int32)
    if len(wide) % 2:
        wide = np.vstack([wide, np.zeros_like(wide[:1])])
    pairs = wide.reshape(-1, 2, wide.shape[1])
    both = [np.maximum(sign * pairs, 0).sum(axis=1).max() for sign in (1, -1)]
    return int(max(both))


@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6))
def test_no_pair_of_codes_can_saturate(rows: int, columns: int, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    weight = (size * rng.standard_t(2, (rows, columns))).astype(np.float32)
    codes, scales = quantize_columns(weight)
    assert pair_sums(codes) * 255 < 2**15
    assert codes.dtype == np.int8
    assert np.abs(codes.astype(np.int32)).max() <= 127
    np.testing.assert_allclose(codes * scales, weight, atol=float(scales.max()) * 0.501)


def test_columns_of_zeros_stay_zero() -> None:
    codes, scales = quantize_columns(np.zeros((4, 3), np.float32))
    assert not codes.any()
    assert np.isfinite(scales).all()


def test_two_equal_weights_use_half_the_codes() -> None:
    """The worst pair: 127 + 127 would be 64,770 against a limit of 32,767."""
    codes, _ = quantize_columns(np.ones((2, 1), np.float32))
    assert 60 <= codes[0, 0] <= 64


def test_every_product_of_minilm_is_safe(minilm: ModelFiles) -> None:
    model = onnx.load(str(minilm.weights))
    found = [numpy_helper.to_array(c) for c in model.graph.initializer if ".codes" in c.name]
    assert len(found) == 6 * 6
    assert all(pair_sums(codes) * 255 < 2**15 for codes in found)


def test_constants_survive_writing_and_reading() -> None:
    sites = {"a.out": Site(-1.5, 2.25, {3: (1.5, -0.25), 7: (2.0, 0.0)}), "b": Site(0.0, 1.0, {})}
    assert parse(dump(sites).encode()) == sites


@pytest.mark.parametrize("blob", [b"", b"[]", b'{"a": 1}', b'{"a": [1, 2]}', b'{"a": [1, 2, 3]}'])
def test_damaged_constants_are_refused(blob: bytes) -> None:
    with pytest.raises(ModelCorruptError, match="calibration constants"):
        parse(blob)


def test_outliers_are_brought_into_line() -> None:
    low = np.array([-1, -1, -1, -2, 10], np.float32)
    high = np.array([1, 1, 1, 2, 30], np.float32)
    site = site_of(low, high, scaled=True, shifted=True)
    assert site.channels == {4: (5.0, 20.0)}
    assert (site.low, site.high) == (-2.0, 2.0)
    plain = site_of(low, high, scaled=False, shifted=False)
    assert (plain.low, plain.high, plain.channels) == (-2.0, 30.0, {})


def test_zero_has_a_code_of_its_own() -> None:
    for site in (Site(-0.17, 5.3, {}), Site(0.0, 1.0, {}), Site(-3.0, 0.0, {}), Site(0, 0, {})):
        step, zero = step_of(site)
        assert step > 0
        assert 0 <= zero <= 255


def test_shipped_constants_cover_every_product() -> None:
    sites = parse(data_bytes("minilm-ranges.json"))
    names = [f"layer{i}.{part}" for i in range(6) for part in ("context", "attended", "active")]
    names += ["embeddings", *(f"layer{i}.out" for i in range(5))]
    assert sorted(sites) == sorted(names)
    assert dump(sites).encode() == data_bytes("minilm-ranges.json")


def test_a_vector_is_the_same_alone_in_any_batch_and_at_any_padding(
    minilm: ModelFiles, load: Callable[..., Any], sentences: list[str]
) -> None:
    runner = load(minilm)
    texts = [*sentences, " ".join(sentences)]
    ids = runner.ids(texts)
    alone = [runner.pool(runner.hidden([i])[0]) for i in ids]
    rng = np.random.default_rng(0)
    for trial in range(6):
        some = rng.permutation(len(ids))[: rng.integers(2, len(ids) + 1)]
        together = runner.hidden([ids[i] for i in some], pad_to=(0, 40, 256)[trial % 3])
        for i, hidden in zip(some, together, strict=True):
            np.testing.assert_allclose(runner.pool(hidden), alone[i], atol=1e-6)


def test_integers_stay_close_to_single_precision(
    minilm: ModelFiles, fp32: ModelFiles, load: Callable[..., Any], sentences: list[str]
) -> None:
    cosines = (load(minilm).embed(sentences) * load(fp32).embed(sentences)).sum(axis=1)
    assert cosines.mean() >= 0.99
    assert cosines.min() >= 0.97


def test_integers_stay_close_on_real_conversations(
    minilm: ModelFiles, fp32: ModelFiles, load: Callable[..., Any], eval_data: Path
) -> None:
    conversation = json.loads((eval_data / "locomo-dev5.json").read_text())[1]["conversation"]
    sessions = [v for k, v in conversation.items() if isinstance(v, list)]
    texts = [turn["text"] for session in sessions for turn in session][:150]
    cosines = (load(minilm).embed(texts) * load(fp32).embed(texts)).sum(axis=1)
    assert cosines.mean() >= 0.99


def test_the_file_is_small(minilm: ModelFiles) -> None:
    assert minilm.weights.stat().st_size < 24_000_000
