"""The static table: interchangeable between machines, and good enough to search with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem.models import distil
from agentmem.models.architecture import load_weights
from agentmem.models.registry import MINILM, WEIGHTS
from agentmem.types import ModelFiles


@pytest.fixture(scope="module")
def tokens(static: ModelFiles) -> list[str]:
    return distil.vocabulary(static.tokenizer, MINILM.architecture.vocab)


def test_the_table_has_a_row_a_token(static: ModelFiles, tokens: list[str]) -> None:
    table = np.load(static.weights)
    assert table.shape == (len(tokens), static.dim) == (30522, 256)
    assert table.dtype == np.float16
    assert np.isfinite(table).all()
    silent = [t for t, row in zip(tokens, table, strict=True) if not row.any()]
    assert {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]"} <= set(silent)
    assert all(t.startswith("[") for t in silent)


def test_special_tokens_make_no_difference(
    static: ModelFiles, load: Callable[..., Any], sentences: list[str]
) -> None:
    model = load(static)
    with_special = model.embed(sentences)
    encoded = model.tokenizer.encode_batch(sentences, add_special_tokens=False)
    sums = np.stack([model.table[e.ids].sum(axis=0) for e in encoded])
    np.testing.assert_allclose(
        with_special, sums / np.linalg.norm(sums, axis=1, keepdims=True), atol=1e-6
    )


def test_rare_tokens_weigh_more(tokens: list[str]) -> None:
    weight = dict(zip(tokens, distil.rarity(tokens), strict=True))
    assert weight["[CLS]"] == weight["[unused5]"] == 0
    assert 0 < weight[","] < weight["the"] * 2 < 0.05
    assert weight["the"] < weight["city"] < weight["lisbon"] < weight["otter"] < 1
    assert weight["7"] > weight["!"]


def test_rows_come_from_the_model(static: ModelFiles, published: Path, tokens: list[str]) -> None:
    """A few tokens distilled again give the shipped projection's rows."""
    few = ["[CLS]", "[SEP]", "the", "lisbon", "##ing", "7", "!"]
    weights = load_weights(published / WEIGHTS, MINILM.architecture)
    index = [tokens.index(t) for t in few]
    small = dict(weights)
    words = "embeddings.word_embeddings.weight"
    small[words] = weights[words][index]
    rows = distil.token_outputs(MINILM.architecture, small, few, lambda *_: None)
    assert not rows[:2].any()
    expected = rows @ distil.projection() * distil.rarity(tokens)[index][:, None]
    np.testing.assert_allclose(np.load(static.weights)[index], expected, rtol=2e-3, atol=1e-4)


def test_the_projection_is_found_again_from_a_low_rank_table() -> None:
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((48, 48)))[0][:, :5]
    strengths = np.array([9.0, 7.0, 5.0, 3.0, 2.0])
    rows = (rng.standard_normal((4000, 5)) * strengths) @ basis.T
    found = distil.find_projection(rows.astype(np.float32), 5)
    assert found.shape == (48, 5)
    np.testing.assert_allclose(np.abs((found * basis).sum(axis=0)), 1, atol=0.02)
    np.testing.assert_allclose(found.T @ found, np.eye(5), atol=1e-5)
    assert (np.take_along_axis(found, np.abs(found).argmax(axis=0)[None], 0) > 0).all()


def test_the_shipped_projection_keeps_lengths(tokens: list[str]) -> None:
    projection = distil.projection()
    assert projection.shape == (384, 256)
    np.testing.assert_allclose(projection.T @ projection, np.eye(256), atol=2e-3)


def test_meaning_decides(static: ModelFiles, load: Callable[..., Any]) -> None:
    model = load(static)
    query, near, far = model.embed(
        [
            "Where does she work as a doctor?",
            "She is a surgeon at the city hospital.",
            "The recipe needs flour and two eggs.",
        ]
    )
    assert query @ near > query @ far + 0.2
