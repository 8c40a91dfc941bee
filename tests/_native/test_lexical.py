"""Keyword terms: the segmentation that people rely on, and the same as the twin's."""

from __future__ import annotations

import hashlib
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem._native import lexical, twins


def term(word: str) -> int:
    """A hash as an analyzer would make; words in ``stop`` are left out."""
    if word in {"the", "stop", "и"}:
        return 0
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little") or 1


class Seen:
    """Remembers which words were asked for."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(self, word: str) -> int:
        self.words.append(word)
        return term(word)


def words(text: str) -> list[str]:
    """The distinct words of a text, in order of appearance."""
    seen = Seen()
    lexical.count_terms([text], lexical.TermMemo(seen))
    assert list(dict.fromkeys(twins.words_of(text))) == seen.words
    return seen.words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  ...!? \n", []),
        ("Hello, World", ["hello", "world"]),
        ("snake_case and 3.14", ["snake", "case", "and", "3", "14"]),
        ("Caroline's dog's", ["caroline", "dog"]),
        ("Caroline’s DOG'S.", ["caroline", "dog"]),
        ("it'sa don't s's 's", ["it", "sa", "don", "t", "s"]),
        ("naïve Café ÅNGSTRÖM", ["naive", "cafe", "angstrom"]),
        ("cafe\u0301", ["cafe"]),
        ("Straße STRASSE", ["strasse"]),
        ("ﬁne ℡ Ⅷ ＡＢＣ", ["fine", "tel", "viii", "abc"]),
        ("İstanbul", ["istanbul"]),
        ("Москва и Київ", ["москва", "и", "киів"]),
        ("東京都", ["東", "東京", "京", "京都", "都"]),
        ("go東京", ["go", "東", "東京", "京"]),
        ("東 京", ["東", "京"]),
        ("ラーメン", ["ラ", "ラー", "ー", "ーメ", "メ", "メン", "ン"]),
        ("東's", ["東", "s"]),
        ("x'ｓ東", ["x", "s", "東"]),
        ("😀ok😀", ["ok"]),
        ("half \ud83d pair", ["half", "pair"]),
        ("nul\0byte", ["nul", "byte"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_vowel_signs_belong_to_their_word() -> None:
    assert words("हिन्दी भाषा") == [twins.fold("हिन्दी"), twins.fold("भाषा")]


@pytest.mark.parametrize("character", ["x", "я", "𝔘"])
def test_a_word_counts_by_its_first_64_characters(character: str) -> None:
    (word,) = words(character * 1000)
    assert word == twins.fold(character) * 64
    assert words(character * 64 + " " + character * 65) == [word]


def test_every_code_point_that_folding_changes() -> None:
    changed = [
        chr(c)
        for c in range(0x110000)
        if unicodedata.combining(chr(c))
        or unicodedata.normalize("NFKD", chr(c)).casefold() != chr(c)
    ]
    assert len(changed) > 15_000
    batch = [" ".join(changed[i : i + 100]) for i in range(0, len(changed), 100)]
    # And in company: marks that normalisation would put into another order.
    batch += [f"a{mark}\u0345\u0301\u0323{mark}b" for mark in changed[::50]]
    for _ in range(2):  # the second time from what the first has learnt
        made = lexical.count_terms(batch, lexical.TermMemo(term))
        wanted = twins.count_terms(batch, twins.TermMemo(term))
        for column, wanted_column in zip(made, wanted, strict=True):
            np.testing.assert_array_equal(column, wanted_column)


#: Letters of many scripts, marks, apostrophes, separators.
alphabet = st.one_of(
    st.sampled_from("aSs's’ eEé\u0301ßİΣς_-.0٣Жя東京かカーｶﾞทำ한ก\u0e33हि\u094d\u200d\ud800😀\0\n"),
    st.characters(),
)
texts = st.lists(st.text(alphabet, max_size=60), max_size=8)


@given(texts)
def test_equals_twin(batch: list[str]) -> None:
    made = lexical.count_terms(batch, lexical.TermMemo(term))
    wanted = twins.count_terms(batch, twins.TermMemo(term))
    for column, wanted_column in zip(made, wanted, strict=True):
        assert column.dtype == wanted_column.dtype
        np.testing.assert_array_equal(column, wanted_column)


@given(texts)
def test_a_memo_that_has_seen_other_texts_changes_nothing(batch: list[str]) -> None:
    memo = lexical.TermMemo(term)
    first = lexical.count_terms(batch, memo)
    again = lexical.count_terms([*batch, *batch], memo)
    np.testing.assert_array_equal(again[1], np.concatenate([first[1], first[1]]))
    np.testing.assert_array_equal(again[3], np.concatenate([first[3], first[3]]))


def test_a_word_is_resolved_once() -> None:
    seen = Seen()
    memo = lexical.TermMemo(seen)
    lexical.count_terms(["One two", "two THREE the"], memo)
    lexical.count_terms(["three the one"], memo)
    assert seen.words == ["one", "two", "three", "the"]
    assert len(memo) == 4


def test_a_full_memo_forgets_and_asks_again() -> None:
    seen = Seen()
    memo = lexical.TermMemo(seen, limit=10)
    vocabulary = [f"word{i}" for i in range(1000)]
    for text in vocabulary * 2:
        offsets, terms, _, _ = lexical.count_terms([text], memo)
        assert offsets.tolist() == [0, 1]
        assert terms.tolist() == [term(text)]
        assert len(memo) <= 10
    assert len(seen.words) == 2000


def test_a_large_vocabulary_is_kept() -> None:
    seen = Seen()
    memo = lexical.TermMemo(seen)
    before = memo.nbytes
    text = " ".join(f"word{i}" for i in range(20_000))
    first = lexical.count_terms([text], memo)
    second = lexical.count_terms([text], memo)
    assert len(seen.words) == len(memo) == 20_000
    assert memo.nbytes > before
    np.testing.assert_array_equal(first[1], second[1])
    assert (np.diff(first[1].astype(object)) > 0).all()


def test_counts_saturate() -> None:
    offsets, _, counts, lengths = lexical.count_terms(["w " * 70_000], lexical.TermMemo(term))
    assert offsets.tolist() == [0, 1]
    assert counts.tolist() == [65535]
    assert lengths.tolist() == [65535]


def test_an_error_of_resolve_comes_through_and_leaves_the_memo_sound() -> None:
    def picky(word: str) -> int:
        if word == "bad":
            raise LookupError(word)
        return term(word)

    memo = lexical.TermMemo(picky)
    with pytest.raises(LookupError, match="bad"):
        lexical.count_terms(["good", "bad", "good"], memo)
    assert lexical.count_terms(["good"], memo)[1].tolist() == [term("good")]


@pytest.mark.parametrize(
    ("value", "error"), [(-1, OverflowError), (2**64, OverflowError), ("x", TypeError)]
)
def test_a_term_must_be_64_bits(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        lexical.count_terms(["word"], lexical.TermMemo(lambda _: value))  # type: ignore[arg-type,return-value]


def test_resolve_may_analyse_texts_itself() -> None:
    def by_parts(word: str) -> int:
        if len(word) > 3:
            lexical.count_terms([" ".join(word[:3] + str(i) for i in range(2))], memo)
        return term(word)

    memo = lexical.TermMemo(lambda word: by_parts(word) if len(word) > 4 else term(word), limit=2)
    made = lexical.count_terms(["something else altogether"], memo)
    assert sorted(made[1].tolist()) == sorted(map(term, ["something", "else", "altogether"]))


def test_one_memo_for_many_threads() -> None:
    memo = lexical.TermMemo(term, limit=300)
    batches = [[f"w{i * j % 997} café{i} " * 3 for i in range(200)] for j in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda batch: lexical.count_terms(batch, memo), batches))
    for batch, columns in zip(batches, made, strict=True):
        wanted = twins.count_terms(batch, twins.TermMemo(term))
        for column, wanted_column in zip(columns, wanted, strict=True):
            np.testing.assert_array_equal(column, wanted_column)


@pytest.mark.parametrize("batch", [["a", None], [b"a"], "text", 3])
def test_only_strings(batch: object) -> None:
    with pytest.raises(TypeError):
        lexical.count_terms(batch, lexical.TermMemo(term))  # type: ignore[arg-type]


def test_a_memo_needs_a_function_and_room() -> None:
    with pytest.raises(TypeError, match="callable"):
        lexical.TermMemo(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit"):
        lexical.TermMemo(term, 0)
    with pytest.raises(TypeError):
        lexical.count_terms([], None)  # type: ignore[arg-type]
