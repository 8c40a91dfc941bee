"""The best memories of a shelf: candidates by several ways, then exact scores for those alone.

Candidates are the rows whose words score highest (``by_words``), the rows nearest to the query's
vector (``by_vector``), and in hybrid mode whatever stands in a run with one of them.  They are then
ranked by the code that ranks a partition in memory (``scoring``), with the statistics of the whole
partition, so a score does not depend on how its memory became a candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agentmem.index.by_vector import nearest
from agentmem.index.by_words import ByWords
from agentmem.index.question import Found, Inquiry
from agentmem.index.scoring import masks_of, rank
from agentmem.index.view import EMPTY
from agentmem.types import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agentmem.config import RankingConfig
    from agentmem.index.beside import Beside
    from agentmem.index.hybrid import Hybrid
    from agentmem.index.question import Masks, Question, Sift
    from agentmem.index.shelf import Holding, Shelf
    from agentmem.ports import Analyzer
    from agentmem.types import Hit

__all__ = ["Finder"]

_WORDS = 512  # candidates by words
_NEAREST = 256  # and by vector
_FILTERED = 8  # times as many where a filter is still to be asked
_ROWS = 2_048  # rows of the candidates' runs that are scored
_ENOUGH = 8  # candidates that a filter must leave for each result
_TOGETHER = 100_000  # rows from which words and vectors are searched at the same time
_STRETCH = 32  # bits of a slot in a number for a stretch


@dataclass(frozen=True, slots=True)
class _Candidates:
    words: Found
    near: Found


class Finder:
    """How one configuration finds.  Safe on any thread."""

    def __init__(
        self, ranking: RankingConfig, hybrid: Hybrid, analyzer: Analyzer, beside: Beside
    ) -> None:
        self._ranking = ranking
        self._hybrid = hybrid
        self._by_words = ByWords(ranking, hybrid, analyzer)
        self._by_vector = hybrid.by_vector
        self._beside = beside

    def find(
        self,
        shelf: Shelf,
        asked: Question,
        *,
        scopes: NDArray[np.int64] | None,
        sift: Sift | None,
        everything: Callable[[], NDArray[np.int64]],
    ) -> list[Hit]:
        """The best rows for one query, best first, ties by smaller key.

        Args:
            scopes: ascending numbers of the scopes that may be answered; None for all.
            sift: what a filter lets through of some keys, None without a filter; ``everything``
                are the keys of the whole partition that it lets through.
        """
        if not shelf.n or (asked.mode == "keyword" and not asked.words):
            return []
        inquiry = Inquiry.of(shelf, asked)
        masks = [_mask(holding, asked.now, scopes) for holding in shelf.holdings]
        if sift is None:
            found = self._candidates(inquiry, masks)
            return self._rank(inquiry, masks, found)
        found = self._candidates(inquiry, masks, times=_FILTERED)
        kept = _sifted(shelf, asked, found, sift)
        if kept is not None:
            return self._rank(inquiry, masks, kept, sift)
        # Too few of the best pass: ask for all that pass, and find the best among them.
        allowed = everything()
        masks = [
            _only(holding, mask, allowed)
            for holding, mask in zip(shelf.holdings, masks, strict=True)
        ]
        found = self._candidates(inquiry, masks)
        return self._rank(inquiry, masks, found)

    def _candidates(self, inquiry: Inquiry, masks: Masks, times: int = 1) -> _Candidates:
        shelf, asked = inquiry.shelf, inquiry.asked

        def by_words() -> Found:
            return self._by_words.find(inquiry, masks, times * max(_WORDS, 4 * asked.top_k))

        def by_vector() -> Found:
            return nearest(shelf, asked, masks, times * max(_NEAREST, 4 * asked.top_k))

        if asked.terms is None:
            return _Candidates(Found.nothing(), by_vector())
        if asked.vector is None:
            return _Candidates(by_words(), Found.nothing())
        if shelf.n < _TOGETHER:
            return _Candidates(by_words(), by_vector())
        return _Candidates(*self._beside.both(by_words, by_vector))

    def _rank(
        self, inquiry: Inquiry, masks: Masks, found: _Candidates, sift: Sift | None = None
    ) -> list[Hit]:
        """Exact scores of the candidates and what stands around them, and the best of those."""
        shelf, asked = inquiry.shelf, inquiry.asked
        view, allowed = EMPTY, []
        scope = 0
        by_vector = self._by_vector if asked.mode == "hybrid" else None
        most = max(_ROWS, 16 * asked.top_k)
        for number, (starts, ends) in enumerate(_stretches(shelf, found, by_vector, most)):
            if len(starts):
                rows, slots = shelf.holdings[number].volume.take(
                    starts, ends, asked.words, inquiry.terms[number], first_scope=scope
                )
                scope += len(starts)
                view = view.adding(rows)
                mask = masks[number]
                allowed.append(rows.keys if mask is None else rows.keys[mask[slots] == 1])
        if not allowed:
            return []
        keys = None
        if sift is not None or any(mask is not None for mask in masks):
            keys = np.sort(np.concatenate(allowed))
        return rank(
            view,
            self._ranking,
            self._hybrid,
            mode=asked.mode,
            vector=asked.vector,
            terms=asked.terms,
            counts=asked.counts,
            masks=masks_of(
                view,
                scope=Scope(),
                now=None,
                allowed=keys if sift is None or keys is None else sift(keys),
            ),
            top_k=asked.top_k,
            threshold=asked.threshold,
            explain=asked.explain,
            cues=asked.cues,
            at=asked.at,
            whole=inquiry.whole,
        )


def _mask(
    holding: Holding, now: int | None, scopes: NDArray[np.int64] | None
) -> NDArray[np.uint8] | None:
    """Per slot 1 where it may be answered; None where all may."""
    volume = holding.volume
    mask = holding.live_slots
    if now is not None and volume.first_expiry <= now:
        alive = (volume.expires_at > now).view(np.uint8)
        mask = alive if mask is None else mask & alive
    if scopes is not None:
        inside = np.isin(volume.scopes, scopes)
        if not inside.all():
            fits = np.repeat(inside, np.diff(volume.starts)).view(np.uint8)
            mask = fits if mask is None else mask & fits
    return mask


def _only(
    holding: Holding, mask: NDArray[np.uint8] | None, allowed: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """The mask without the rows whose keys are not ``allowed``."""
    chosen = np.zeros(holding.volume.n, np.uint8)
    chosen[holding.volume.find(allowed)] = 1
    return chosen if mask is None else mask & chosen


def _sifted(shelf: Shelf, asked: Question, found: _Candidates, sift: Sift) -> _Candidates | None:
    """What a filter leaves; None where that may not hold the best of all that it would leave."""
    keys = np.concatenate([_keys(shelf, found.words), _keys(shelf, found.near)])
    kept = np.isin(keys, sift(np.unique(keys)))
    split = len(found.words.slots)
    words, near = found.words.take(kept[:split]), found.near.take(kept[split:])
    need = min(_ENOUGH * max(asked.top_k, _ENOUGH), shelf.n)
    if asked.terms is not None and words.below.any() and len(words.slots) < need:
        return None
    if asked.vector is not None and len(near.slots) < need:
        return None
    return _Candidates(words, near)


def _keys(shelf: Shelf, found: Found) -> NDArray[np.int64]:
    keys = np.empty(len(found.slots), np.int64)
    for number, holding in enumerate(shelf.holdings):
        here = found.numbers == number
        keys[here] = holding.volume.keys[found.slots[here]]
    return keys


def _stretches(
    shelf: Shelf, found: _Candidates, by_vector: float | None, most: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Per holding the first slots (ascending) and the ends of what is to be scored.

    Without ``by_vector`` these are the candidates themselves.  With it, the weight of a cosine
    among the scores by words, they are runs, about ``most`` rows in all: those that can have the
    highest scores, as far as the candidates tell.
    """
    if by_vector is None:
        names = np.concatenate([_rows_of(found.words), _rows_of(found.near)])
        sizes = np.ones(len(names), np.int64)
    else:
        names, sizes = _runs(shelf, found, by_vector, most)
    chosen = []
    for number in range(len(shelf.holdings)):
        here = names >> _STRETCH == number
        first = names[here] & ((1 << _STRETCH) - 1)
        order = np.argsort(first)
        chosen.append((first[order], (first + sizes[here])[order]))
    return chosen


def _runs(
    shelf: Shelf, found: _Candidates, by_vector: float, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The runs to score, by holding and first slot, and how many slots each has."""
    words, near = found.words, found.near
    first = np.concatenate([_heads(shelf, words), _heads(shelf, near)])
    names, which = np.unique(first, return_inverse=True)
    scores = np.zeros(len(names), np.float32)
    for part, weight, mine in (
        (words, 1.0, which[: len(words.slots)]),
        (near, by_vector, which[len(words.slots) :]),
    ):
        if not len(mine):
            continue
        best = part.below[names >> _STRETCH]
        best[mine[::-1]] = part.scores[::-1]  # of several the first stays, which is the best
        scores += np.float32(weight) * best
    order = np.argsort(-scores, kind="stable")
    names = names[order]
    sizes = np.empty(len(names), np.int64)
    for number, holding in enumerate(shelf.holdings):
        here = names >> _STRETCH == number
        starts = holding.volume.starts
        head = (names[here] & ((1 << _STRETCH) - 1)).astype(np.int32)
        sizes[here] = starts[np.searchsorted(starts, head) + 1] - head
    kept = max(1, int(np.searchsorted(np.cumsum(sizes), most, side="right")))
    return names[:kept], sizes[:kept]


def _rows_of(found: Found) -> NDArray[np.int64]:
    """Each row as one number, holding above slot."""
    return (found.numbers << _STRETCH) | found.slots


def _heads(shelf: Shelf, found: Found) -> NDArray[np.int64]:
    """The first row of each one's run."""
    first = found.slots.copy()
    for number, holding in enumerate(shelf.holdings):
        here = found.numbers == number
        volume = holding.volume
        first[here] = volume.starts[volume.runs_of(found.slots[here])]
    return (found.numbers << _STRETCH) | first
