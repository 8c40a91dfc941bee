"""Token ids: the tokenizer's own truncation, no padding, long texts read only as far as needed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from agentmem.embed import text as text_module
from agentmem.embed.text import Reader, windows
from agentmem.errors import ModelCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agentmem.types import ModelFiles

    Sentences = Callable[..., list[str]]

KEPT = 16


@pytest.fixture(scope="module")
def reader(minilm_files: ModelFiles) -> Reader:
    return Reader(minilm_files.tokenizer, KEPT, special=True)


@pytest.fixture(scope="module")
def bare(minilm_files: ModelFiles) -> Reader:
    return Reader(minilm_files.tokenizer, KEPT, special=False)


@pytest.fixture(scope="module")
def plain(minilm_files: ModelFiles) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(minilm_files.tokenizer))
    tokenizer.no_padding()
    tokenizer.enable_truncation(KEPT)
    return tokenizer


def test_ids_are_those_of_the_tokenizer(
    reader: Reader, plain: Tokenizer, sentences: Sentences, strange: list[str]
) -> None:
    texts = [*strange, *sentences(50)]
    assert reader.ids(texts) == [plain.encode(t).ids for t in texts]
    for text in texts:
        assert reader.ids([text]) == [plain.encode(text).ids]


PIECES = st.sampled_from(
    [
        *(" ", "\n", "\t", "\u00a0", "\u3000", "\0", "\x1c", "\u200b", "\u0301", "e\u0301"),
        *("word", "日本", "🙂", "[MASK]", "a" * 90, ".", "’s", " " * 300, "\n\n", "x" * 300),
        *("ß", "İ", "Σ"),
    ]
)


@given(st.lists(PIECES, max_size=40), st.integers(0, 300))
def test_clipping_a_long_text_changes_nothing(
    reader: Reader, plain: Tokenizer, pieces: list[str], spaces: int
) -> None:
    text = " " * spaces + "".join(pieces) * 3
    assert reader.ids([text, "short"])[0] == plain.encode(text).ids


def test_a_huge_text_is_not_read_whole(reader: Reader) -> None:
    text = "surfing in Lisbon " * 500_000  # 9 million characters
    clipped = reader._clip(text)
    assert len(clipped) < 1000
    assert reader.ids([text]) == reader.ids([clipped])


def test_without_special_tokens(minilm_files: ModelFiles) -> None:
    bare = Reader(minilm_files.tokenizer, KEPT, special=False)
    assert bare.ids(["", " ", "surfing"])[:2] == [[], []]
    assert len(bare.ids(["surfing"])[0]) == 1
    assert len(bare.ids(["word " * 100])[0]) == KEPT


@given(st.lists(st.integers(0, 30), max_size=60))
def test_windows_cover_every_text_once(lengths: list[int]) -> None:
    texts = ["x" * n for n in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_module, "WINDOW_TEXTS", 7)
        patch.setattr(text_module, "WINDOW_CHARS", 50)
        found = list(windows(texts))
    assert [i for w in found for i in w] == list(range(len(texts)))
    for w in found:
        assert 1 <= len(w) <= 7
        assert len(w) == 1 or sum(lengths[i] for i in w) <= 50


def test_a_damaged_tokenizer_is_named(tmp_path: Path, minilm_files: ModelFiles) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(ModelCorruptError, match=r"tokenizer\.json"):
        Reader(path, 16, special=True)
    whole = minilm_files.tokenizer.read_bytes()
    for content in (b"", b"{}", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelCorruptError, match=r"tokenizer\.json is not a readable"):
            Reader(path, 16, special=True)


def test_many_threads_of_the_tokenizer_agree_with_one(reader: Reader, sentences: Sentences) -> None:
    texts = [f"{text} café" for text in sentences(3000, seed=9)]  # for the library
    together = reader.ids(texts)
    for i in random.Random(0).sample(range(len(texts)), 100):
        assert reader.ids([texts[i]]) == [together[i]]


words = st.one_of(
    st.sampled_from(["Where", "did", "unbelievably", "Lisbon's", "U.S.A.", "x" * 100, "y" * 101]),
    st.sampled_from(["antidisestablishmentarianism", "don't", "3.14", "\n", "\t ", "\r\n", "a_b"]),
    st.text(st.characters(min_codepoint=0, max_codepoint=127), max_size=12),
    st.sampled_from(["[CLS]", "café", "\x7f", "naïve", "日本"]),
)


@settings(max_examples=300)
@given(texts=st.lists(words, max_size=12).map(" ".join), special=st.booleans())
def test_one_text_is_read_as_the_tokenizer_reads_it(
    texts: str, special: bool, reader: Reader, bare: Reader, plain: Tokenizer
) -> None:
    ids = (reader if special else bare).ids([texts])
    assert ids == [plain.encode(texts, add_special_tokens=special).ids]


def test_what_is_plain_is_read_here(reader: Reader, sentences: Sentences) -> None:
    assert reader._plain is not None
    plain = [text for text in sentences(50) if text.isascii() and "[" not in text]
    assert len(plain) > 10
    for text in plain:
        assert reader._plain.ids(text, 100) is not None
    for text in ("[MASK]", "é", "\x00", "\x7f"):
        assert reader._plain.ids(text, 100) is None
