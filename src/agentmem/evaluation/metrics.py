"""Retrieval measures, as pure functions of one ranking or of scores.

A ranking is a list of labels, best first, each at most once; ``relevant`` is the non-empty set of
labels that should be in it.  Every value lies between 0 and 1.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from math import floor, log2

__all__ = [
    "all_at",
    "any_at",
    "auroc",
    "ndcg_at",
    "percentile",
    "recall_at",
    "reciprocal_rank",
]


def recall_at(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Share of ``relevant`` among the first k (of all of it, even where k is less)."""
    return _hits(ranking, relevant, k) / len(relevant)


def any_at(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """1 if at least one of ``relevant`` is among the first k."""
    return float(_hits(ranking, relevant, k) > 0)


def all_at(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """1 if every one of ``relevant`` is among the first k."""
    return float(_hits(ranking, relevant, k) == len(relevant))


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str]) -> float:
    """1 / rank of the first that is relevant; 0 if none is there (Voorhees 1999)."""
    return next((1 / rank for rank, label in enumerate(ranking, 1) if label in relevant), 0.0)


def ndcg_at(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Normalised discounted cumulative gain with gains of 0 and 1 (Jarvelin & Kekalainen 2002).

    A hit at rank r is worth 1 / log2(r + 1); the sum is divided by that of the best ranking of
    length k.
    """
    gained = sum(
        1 / log2(rank + 1) for rank, label in enumerate(ranking[:k], 1) if label in relevant
    )
    best = sum(1 / log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return gained / best if best else 0.0


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Area under the ROC curve: how often a positive score is above a negative one, equal ones
    counting half (the Mann-Whitney U statistic over its maximum).  None without both kinds."""
    if not positive or not negative:
        return None
    below = sorted(negative)
    wins = sum((bisect_left(below, s) + bisect_right(below, s)) / 2 for s in positive)
    return wins / (len(positive) * len(negative))


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The value that ``percent`` of ``values`` lie below, linear between the nearest two (as
    NumPy's default); None without values."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _hits(ranking: Sequence[str], relevant: Collection[str], k: int) -> int:
    return sum(label in relevant for label in ranking[:k])
