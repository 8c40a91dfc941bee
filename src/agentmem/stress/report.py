"""What a run found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agentmem.stress.monitor import Sample
from agentmem.stress.plan import Phase
from agentmem.stress.recorder import Recorder
from agentmem.stress.trend import trends
from agentmem.telemetry import Histogram

__all__ = ["PhaseResult", "Report"]


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """One phase: rates, latencies and errors of each operation and of all, and the samples."""

    name: str
    rate: float | None  # calls a second that were to begin; None: closed loop
    seconds: float
    per_second: float
    operations: dict[str, dict[str, Any]]  # see ``Recorder.summary``
    all: dict[str, Any]
    stalls: dict[str, Any]  # see ``stalls.merged``
    trends: dict[str, dict[str, Any]]  # see ``trend.trends``
    samples: list[dict[str, Any]]

    @classmethod
    def of(
        cls, phase: Phase, seconds: float, recorder: Recorder, samples: Sequence[Sample]
    ) -> PhaseResult:
        together = Histogram()
        for histogram in recorder.histograms.values():
            together.merge(histogram)
        errors: dict[str, int] = {}
        for (_, kind), n in recorder.errors.items():
            errors[kind] = errors.get(kind, 0) + n
        calls = recorder.calls
        told = [sample.to_dict() for sample in samples]
        return cls(
            name=phase.name,
            rate=phase.rate,
            seconds=seconds,
            per_second=calls / seconds,
            operations=recorder.summary(seconds),
            all={
                **together.summary(),
                "per_second": calls / seconds,
                "errors": errors,
                "error_rate": sum(errors.values()) / calls if calls else 0.0,
                "timeouts": recorder.timeouts.total(),
            },
            stalls=recorder.stalled(),
            trends=trends(told),
            samples=told,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """A run, as ``agentmem stress --json`` prints it."""

    plan: dict[str, Any]
    machine: dict[str, Any]
    begun: str  # ISO 8601, UTC
    phases: list[PhaseResult]
    checks: dict[str, Any]  # see ``Checks.to_dict``
    final: dict[str, Any]  # of the store opened anew: memories, lost, problems

    @property
    def ok(self) -> bool:
        """No check was violated.  Errors of calls are told, and are not violations."""
        return not self.checks["violations"]

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n", "utf-8")
