"""Text to keyword terms: segmentation and folding (native), stop words, stemming, hashing."""

from __future__ import annotations

import threading
from hashlib import blake2b
from typing import TYPE_CHECKING

import Stemmer

from agentmem._native import lexical
from agentmem.index.recipe import RECIPE, STOP_WORDS
from agentmem.types import TermBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EnglishAnalyzer"]

_RESERVED = frozenset((0, 2**64 - 1))  # "no term", and an empty slot of a hash table


class EnglishAnalyzer:
    """Words of any script; English stop words out, English (Snowball) stems.

    Words of other languages are folded the same way in memories and in queries, so they match
    at least by words.  A term is the first eight bytes (big-endian) of the BLAKE2b-64 digest
    of its stem.  Safe on any thread.
    """

    recipe = RECIPE

    def __init__(self) -> None:
        # The native memo remembers every word's term, so the stemmer's own cache is off.
        self._stemmer = Stemmer.Stemmer("english", 0)
        self._stemming = threading.Lock()  # PyStemmer objects are not thread-safe
        self._memo = lexical.TermMemo(self._resolve)

    def analyze(self, texts: Sequence[str]) -> TermBatch:
        """The distinct terms of each text with their counts.

        Raises:
            UnicodeEncodeError: a text with a lone surrogate.
        """
        offsets, terms, counts, lengths = lexical.count_terms(texts, self._memo)
        return TermBatch(offsets, terms, counts, lengths)

    def clear(self) -> None:
        """Forget the words met so far; a purged text may have had them alone."""
        self._memo = lexical.TermMemo(self._resolve)

    def stats(self) -> dict[str, int]:
        """Words whose terms are remembered, at most 262,144, and the bytes they take."""
        return {"entries": len(self._memo), "bytes": self._memo.nbytes}

    def _resolve(self, word: str) -> int:
        """The term of one folded word, 0 for a stop word.  Called once per new word."""
        if word in STOP_WORDS:
            return 0
        with self._stemming:
            stem: str = self._stemmer.stemWord(word)
        term = int.from_bytes(blake2b(stem.encode(), digest_size=8).digest(), "big")
        return 1 if term in _RESERVED else term
