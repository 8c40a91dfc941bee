"""A second opinion: scores computed one memory at a time, in plain Python, from the texts.

Vocabulary, stems and stop words of the texts made here are known by hand, so nothing of the
analyzer, the kernels or the index takes part.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

#: word -> stem; "" for a stop word.
VOCABULARY = {
    "running": "run",
    "runs": "run",
    "cats": "cat",
    "cat": "cat",
    "house": "hous",
    "houses": "hous",
    "the": "",
    "and": "",
    "lisbon": "lisbon",
    "surfing": "surf",
    "surf": "surf",
    "moved": "move",
    "march": "march",
    "teacher": "teacher",
    "teachers": "teacher",
    "guitar": "guitar",
    "red": "red",
    "was": "",
    "piano": "piano",
    "zurich": "zurich",
    "2023": "2023",
    "mondays": "monday",
}


@dataclass(frozen=True)
class Known:
    """A memory as the brute-force evaluator knows it."""

    key: int
    text: str
    vector: np.ndarray  # as stored


def stems(text: str) -> Counter[str]:
    return Counter(s for word in text.lower().split() if (s := VOCABULARY[word]))


class BruteForce:
    """The formulas of ``index.scoring``, in float64, memory by memory."""

    def __init__(self, dense_weight: float, keyword_weight: float, k1: float, b: float) -> None:
        self.dense_weight = dense_weight
        self.keyword_weight = keyword_weight
        self.k1 = k1
        self.b = b

    def scores(
        self, partition: list[Known], text: str, vector: np.ndarray | None, mode: str
    ) -> dict[int, dict[str, float]]:
        """The parts of every memory's score.  In keyword mode only memories with a term."""
        bags = {m.key: stems(m.text) for m in partition}
        asked = stems(text)
        n = len(partition)
        mean = sum(sum(bag.values()) for bag in bags.values()) / n if n else 0.0
        idf = {}
        for stem in asked:
            df = sum(stem in bag for bag in bags.values())
            idf[stem] = math.log(1 + (n - df + 0.5) / (df + 0.5))
        bound = sum(count * idf[stem] * (self.k1 + 1) for stem, count in asked.items())
        found: dict[int, dict[str, float]] = {}
        for m in partition:
            bag = bags[m.key]
            size = sum(bag.values())
            keyword = 0.0
            for stem, count in asked.items():
                tf = bag[stem]
                if tf:
                    ratio = size / mean if mean else 0.0
                    weight = tf * (self.k1 + 1) / (tf + self.k1 * (1 - self.b + self.b * ratio))
                    keyword += count * idf[stem] * weight / bound
            parts: dict[str, float] = {}
            if mode != "keyword":
                assert vector is not None
                cosine = float(np.dot(m.vector.astype(np.float64), vector.astype(np.float64)))
                parts["dense"] = cosine * (self.dense_weight if mode == "hybrid" else 1.0)
            if mode != "dense":
                if mode == "keyword" and not any(bag[stem] for stem in asked):
                    continue
                parts["keyword"] = keyword * (self.keyword_weight if mode == "hybrid" else 1.0)
            found[m.key] = parts
        return found


@pytest.fixture
def brute_force() -> type[BruteForce]:
    return BruteForce


@pytest.fixture
def known() -> type[Known]:
    return Known


@pytest.fixture
def vocabulary() -> list[str]:
    return sorted(VOCABULARY)
