"""What holds for every model: the same vector for a text, whatever surrounds it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agentmem.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentmem.embed.local import LocalEmbedder

    Sentences = Callable[..., list[str]]

#: float32 leaves this much between two orders of summation
SAME = 1e-6


def test_vectors_are_unit_float32_rows_in_input_order(
    local: LocalEmbedder, sentences: Sentences
) -> None:
    texts = sentences(50)
    vectors = local.embed(texts)
    assert vectors.shape == (50, local.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    backwards = local.embed(texts[::-1])
    np.testing.assert_allclose(backwards[::-1], vectors, atol=SAME)


def test_meaning_is_in_the_vectors(local: LocalEmbedder) -> None:
    query = local.embed_queries(["where does she live now?"])[0]
    texts = ["She lives in Lisbon these days.", "The invoice was paid on Friday."]
    lives, invoice = local.embed(texts) @ query
    assert lives > invoice + 0.05


def test_a_text_has_one_vector_alone_in_any_batch_and_at_any_padding(
    local: LocalEmbedder, sentences: Sentences, strange: list[str]
) -> None:
    texts = [*strange, *sentences(60)]
    together = local.embed(texts)
    for i, text in enumerate(texts):
        np.testing.assert_allclose(
            local.embed([text])[0], together[i], atol=SAME, err_msg=text[:50]
        )
    # padded from its own length up to the longest
    short = "likes surfing"
    alone = local.embed([short])[0]
    for words in (3, 10, 50, 200):
        padded = local.embed([short, "word " * words])
        np.testing.assert_allclose(padded[0], alone, atol=SAME)


def test_a_text_has_one_vector_on_any_thread(
    local: LocalEmbedder, sentences: Sentences, strange: list[str]
) -> None:
    texts = [*strange, *sentences(30, seed=1)]
    expected = dict(zip(texts, local.embed(texts), strict=True))
    barrier = threading.Barrier(8)

    def one_thread(seed: int) -> None:
        rng = np.random.default_rng(seed)
        barrier.wait()
        for _ in range(2):
            mine = [texts[i] for i in rng.integers(0, len(texts), rng.integers(1, 40))]
            for text, vector in zip(mine, local.embed(mine), strict=True):
                np.testing.assert_allclose(vector, expected[text], atol=SAME, err_msg=text[:50])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one_thread, range(8)))


def test_duplicates_are_computed_once(local: LocalEmbedder) -> None:
    texts = ["a", "b", "a", "a", "c", "b"]
    local.warm_up()
    loaded = local._loaded
    assert loaded is not None
    seen: list[list[str]] = []
    real = loaded.encoder

    class Watched:
        def encode(self, texts: list[str]) -> object:
            seen.append(texts)
            return real.encode(texts)

    loaded.encoder = Watched()  # type: ignore[assignment]
    try:
        vectors = local.embed(texts)
    finally:
        loaded.encoder = real
    assert seen == [["a", "b", "c"]]
    np.testing.assert_array_equal(vectors[[0, 0, 1]], vectors[[2, 3, 5]])
    np.testing.assert_allclose(
        vectors, np.concatenate([local.embed([t]) for t in texts]), atol=SAME
    )


def test_no_texts_give_no_rows(local: LocalEmbedder) -> None:
    assert local.embed([]).shape == (0, local.dim)
    assert local.embed_queries(()).shape == (0, local.dim)


def test_only_the_first_tokens_of_a_long_text_count(local: LocalEmbedder) -> None:
    long = "surfing in Lisbon " * 20_000
    first, second = local.embed([long + "alpha", long + "omega"])
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        ("one string", "one string"),
        (["fine", 7], r"texts\[1\] must be a string, not 7"),
        (["fine", None], r"texts\[1\]"),
        ([("pair", "of texts")], r"texts\[0\]"),
        ([b"bytes"], "b'bytes'"),
    ],
)
def test_what_is_no_list_of_strings_is_refused(
    local: LocalEmbedder, texts: object, named: str
) -> None:
    with pytest.raises(InvalidInputError, match=named):
        local.embed(texts)  # type: ignore[arg-type]


@pytest.mark.parametrize("texts", [["bad \ud800 text"], ["fine", "bad \udfff text", "fine"]])
def test_lone_surrogates_are_named(local: LocalEmbedder, texts: list[str]) -> None:
    with pytest.raises(InvalidInputError, match="lone surrogate at character 4"):
        local.embed(texts)
    assert local.embed(["still works"]).shape == (1, local.dim)
