"""The static encoder: agreement with NumPy, odd texts, damaged tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tokenizers import Tokenizer

from agentmem import models
from agentmem.errors import ModelCorruptError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agentmem.embed.local import LocalEmbedder
    from agentmem.types import ModelFiles

    Sentences = Callable[..., list[str]]


@pytest.fixture(scope="module")
def files() -> ModelFiles:
    return models.provision("static")


def test_it_is_the_normalised_sum_of_table_rows(
    files: ModelFiles,
    opened: Callable[..., LocalEmbedder],
    sentences: Sentences,
    strange: list[str],
) -> None:
    texts = [t for t in [*strange, *sentences(50)] if len(t) < 5000]
    table = np.load(files.weights).astype(np.float64)
    tokenizer = Tokenizer.from_file(str(files.tokenizer))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    found = opened(files).embed(texts)
    for text, vector in zip(texts, found, strict=True):
        total = table[tokenizer.encode(text, add_special_tokens=False).ids].sum(axis=0)
        norm = np.linalg.norm(total)
        np.testing.assert_allclose(vector, total / norm if norm else total, atol=1e-5)


def test_a_text_without_tokens_has_no_direction(
    files: ModelFiles, opened: Callable[..., LocalEmbedder]
) -> None:
    vectors = opened(files).embed(["", " \n", "\0", "surfing"])
    assert not vectors[:3].any()
    assert vectors[3].any()


def test_many_windows_make_one_array(
    files: ModelFiles, opened: Callable[..., LocalEmbedder], sentences: Sentences
) -> None:
    texts = sentences(9000, seed=7, longest=8)
    made = opened(files)
    vectors = made.embed(texts)
    assert vectors.shape == (9000, files.dim)
    for i in (0, 4095, 4096, 8191, 8192, 8999):
        np.testing.assert_array_equal(vectors[i], made.embed([texts[i]])[0])


def test_the_table_is_mapped_not_read(
    files: ModelFiles, opened: Callable[..., LocalEmbedder]
) -> None:
    made = opened(files)
    made.warm_up()
    assert made._loaded is not None
    table = made._loaded.encoder._table  # type: ignore[attr-defined]
    assert isinstance(table, np.memmap)
    assert not table.flags.writeable


def test_a_float32_table_serves_too(
    files: ModelFiles, opened: Callable[..., LocalEmbedder], tmp_path: Path, sentences: Sentences
) -> None:
    np.save(tmp_path / "table.npy", np.load(files.weights).astype(np.float32))
    texts = sentences(20)
    np.testing.assert_allclose(
        opened(replace(files, weights=tmp_path / "table.npy")).embed(texts),
        opened(files).embed(texts),
        atol=1e-6,
    )


def test_damaged_tables_are_named(
    files: ModelFiles, opened: Callable[..., LocalEmbedder], tmp_path: Path
) -> None:
    path = tmp_path / "table.npy"
    made = opened(replace(files, weights=path))
    with pytest.raises(ModelCorruptError, match=r"table\.npy cannot be read.*pull --force static"):
        made.embed(["text"])
    whole = files.weights.read_bytes()
    for content in (b"", b"not a table", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelCorruptError, match=r"table\.npy"):
            made.embed(["text"])
    for wrong in (np.zeros((9, 3), np.float16), np.zeros((9, files.dim), np.int8)):
        np.save(path, wrong)
        with pytest.raises(ModelCorruptError, match=r"table\.npy is"):
            made.embed(["text"])


def test_a_table_that_does_not_fit_its_tokenizer_is_named(
    files: ModelFiles, opened: Callable[..., LocalEmbedder], tmp_path: Path
) -> None:
    np.save(tmp_path / "short.npy", np.load(files.weights)[:200])
    with pytest.raises(ModelError, match="does not belong to its table"):
        opened(replace(files, weights=tmp_path / "short.npy")).embed(["surfing in Lisbon"])
    table = np.load(files.weights)
    table[:] = np.nan
    np.save(tmp_path / "nan.npy", table)
    with pytest.raises(ModelError, match="NaN or infinity"):
        opened(replace(files, weights=tmp_path / "nan.npy")).embed(["surfing in Lisbon"])
