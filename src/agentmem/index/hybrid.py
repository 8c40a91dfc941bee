"""The hybrid score: a weighted mean of what a memory's vector and words say, of what stands
around it in its run, of who said it and when.

    part         at most 1; what it is
    dense        cosine(query, m)
    keyword      BM25 of m's text over the query's bound
    window       BM25 of m's text with those at most ``window`` before and after it in its run,
                 with the idf and the bound of single texts
    neighbours   (dense + keyword) of the texts just before and just after, as weighted above
    run_keyword  BM25 of m's run as one text, among runs as documents
    run_dense    the highest cosine in m's run
    actor        1 if the query names who said m, or, where nobody is known to have said it, if
                 m has a name in the query that at least a tenth of the memories have
    date         how well ``event_at`` fits a date in the query (``calendar``)
    length       ln(1 + length / mean length) / ln 5, at most 1
    recency      half as much every ``recency_days`` since ``event_at``
    importance   as it was given, 0 where it was not

``score`` is the sum of weight times part over the sum of the weights.  All parts are computed
over the whole partition before anything is masked; expired and filtered memories still stand
around others, deleted ones do not.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem._native.answers import hits
from agentmem.index.layout import Layout
from agentmem.times import now_micros
from agentmem.types import Hit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agentmem.config import RankingConfig
    from agentmem.index.view import View
    from agentmem.index.whole import Whole
    from agentmem.ports import Analyzer
    from agentmem.types import Cues

__all__ = ["Hybrid", "Scored"]

_DAY = 86_400_000_000


class _Scratch(threading.local):
    """Room to work in; fresh memory would cost page faults on every large search."""

    def __init__(self) -> None:
        self._held = np.empty(0, np.float32)

    def take(self, size: int) -> NDArray[np.float32]:
        """``size`` or more."""
        held = self._held
        if len(held) < size:
            held = np.empty(size + size // 4, np.float32)
            if size <= 1 << 21:  # a thread keeps at most 10 MiB
                self._held = held
        return held


_scratch = _Scratch()


@dataclass(slots=True)
class Scored:
    """Scores of all rows, part after part; valid until this thread's next hybrid search."""

    scores: NDArray[np.float32]
    layout: Layout
    work: NDArray[np.float32]  # see ``Conversation.score``
    asked: NDArray[np.uint8] | None  # per actor 1 where the query names it
    extras: dict[str, NDArray[np.float32]]  # parts with their weight, per slot


class Hybrid:
    """How one configuration scores."""

    def __init__(self, ranking: RankingConfig, analyzer: Analyzer) -> None:
        self._ranking = ranking
        self._analyzer = analyzer
        total = (
            ranking.dense_weight
            + ranking.keyword_weight
            + ranking.window_weight
            + 2 * ranking.neighbour_weight
            + ranking.run_keyword_weight
            + ranking.run_dense_weight
            + ranking.actor_weight
            + ranking.date_weight
            + ranking.length_weight
            + ranking.recency_weight
            + ranking.importance_weight
        )
        shares = [
            ranking.dense_weight,
            ranking.keyword_weight,
            ranking.window_weight,
            ranking.neighbour_weight,
            ranking.run_keyword_weight,
            ranking.run_dense_weight,
            ranking.actor_weight,
            ranking.length_weight,
        ]
        self._weights = np.array([share / total for share in shares], np.float32)
        self._date = ranking.date_weight / total
        self._recency = ranking.recency_weight / total
        self._importance = ranking.importance_weight / total

    @property
    def weights(self) -> NDArray[np.float32]:
        """Of the parts that the kernels compute, summing to at most 1 with the others."""
        return self._weights

    @property
    def by_vector(self) -> float:
        """The most that a cosine can weigh in the score of a text that has it: by itself, as the
        highest of its run, and in what both neighbours are worth if theirs are as high."""
        weights: list[float] = self._weights.tolist()
        dense, keyword, _, neighbour, _, run_dense, _, _ = weights
        both = dense + keyword
        beside = 2 * neighbour * dense / both if both else 0.0
        return dense + run_dense + beside

    @property
    def date_weight(self) -> float:
        """Of the part ``date``, on the same scale."""
        return self._date

    def undated(
        self, event_at: NDArray[np.int64], importance: NDArray[np.float32], at: int | None
    ) -> dict[str, NDArray[np.float32]]:
        """The parts, with their weight, that depend on nothing that is asked."""
        extras = {}
        if self._recency:
            now = now_micros() if at is None else at
            age = np.maximum(now - event_at, 0) / _DAY
            part = np.exp2(-age / self._ranking.recency_days).astype(np.float32)
            extras["recency"] = part * np.float32(self._recency)
        if self._importance:
            part = np.nan_to_num(importance, nan=0.0)
            extras["importance"] = part * np.float32(self._importance)
        return extras

    def best(
        self,
        view: View,
        vector: NDArray[np.float32],
        terms: NDArray[np.uint64],
        counts: NDArray[np.uint16],
        cues: Cues | None,
        at: int | None,
        masks: Sequence[NDArray[np.uint8] | None],
        top_k: int,
        threshold: float | None,
    ) -> list[Hit]:
        """The best rows of a view that has at least one live row, best first, ties by smaller key:
        those that ``score`` gives the highest scores, with these scores, in one native call."""
        layout = self._layout(view, None)
        conversation = layout.conversation
        names, asked, extra = self._what_else(layout, terms, cues, self._extras(layout, cues, at))
        keys, scores, seqs = conversation.best(
            vector,
            terms,
            counts,
            names,
            asked,
            extra,
            self._weights,
            self._ranking.k1,
            self._ranking.b,
            _scratch.take(conversation.work_size),
            masks,
            top_k,
            threshold,
        )
        return hits(Hit, keys, scores, seqs)

    def score(
        self,
        view: View,
        vector: NDArray[np.float32],
        terms: NDArray[np.uint64],
        counts: NDArray[np.uint16],
        cues: Cues | None,
        at: int | None,
        whole: Whole | None = None,
    ) -> Scored:
        """Every row of a view that has at least one live row; ``whole`` is of the partition where
        the view holds only some of its runs."""
        layout = self._layout(view, whole)
        conversation = layout.conversation
        size = conversation.work_size
        held = _scratch.take(size + conversation.rows)
        work, scores = held[:size], held[size : size + conversation.rows]
        extras = self._extras(layout, cues, at)
        names, asked, extra = self._what_else(layout, terms, cues, extras)
        conversation.score(
            vector,
            terms,
            counts,
            names,
            asked,
            extra,
            self._weights,
            self._ranking.k1,
            self._ranking.b,
            work,
            scores,
            None if whole is None else (whole.n, whole.runs, whole.df, whole.run_df),
        )
        return Scored(scores, layout, work, asked, extras)

    def _what_else(
        self,
        layout: Layout,
        terms: NDArray[np.uint64],
        cues: Cues | None,
        extras: dict[str, NDArray[np.float32]],
    ) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None, NDArray[np.float32] | None]:
        """Which terms are names, which actors are asked for, and what is to be added per slot."""
        names = None
        if cues is not None and cues.names and layout.anonymous:
            names = np.array([term in cues.names for term in terms.tolist()], np.uint8)
        extra: Any = sum(extras.values()) if extras else None
        return names, self._asked(layout, terms), extra

    def explain(self, scored: Scored, part: int, row: int, score: float) -> dict[str, float]:
        """The parts of one row's score that have a weight; they add up to it."""
        slot = int(scored.layout.slots[part][row])
        parts = self._weighted(scored, slot)
        for name, values in scored.extras.items():
            parts[name] = float(values[slot])
        kept = {
            name: parts.get(name, 0.0)
            for name, weight in (
                ("dense", self._ranking.dense_weight),
                ("keyword", self._ranking.keyword_weight),
                ("window", self._ranking.window_weight),
                ("neighbours", self._ranking.neighbour_weight),
                ("run_keyword", self._ranking.run_keyword_weight),
                ("run_dense", self._ranking.run_dense_weight),
                ("actor", self._ranking.actor_weight),
                ("date", self._ranking.date_weight),
                ("length", self._ranking.length_weight),
                ("recency", self._ranking.recency_weight),
                ("importance", self._ranking.importance_weight),
            )
            if weight
        }
        # The kernel adds in float32: what rounding left goes to the first part.
        first = next(iter(kept))
        kept[first] += score - sum(kept.values())
        return kept

    def _weighted(self, scored: Scored, slot: int) -> dict[str, float]:
        layout, work = scored.layout, scored.work
        n, runs = layout.n, len(layout.starts) - 1
        run = int(np.searchsorted(layout.starts, slot, side="right")) - 1
        weights: list[float] = self._weights.tolist()
        dense, keyword, window, neighbour, run_keyword, run_dense, actor, length = weights

        def own(at: int) -> float:
            return dense * float(work[at]) + keyword * float(work[n + at])

        beside = [slot - 1] if slot > layout.starts[run] else []
        beside += [slot + 1] if slot + 1 < layout.starts[run + 1] else []
        share = neighbour / (dense + keyword) if dense + keyword else 0.0
        said = layout.actors[slot]
        by_actor = scored.asked is not None and bool(scored.asked[said])
        return {
            "dense": dense * float(work[slot]),
            "keyword": keyword * float(work[n + slot]),
            "window": window * float(work[2 * n + slot]),
            "neighbours": share * sum(own(at) for at in beside),
            "run_keyword": run_keyword * float(work[4 * n + run]),
            "run_dense": run_dense * float(work[4 * n + runs + run]),
            "actor": actor * (float(by_actor) if said else float(work[3 * n + slot])),
            "length": length * float(layout.length_part[slot]),
        }

    def _layout(self, view: View, whole: Whole | None) -> Layout:
        """Two threads may both make it; either one will do."""
        if whole is not None:
            return Layout(view, self._analyzer, self._ranking.window, whole)
        made = view.derived.get("layout")
        if made is None:
            made = view.derived["layout"] = Layout(view, self._analyzer, self._ranking.window)
        assert isinstance(made, Layout)
        return made

    def _asked(self, layout: Layout, terms: NDArray[np.uint64]) -> NDArray[np.uint8] | None:
        if not layout.n_actors or not self._ranking.actor_weight:
            return None
        known = layout.actor_terms
        found = [actor for term in terms.tolist() if term in known for actor in known[term]]
        if not found:
            return None
        asked = np.zeros(layout.n_actors + 1, np.uint8)
        asked[found] = 1
        return asked

    def _extras(
        self, layout: Layout, cues: Cues | None, at: int | None
    ) -> dict[str, NDArray[np.float32]]:
        extras = {}
        if self._date and cues is not None and (cues.dates or cues.spans):
            part = layout.dates(cues, self._ranking.date_days)
            extras["date"] = part * np.float32(self._date)
        if self._recency or self._importance:
            columns = layout.column("event_at"), layout.column("importance")
            extras.update(self.undated(*columns, at))
        return extras
