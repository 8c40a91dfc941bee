"""The rows of a shelf whose words, people and dates score highest: complete, and the same numbers
as ``scoring`` and ``hybrid`` but for rounding and for what vectors say."""

from __future__ import annotations

from math import ceil, log1p
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem.index.calendar import fade_of, spans
from agentmem.index.layout import length_part
from agentmem.index.question import Found
from agentmem.types import Cues

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.config import RankingConfig
    from agentmem.index.hybrid import Hybrid
    from agentmem.index.question import Inquiry, Masks, Question
    from agentmem.index.volume import Volume
    from agentmem.index.whole import Whole
    from agentmem.ports import Analyzer

__all__ = ["ByWords"]


class ByWords:
    """How one configuration finds by words."""

    def __init__(self, ranking: RankingConfig, hybrid: Hybrid, analyzer: Analyzer) -> None:
        self._ranking = ranking
        self._hybrid = hybrid
        self._analyzer = analyzer
        self._keyword_only = np.zeros(8, np.float32)
        self._keyword_only[1] = 1.0

    def find(self, inquiry: Inquiry, masks: Masks, room: int) -> Found:
        """The best ``room`` rows, and some more, that a word of the question is in, or in hybrid
        mode near."""
        asked, whole = inquiry.asked, inquiry.whole
        assert asked.counts is not None
        hybrid = asked.mode == "hybrid"
        counts = asked.counts.tolist()
        own = _shares(counts, whole.n, whole.df)
        in_runs = _shares(counts, whole.runs, whole.run_df)
        names = set(asked.cues.names) if hybrid and asked.cues is not None else set()
        familiar = [
            term in names and 10 * df >= whole.n
            for term, df in zip(asked.words, whole.df.tolist(), strict=True)
        ]
        parts: list[Found] = []
        floor = 0.0  # what a holding before has so many better rows than is of no use
        for number, holding in enumerate(inquiry.shelf.holdings):
            lists = zip(inquiry.terms[number], own, in_runs, familiar, strict=True)
            best, scores = holding.volume.texts.best(
                [(*term, a, b, name) for term, a, b, name in lists if len(term.slots)],
                self._hybrid.weights if hybrid else self._keyword_only,
                self._ranking.k1,
                self._ranking.b,
                whole.means,
                room,
                live=holding.live,
                mask=masks[number],
                floor=floor,
                **(self._beside(holding.volume, asked, whole) if hybrid else {}),
            )
            if len(scores) == room:
                floor = max(floor, float(scores[-1]))
            parts.append(Found.of(number, scores, best, floor))
        return Found.best(parts)

    def _beside(self, volume: Volume, asked: Question, whole: Whole) -> dict[str, Any]:
        """What a hybrid score has besides words and vectors."""
        mean = whole.means[0]
        lengths = np.arange(ceil(4 * mean) + 2, dtype=np.uint32)
        made: dict[str, Any] = {"length_part": length_part(lengths, mean)}
        if volume.actor_names and self._ranking.actor_weight:
            made["asked"] = volume.asked(asked.words, self._analyzer)
        cues = asked.cues or Cues()
        if (cues.dates or cues.spans) and self._hybrid.date_weight and volume.n:
            found = spans(cues, *volume.times)
            made["spans"] = np.array(found, np.int64).reshape(-1)
            made["fade"] = fade_of(self._ranking.date_days)
            made["date"] = self._hybrid.date_weight
        extras = self._hybrid.undated(volume.event_at, volume.importance, asked.at)
        if extras:
            made["extra"] = sum(extras.values())
        return made


def _shares(counts: list[int], n: int, df: NDArray[np.int32]) -> list[float]:
    """What each term's saturation is multiplied with, so that the sum is BM25 over its bound."""
    weights = [
        count * log1p((n - have + 0.5) / (have + 0.5))
        for count, have in zip(counts, df.tolist(), strict=True)
    ]
    total = sum(weights)
    return [weight / total for weight in weights]
