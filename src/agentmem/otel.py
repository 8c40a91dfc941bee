"""OpenTelemetry: the public calls of an open store as durations and spans (``agentmem[otel]``).

Names follow the semantic conventions for database clients, version 1.30.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agentmem.errors import UnsupportedError
from agentmem.memory import Memory

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.trace import Tracer, TracerProvider

    from agentmem.aio import AsyncMemory
    from agentmem.engine import Engine
    from agentmem.telemetry import Call

__all__ = ["instrument"]

_FRESH = 0.5  # seconds; the gauges of one collection come within that
_SYSTEM = {"db.system.name": "agentmem"}
#: Seconds; what the conventions advise begins at 1 ms, and a search takes less.
_BOUNDARIES = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10]
#: Name of an observable gauge to where its value stands in ``stats()``.
_GAUGES = {
    "agentmem.memories": ("store", "memories"),
    "agentmem.database.bytes": ("store", "database_bytes"),
    "agentmem.wal.bytes": ("store", "wal_bytes"),
    "agentmem.readers.in_use": ("store", "readers", "in_use"),
    "agentmem.writes.waiting": ("writes", "waiting"),
    "agentmem.index.bytes": ("index", "bytes"),
    "agentmem.embedder.cache.entries": ("embedder", "cache", "entries"),
    "agentmem.projection.tail": ("projection", "tail"),
}


def instrument(
    memory: Memory | AsyncMemory,
    *,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
) -> Callable[[], None]:
    """Report a store's calls and sizes to OpenTelemetry until the function returned is called.

    Every public call becomes one value of the histogram ``db.client.operation.duration`` and one
    span, a child of the span that is current where the call was made.  Texts, queries and scope
    ids are in neither.  Sizes are read whenever the provider collects.

    Args:
        meter_provider, tracer_provider: the global ones if absent.

    Raises:
        UnsupportedError: the package ``opentelemetry-api`` is not installed, or the store was
            opened with ``telemetry.enabled = false``.
    """
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        raise UnsupportedError(
            "reporting to OpenTelemetry needs its package, which is not installed;"
            " install it with: pip install 'agentmem[otel]'"
        ) from None
    engine = (memory if isinstance(memory, Memory) else memory._memory)._engine
    if not engine.operations.enabled:
        raise UnsupportedError(
            "this store does not record its calls; open it with config.telemetry.enabled = true"
        )
    meter = metrics.get_meter("agentmem", meter_provider=meter_provider)
    calls = _Calls(meter, trace.get_tracer("agentmem", tracer_provider=tracer_provider))
    sizes = _Sizes(engine)
    for name, path in _GAUGES.items():
        meter.create_observable_gauge(name, callbacks=[sizes.observer(path)])
    forget = engine.operations.listen(calls.finished)

    def stop() -> None:
        forget()
        sizes.ended = True

    return stop


class _Calls:
    """A duration and a span for every finished call."""

    def __init__(self, meter: Meter, tracer: Tracer) -> None:
        self._tracer = tracer
        self._durations = meter.create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of the public calls",
            explicit_bucket_boundaries_advisory=_BOUNDARIES,
        )

    def finished(self, call: Call) -> None:
        from opentelemetry.trace import SpanKind, StatusCode

        attributes = {**_SYSTEM, "db.operation.name": call.operation}
        if call.error is not None:
            attributes["error.type"] = type(call.error).__name__
        self._durations.record(call.duration / 1e9, attributes)
        began = time.time_ns() - (time.perf_counter_ns() - call.begin)
        span = self._tracer.start_span(
            f"agentmem {call.operation}",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=began,
        )
        if call.error is not None:
            span.set_status(StatusCode.ERROR, type(call.error).__name__)
        span.end(began + call.duration)


class _Sizes:
    """Figures of ``stats()``, read once for all the gauges of a collection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._stats: Mapping[str, Any] = {}
        self.ended = False

    def observer(self, path: tuple[str, ...]) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def observe(options: CallbackOptions) -> Iterator[Observation]:
            from opentelemetry.metrics import Observation

            value: Any = self._current()
            for name in path:
                value = value.get(name) if isinstance(value, Mapping) else None
            if isinstance(value, int | float):
                yield Observation(value, _SYSTEM)

        return observe

    def _current(self) -> Mapping[str, Any]:
        """None of a closed store or a forked child: a gauge without a value is left out."""
        if self.ended or self._engine.closed or os.getpid() != self._pid:
            return {}
        with self._lock:
            if time.monotonic() - self._read_at >= _FRESH:
                self._stats, self._read_at = self._engine.stats(), time.monotonic()
            return self._stats
