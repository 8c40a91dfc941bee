"""Words of texts and how often they occur."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem._native.lexical import LONE_BLOCKS

__all__ = ["TermMemo", "count_terms", "fold", "words_of"]


def fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join([c for c in decomposed if not unicodedata.combining(c)])


def _is_word(c: str) -> bool:
    return c.isalnum() or unicodedata.category(c)[0] == "M"


def _is_lone(c: str) -> bool:
    return _is_word(c) and any(low <= ord(c) <= high for low, high in LONE_BLOCKS)


def words_of(text: str) -> Iterator[str]:
    """The words of a text, in order; ``lexical`` says what they are."""
    folded = fold(text)
    i = 0
    while i < len(folded):
        start = i
        if _is_lone(folded[i]):
            i += 1
            yield folded[start]
            if i < len(folded) and _is_lone(folded[i]):
                yield folded[start : i + 1]
            continue
        while i < len(folded) and _is_word(folded[i]) and not _is_lone(folded[i]):
            i += 1
        if i == start:
            i += 1
            continue
        yield folded[start:i][:64]
        if folded[i : i + 2] in ("'s", "\u2019s") and not any(map(_is_word, folded[i + 2 : i + 3])):
            i += 2


class TermMemo:
    def __init__(self, resolve: Callable[[str], int], limit: int = 262144) -> None:
        self._resolve = resolve
        self._limit = limit
        self._terms: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._terms)

    def term(self, word: str) -> int:
        known = self._terms.get(word)
        if known is None:
            known = self._resolve(word)
            if len(self._terms) >= self._limit:
                self._terms.clear()
            self._terms[word] = known
        return known


def count_terms(
    texts: Sequence[str], memo: TermMemo
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint16], NDArray[np.uint32]]:
    found = [Counter(map(memo.term, words_of(text))) for text in texts]
    rows = [sorted((t, min(c, 65535)) for t, c in counter.items() if t) for counter in found]
    return (
        np.cumsum([0, *map(len, rows)], dtype=np.int64),
        np.array([term for row in rows for term, _ in row], np.uint64),
        np.array([count for row in rows for _, count in row], np.uint16),
        np.array([sum(count for _, count in row) for row in rows], np.uint32),
    )
