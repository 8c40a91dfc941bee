"""Load on a real store, checked while it runs and afterwards: ``agentmem stress``."""

from __future__ import annotations

from agentmem.stress.plan import KINDS, SCENARIOS, Plan, Scenario
from agentmem.stress.report import Report
from agentmem.stress.runner import run

__all__ = ["KINDS", "SCENARIOS", "Plan", "Report", "Scenario", "run"]
