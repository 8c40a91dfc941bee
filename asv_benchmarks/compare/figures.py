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


def goals_met(runs: Mapping[str, Any]) -> list[str]:
    """A line for each goal that these runs say something of."""
    lines = []
    for goal in GOALS:
        if goal.contender not in runs or "mem0" not in runs:
            continue
        found = ratio(runs[goal.contender], runs["mem0"], goal.task)
        if found is not None:
            said = "reached" if found.median >= goal.least else "NOT REACHED"
            lines.append(
                f"{goal.contender}, {goal.task}: {found.median:,.2f} x mem0"
                f" ({found.low:,.2f} to {found.high:,.2f}), goal {goal.least:g}: {said}"
            )
    return lines
