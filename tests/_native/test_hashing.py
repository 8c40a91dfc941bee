"""Content hashes: those of hashlib, for any text."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem._native import twins
from agentmem._native.hashing import hash_texts


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_equals_hashlib(texts: list[str]) -> None:
    assert hash_texts(texts) == twins.hash_texts(texts)


@pytest.mark.parametrize("character", ["a", "é", "日", "😀"])
def test_every_length_around_the_block_size(character: str) -> None:
    texts = [character * n for n in range(300)]
    assert hash_texts(texts) == twins.hash_texts(texts)


def test_long_text() -> None:
    text = "x" * 10_000_001
    assert hash_texts([text]) == hashlib.blake2b(text.encode(), digest_size=16).digest()


def test_is_the_same_on_every_platform_and_version() -> None:
    digests = hash_texts(["", "I moved to Lisbon in March", "naïve 日本 \0"])
    assert [digests[i : i + 16].hex() for i in (0, 16, 32)] == [
        "cae66941d9efbd404e4d88758ea67670",
        "248c10771dfc8d3e3ffa54b26707329c",
        "d0d3068e4f54d37e2c1c730232523270",
    ]


def test_nothing_to_hash() -> None:
    assert hash_texts([]) == b""


def test_any_sequence_of_strings() -> None:
    class Text(str):
        __slots__ = ()

    assert hash_texts(("a", Text("b"))) == hash_texts(["a", "b"])


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        hash_texts(["fine", "half \ud83d of a pair"])


@pytest.mark.parametrize("texts", [["a", None], ["a", b"b"], "abc", 5])
def test_only_strings(texts: object) -> None:
    with pytest.raises(TypeError):
        hash_texts(texts)  # type: ignore[arg-type]


def test_from_many_threads() -> None:
    batches = [[f"text {i} of {j} " * 20 for i in range(500)] for j in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for texts, digests in zip(batches, pool.map(hash_texts, batches), strict=True):
            assert digests == twins.hash_texts(texts)
