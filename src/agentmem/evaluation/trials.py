"""Rankings compared, and what the choice among them is worth on collections it was not made on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from agentmem.evaluation.metrics import recall_at
from agentmem.evaluation.report import Evaluation

__all__ = ["HeldOut", "held_out"]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Recall where each collection is searched with what is best for all the others."""

    recall: float
    chosen: dict[str, str]  # collection to the name of a trial


def held_out(trials: Mapping[str, Evaluation], k: int) -> HeldOut | None:
    """Leave one collection out, choose the trial with the best recall@k on the questions of the
    others (the first of equals), and measure it there; each in turn.

    Args:
        trials: of the same collections, by name; the first is what counts as the default.

    Returns:
        None for fewer than two collections that can be judged.
    """
    found: dict[str, dict[str, list[float]]] = {}  # collection, trial, questions
    for name, evaluation in trials.items():
        for outcome in evaluation.answerable:
            recall = recall_at(outcome.ranking, outcome.question.relevant, k)
            found.setdefault(outcome.collection, {}).setdefault(name, []).append(recall)
    if len(found) < 2:
        return None
    chosen: dict[str, str] = {}
    measured: list[float] = []
    for left_out, there in found.items():
        others = [rest for collection, rest in found.items() if collection != left_out]
        chosen[left_out] = max(
            trials, key=lambda name: fmean([value for rest in others for value in rest[name]])
        )
        measured += there[chosen[left_out]]
    return HeldOut(fmean(measured), chosen)
