"""Scores of one partition's memories for one query, and the best of them.

BM25 (Robertson & Zaragoza 2009) with Lucene's never-negative idf, over the live rows of the
partition: for a query with distinct terms t, each occurring q_t times,

    idf(t)  = ln(1 + (N - df_t + 0.5) / (df_t + 0.5))
    bm25(m) = sum over t of q_t idf(t) tf (k1 + 1) / (tf + k1 (1 - b + b len_m / mean len))
    bound   = sum over t of q_t idf(t) (k1 + 1)          so 0 <= bm25 / bound < 1

A term that no memory of the partition holds counts in the bound with the idf of df = 0: a
question about something unknown then scores low although one of its other words occurs, which
is what makes a threshold mean the same from query to query.  A query without any term (only
stop words) has a keyword score of 0.

    dense    cosine(query, m)
    keyword  bm25(m) / bound
    hybrid   dense_weight * cosine(query, m) + keyword_weight * bm25(m) / bound

Nothing here depends on which memories are candidates; filters only mask.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from agentmem._native import scan
from agentmem.types import Hit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agentmem.config import RankingConfig
    from agentmem.index.view import View
    from agentmem.types import Scope, SearchMode

__all__ = ["Masks", "masks_of", "rank"]

Masks = list["NDArray[np.uint8] | None"]

#: Keyword scores are positive exactly where a query term occurs.
_POSITIVE = float(np.finfo(np.float32).tiny)


class _Scratch(threading.local):
    """Score buffers of a thread; fresh ones would cost page faults on every large scan."""

    def __init__(self) -> None:
        self._held = (np.empty(0, np.float32), np.empty(0, np.float32))

    def pair(self, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        first, second = self._held
        if len(first) < n:
            size = 1 << max(n - 1, 1023).bit_length()
            first, second = np.empty(size, np.float32), np.empty(size, np.float32)
            if size <= 1 << 20:  # a thread keeps at most 8 MiB
                self._held = (first, second)
        return first[:n], second[:n]


_scratch = _Scratch()


def masks_of(
    view: View, *, scope: Scope, now: int | None, allowed: NDArray[np.int64] | None
) -> Masks:
    """Per part, 1 for the rows that may be answered; None where all may."""
    masks: Masks = []
    for part in view.parts:
        segment = part.segment
        mask = part.live
        if now is not None and segment.first_expiry <= now:
            mask = _both(mask, (segment.rows.expires_at > now).view(np.uint8))
        if scope:
            mask = _both(mask, segment.scope_mask(scope))
        if allowed is not None:
            chosen = np.zeros(segment.n, np.uint8)
            chosen[segment.find(allowed)] = 1
            mask = _both(mask, chosen)
        masks.append(mask)
    return masks


def _both(a: NDArray[np.uint8] | None, b: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    if a is None:
        return b
    return a if b is None else a & b


def rank(
    view: View,
    ranking: RankingConfig,
    *,
    mode: SearchMode,
    vector: NDArray[np.float32] | None,
    terms: NDArray[np.uint64] | None,
    counts: NDArray[np.uint16] | None,
    masks: Masks,
    top_k: int,
    threshold: float | None,
    explain: bool,
) -> list[Hit]:
    """The best rows for one query, best first, ties by smaller key.

    ``vector`` is ``(dim,)`` normalised (None in keyword mode), ``terms`` are the query's
    distinct terms in ascending order with their ``counts`` (None in dense mode).
    """
    weights: NDArray[np.float32] | None = None
    if terms is not None and counts is not None and len(terms):
        share = ranking.keyword_weight if mode == "hybrid" else 1.0
        weights = _term_weights(view, terms, counts, ranking.k1, share)
    if mode == "keyword":
        if weights is None:
            return []
        threshold = _POSITIVE if threshold is None else max(threshold, _POSITIVE)
    if vector is not None and mode == "hybrid":
        vector = vector * np.float32(ranking.dense_weight)
    floor = None if threshold is None else _at_least(threshold)
    average = view.length / view.n if view.n else 0.0
    hits: list[Hit] = []
    for part, mask in zip(view.parts, masks, strict=True):
        segment = part.segment
        scores, spare = _scratch.pair(segment.n)
        if vector is not None:
            scan.dense_scores(segment.rows.vectors, vector, scores)
        if weights is not None:
            words = scores if vector is None else spare
            segment.postings.bm25(terms, weights, ranking.k1, ranking.b, average, words)
            if vector is not None:
                np.add(scores, words, out=scores)
        found, best = scan.top_k(scores, mask, top_k, floor)
        keys = segment.keys[found].tolist()
        if explain:
            by_words = None if weights is None else (best if vector is None else words[found])
            hits += _explained(keys, best, by_words, mode)
        else:
            hits += map(Hit, keys, best.tolist())
    if len(view.parts) > 1:
        hits.sort(key=_order)
        del hits[top_k:]
    return hits


def _order(hit: Hit) -> tuple[float, int]:
    return -hit.score, hit.key


def _term_weights(
    view: View,
    terms: NDArray[np.uint64],
    counts: NDArray[np.uint16],
    k1: float,
    share: float,
) -> NDArray[np.float32]:
    """What BM25 multiplies each term's saturation with, so that the sum is
    ``share * bm25 / bound``.  The kernel itself multiplies by k1 + 1."""
    df = sum(part.segment.postings.df(terms, part.live) for part in view.parts)
    weights = counts * np.log1p((view.n - df + 0.5) / (df + 0.5))
    # In ascending order of terms, one after another: the same bits for the same partition.
    bound = sum(weights.tolist()) * (k1 + 1.0)
    return (weights * (share / bound)).astype(np.float32)


def _at_least(threshold: float) -> float:
    """The smallest float32 that is not below ``threshold``."""
    near = np.float32(threshold)
    if float(near) < threshold:
        near = np.nextafter(near, np.float32(np.inf))
    return float(near)


def _explained(
    keys: Sequence[int],
    scores: NDArray[np.float32],
    by_words: NDArray[np.float32] | None,
    mode: SearchMode,
) -> list[Hit]:
    """Hits with their parts, which add up to the score."""
    words = [0.0] * len(keys) if by_words is None else by_words.tolist()
    hits = []
    for key, score, word in zip(keys, scores.tolist(), words, strict=True):
        parts = {}
        if mode != "keyword":
            parts["dense"] = score - word
        if mode != "dense":
            parts["keyword"] = word
        hits.append(Hit(key, score, parts))
    return hits
