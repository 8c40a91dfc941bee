"""What the calls of an open store cost: counters, latency histograms, logs, text for Prometheus.

Modules of this package know no other part of the library but its settings.
"""

from __future__ import annotations

from agentmem.telemetry.histogram import Histogram
from agentmem.telemetry.logs import JsonFormatter
from agentmem.telemetry.operations import Call, Operations

__all__ = ["Call", "Histogram", "JsonFormatter", "Operations"]
