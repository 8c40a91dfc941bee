"""Answers put together into figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from agentmem.evaluation import metrics

if TYPE_CHECKING:
    from agentmem.evaluation.cases import Question
    from agentmem.types import SearchMode

__all__ = ["MEASURES", "Evaluation", "Outcome", "Packed"]

#: Name to function, of those that depend on k; in the order in which they are shown.
MEASURES = {
    "recall": metrics.recall_at,
    "any": metrics.any_at,
    "all": metrics.all_at,
    "ndcg": metrics.ndcg_at,
}


@dataclass(frozen=True, slots=True)
class Packed:
    """What ``Memory.context`` made of one question."""

    labels: frozenset[str]  # of the memories in it
    tokens: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question."""

    question: Question
    collection: str
    ranking: list[str]  # labels, best first
    score: float | None  # of the best hit; None: there was no hit
    support: float  # see ``Memory.search``
    seconds: float
    tokens: list[int]  # of each memory found, best first
    all_tokens: int  # of all memories of the collection in the question's scope
    others: int = 0  # memories in the question's scope that are not of the collection
    packed: Packed | None = None  # where a context was asked for


@dataclass(slots=True)
class Evaluation:
    """All answers of a run, and how long it took."""

    depth: int
    mode: SearchMode
    collections: int = 0
    memories: int = 0
    added: int = 0  # of those, the ones that were not in the store before
    left_out: int = 0
    ingest_seconds: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def answerable(self) -> list[Outcome]:
        """The questions that have an answer: those that ranks are judged by."""
        return [outcome for outcome in self.outcomes if outcome.question.relevant]

    @property
    def unanswerable(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if not outcome.question.relevant]

    def summary(self, ks: Sequence[int]) -> dict[str, Any]:
        """Everything as one dictionary of plain values; measures between 0 and 1.

        Args:
            ks: ranks to judge at, none of them above ``depth``.
        """
        judged = self.answerable
        categories = sorted({outcome.question.category for outcome in judged} - {""})
        return {
            "mode": self.mode,
            "collections": self.collections,
            "memories": self.memories,
            "questions": len(judged),
            "unanswerable": len(self.unanswerable),
            "left_out": self.left_out,
            "others": {
                "questions": sum(outcome.others > 0 for outcome in self.outcomes),
                "most": max((outcome.others for outcome in self.outcomes), default=0),
            },
            "overall": measured(judged, ks),
            "categories": {
                name: measured([o for o in judged if o.question.category == name], ks)
                for name in categories
            },
            "abstention_auroc": self.abstention(),
            "tokens": self._tokens(ks),
            "context": self._context(),
            "ingest": {
                "added": self.added,
                "seconds": round(self.ingest_seconds, 3),
                "rate": round(self.added / self.ingest_seconds, 1) if self.ingest_seconds else None,
            },
            "search_ms": self._latency(),
        }

    def abstention(self) -> float | None:
        """How well ``support`` tells questions with an answer from those without (AUROC)."""
        sides = [[o.support for o in side] for side in (self.answerable, self.unanswerable)]
        return _rounded(metrics.auroc(*sides))

    def details(self) -> list[dict[str, Any]]:
        """One dictionary per question: what was asked, and at which rank each answer came."""
        return [
            {
                "collection": outcome.collection,
                "question": outcome.question.text,
                "category": outcome.question.category,
                "ranks": {
                    label: outcome.ranking.index(label) + 1 if label in outcome.ranking else None
                    for label in sorted(outcome.question.relevant)
                },
                "score": outcome.score,
                "support": outcome.support,
                "ms": round(outcome.seconds * 1000, 3),
            }
            for outcome in self.outcomes
        ]

    def _latency(self) -> dict[str, Any]:
        taken = [outcome.seconds * 1000 for outcome in self.outcomes]
        found = {f"p{p}": _rounded(metrics.percentile(taken, p)) for p in (50, 95, 99)}
        return {"top_k": self.depth, **found}

    def _context(self) -> dict[str, Any] | None:
        """Of contexts as large as a share of the question's scope: the part of the answers that is
        in them, by category too, and the part of the scope's tokens that they spare."""
        judged = [(o, o.packed) for o in self.answerable if o.packed is not None and o.all_tokens]
        if not judged:
            return None
        kept: dict[str, list[float]] = {"": []}
        for outcome, packed in judged:
            relevant = outcome.question.relevant
            share = len(relevant & packed.labels) / len(relevant)
            for name in {"", outcome.question.category}:
                kept.setdefault(name, []).append(share)
        return {
            "tokens": round(fmean(packed.tokens for _, packed in judged), 1),
            "saved": _rounded(fmean(1 - packed.tokens / o.all_tokens for o, packed in judged)),
            "kept": _rounded(fmean(kept.pop(""))),
            "categories": {name: _rounded(fmean(kept[name])) for name in sorted(kept)},
        }

    def _tokens(self, ks: Sequence[int]) -> dict[str, Any] | None:
        """Mean tokens of a question's whole scope and of its first k memories."""
        judged = self.answerable
        whole = fmean(o.all_tokens for o in judged) if judged else 0.0
        if not whole:
            return None
        first = {k: fmean(sum(o.tokens[:k]) for o in judged) for k in ks}
        return {
            "collection": round(whole, 1),
            **{f"first@{k}": round(tokens, 1) for k, tokens in first.items()},
            **{f"saved@{k}": _rounded(1 - tokens / whole) for k, tokens in first.items()},
        }


def measured(outcomes: Sequence[Outcome], ks: Sequence[int]) -> dict[str, Any]:
    """Means over ``outcomes``: ``{"questions", "recall@5", ..., "mrr"}``; None without any."""
    found: dict[str, Any] = {"questions": len(outcomes)}
    for name, measure in MEASURES.items():
        for k in ks:
            values = [measure(o.ranking, o.question.relevant, k) for o in outcomes]
            found[f"{name}@{k}"] = _rounded(fmean(values)) if values else None
    values = [metrics.reciprocal_rank(o.ranking, o.question.relevant) for o in outcomes]
    found["mrr"] = _rounded(fmean(values)) if values else None
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
