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
    hybrid   both and what stands around m, see ``hybrid``

Nothing here depends on which memories are candidates; filters only mask.
"""

from __future__ import annotations

import threading
from itertools import repeat
from math import log1p
from typing import TYPE_CHECKING

import numpy as np

from agentmem._native import scan
from agentmem.types import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from agentmem.config import RankingConfig
    from agentmem.index.hybrid import Hybrid, Scored
    from agentmem.index.segment import Segment
    from agentmem.index.view import View
    from agentmem.index.whole import Whole
    from agentmem.types import Cues, Scope, SearchMode

__all__ = ["Masks", "masks_of", "rank"]

Masks = list["NDArray[np.uint8] | None"]

#: Rows from which codes are quicker in dense mode, where NumPy works on them.
_CODED_FROM = 8192
#: Keyword scores are positive exactly where a query term occurs.
_POSITIVE = float(np.finfo(np.float32).tiny)


class _Scratch(threading.local):
    """A score buffer of a thread; a fresh one would cost page faults on every large scan."""

    def __init__(self) -> None:
        self._held = np.empty(0, np.float32)

    def take(self, n: int) -> NDArray[np.float32]:
        held = self._held
        if len(held) < n:
            held = np.empty(1 << max(n - 1, 1023).bit_length(), np.float32)
            if len(held) <= 1 << 20:  # a thread keeps at most 4 MiB
                self._held = held
        return held[:n]


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
    hybrid: Hybrid,
    *,
    mode: SearchMode,
    vector: NDArray[np.float32] | None,
    terms: NDArray[np.uint64] | None,
    counts: NDArray[np.uint16] | None,
    masks: Masks,
    top_k: int,
    threshold: float | None,
    explain: bool,
    cues: Cues | None = None,
    at: int | None = None,
    whole: Whole | None = None,
) -> list[Hit]:
    """The best rows for one query, best first, ties by smaller key.

    ``vector`` is ``(dim,)`` normalised (None in keyword mode), ``terms`` are the query's
    distinct terms in ascending order with their ``counts`` (None in dense mode).  ``whole`` is of
    the partition where the view is only a part of it.
    """
    if not view.n:
        return []
    if mode == "hybrid":
        assert vector is not None
        assert terms is not None
        assert counts is not None
        floor = None if threshold is None else _at_least(threshold)
        if whole is None and not explain:
            return hybrid.best(view, vector, terms, counts, cues, at, masks, top_k, floor)
        scored = hybrid.score(view, vector, terms, counts, cues, at, whole)
        return _best_of(view, scored, hybrid, masks, top_k, threshold, explain)
    words: _Words | None = None
    if mode == "keyword":
        if terms is None or counts is None or not len(terms):
            return []
        words = _Words(view, ranking, terms, counts, whole)
        threshold = _POSITIVE if threshold is None else max(threshold, _POSITIVE)
    floor = None if threshold is None else _at_least(threshold)
    hits: list[Hit] = []
    for part, mask in zip(view.parts, masks, strict=True):
        segment = part.segment
        if words is None:
            assert vector is not None
            found, best = _nearest(segment, vector, mask, top_k, floor)
        else:
            scores = _scratch.take(segment.n)
            words.score(segment, scores)
            found, best = scan.top_k(scores, mask, top_k, floor)
        parts = [{str(mode): score} for score in best.tolist()] if explain else None
        hits += _hits(segment, found, best, parts)
    return _merged(hits, len(view.parts), top_k)


def _nearest(
    segment: Segment,
    vector: NDArray[np.float32],
    mask: NDArray[np.uint8] | None,
    top_k: int,
    floor: float | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows by cosine; the codes of a large segment spare most of them the exact product."""
    codes = segment.codes if segment.n >= _CODED_FROM else None
    answer = None if codes is None else codes.best(vector, mask, top_k)
    if answer is None:
        scores = _scratch.take(segment.n)
        scan.dense_scores(segment.rows.vectors, vector, scores)
        return scan.top_k(scores, mask, top_k, floor)
    if floor is None:
        return answer
    found, best = answer
    kept = int(np.count_nonzero(best >= np.float32(floor)))  # best first
    return found[:kept], best[:kept]


def _best_of(
    view: View,
    scored: Scored,
    hybrid: Hybrid,
    masks: Masks,
    top_k: int,
    threshold: float | None,
    explain: bool,
) -> list[Hit]:
    floor = None if threshold is None else _at_least(threshold)
    hits: list[Hit] = []
    begin = 0
    for number, (part, mask) in enumerate(zip(view.parts, masks, strict=True)):
        segment = part.segment
        scores = scored.scores[begin : begin + segment.n]
        begin += segment.n
        found, best = scan.top_k(scores, mask, top_k, floor)
        parts = None
        if explain:
            chosen = zip(found.tolist(), best.tolist(), strict=True)
            parts = [hybrid.explain(scored, number, row, score) for row, score in chosen]
        hits += _hits(segment, found, best, parts)
    return _merged(hits, len(view.parts), top_k)


def _hits(
    segment: Segment,
    found: NDArray[np.int64],
    best: NDArray[np.float32],
    parts: list[dict[str, float]] | None,
) -> Iterator[Hit]:
    keys = segment.keys[found].tolist()
    seqs = segment.rows.seqs[found].tolist()
    return map(Hit, keys, best.tolist(), repeat(None) if parts is None else parts, seqs)


def _merged(hits: list[Hit], parts: int, top_k: int) -> list[Hit]:
    if parts > 1:
        hits.sort(key=_order)
        del hits[top_k:]
    return hits


class _Words:
    """The query's terms with what BM25 multiplies each one's saturation with, so that the sum
    over terms is ``bm25 / bound``."""

    __slots__ = ("_average", "_b", "_k1", "_terms", "_weights")

    def __init__(
        self,
        view: View,
        ranking: RankingConfig,
        terms: NDArray[np.uint64],
        counts: NDArray[np.uint16],
        whole: Whole | None,
    ) -> None:
        self._k1 = ranking.k1
        self._b = ranking.b
        n, length = (view.n, view.length) if whole is None else (whole.n, whole.length)
        self._average = length / n if n else 0.0
        self._terms = terms
        # Plain Python: for the few terms of a question NumPy's calls cost more than the sums.
        df = _document_frequencies(view, terms) if whole is None else whole.df.tolist()
        weights = [
            count * log1p((n - have + 0.5) / (have + 0.5))
            for count, have in zip(counts.tolist(), df, strict=True)
        ]
        # Summed in ascending order of terms: the same bits whatever the segments.  The kernel
        # multiplies by k1 + 1.
        scale = 1.0 / (sum(weights) * (ranking.k1 + 1.0))
        self._weights = np.array([weight * scale for weight in weights], np.float32)

    def score(self, segment: Segment, out: NDArray[np.float32]) -> None:
        """``bm25 / bound`` of every row."""
        segment.postings.bm25(self._terms, self._weights, self._k1, self._b, self._average, out)


def _document_frequencies(view: View, terms: NDArray[np.uint64]) -> list[int]:
    """In how many live rows each term occurs."""
    found: list[list[int]] = [
        part.segment.postings.df(terms, part.live).tolist() for part in view.parts
    ]
    if len(found) == 1:
        return found[0]
    return [sum(df) for df in zip(*found, strict=True)] or [0] * len(terms)


def _order(hit: Hit) -> tuple[float, int]:
    return -hit.score, hit.key


def _at_least(threshold: float) -> float:
    """The smallest float32 that is not below ``threshold``."""
    near = np.float32(threshold)
    if float(near) < threshold:
        near = np.nextafter(near, np.float32(np.inf))
    return float(near)
