"""Medians, ratios and their spread, from the figures of every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

__all__ = ["GOALS", "Goal", "Spread", "goals_met", "ratio", "spread"]

Runs = Sequence[Mapping[str, float]]

#: Of these less is better, so a ratio is turned round.
_LESS = frozenset({"import", "class", "first", "memory", "disk"})


class Spread(NamedTuple):
    """The median of some runs, and the least and the most."""

    median: float
    low: float
    high: float


def spread(runs: Runs, task: str) -> Spread | None:
    """Of what was measured; None: it was not."""
    return _of([run[task] for run in runs if task in run])


def ratio(runs: Runs, base: Runs, task: str) -> Spread | None:
    """How many times better than ``base``, round by round: runs of one round had the same machine
    around them."""
    pairs = [
        (a[task], b[task]) for a, b in zip(runs, base, strict=False) if task in a and task in b
    ]
    return _of([b / a if task in _LESS else a / b for a, b in pairs])


def _of(values: Sequence[float]) -> Spread | None:
    return Spread(median(values), min(values), max(values)) if values else None


class Goal(NamedTuple):
    """What a contender is to reach, as a ratio to mem0."""

    contender: str
    task: str
    least: float


GOALS = (
    Goal("agentmem minilm-fp32", "add", 1.4),
    Goal("agentmem minilm-fp32", "batch", 2.5),
    Goal("agentmem minilm-fp32", "threads", 2.5),
    Goal("agentmem minilm", "add", 3),
    Goal("agentmem minilm", "batch", 5.5),
    Goal("agentmem minilm", "threads", 5.5),
    Goal("agentmem static", "batch", 70),
    Goal("agentmem minilm", "repeat", 100),
    Goal("agentmem minilm", "import", 15),
)


#: Points of recall@10 on LoCoMo that the default model is to be above mem0.
RECALL_GOAL = 30


def goals_met(runs: Mapping[str, Any], judged: Mapping[str, Any]) -> list[str]:
    """A line for each goal that these say something of.

    Args:
        runs: of the part with texts, by contender.
        judged: summaries of LoCoMo, by contender.
    """
    lines = []
    for goal in GOALS:
        if goal.contender not in runs or "mem0" not in runs:
            continue
        found = ratio(runs[goal.contender], runs["mem0"], goal.task)
        if found is not None:
            lines.append(
                f"{goal.contender}, {goal.task}: {found.median:,.2f} x mem0"
                f" ({found.low:,.2f} to {found.high:,.2f}), goal {goal.least:g}:"
                f" {_reached(found.median >= goal.least)}"
            )
    if {"mem0", "agentmem minilm"} <= judged.keys():
        ours, theirs = (judged[n]["overall"]["recall@10"] for n in ("agentmem minilm", "mem0"))
        points = 100 * (ours - theirs)
        lines.append(
            f"agentmem minilm, LoCoMo recall@10: {points:+.1f} points, goal +{RECALL_GOAL}:"
            f" {_reached(points >= RECALL_GOAL)}"
        )
    return lines


def _reached(whether: bool) -> str:
    return "reached" if whether else "NOT REACHED"
