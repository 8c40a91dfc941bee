"""Calls arrive in the real OpenTelemetry SDK, as durations and as spans."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentmem import AsyncMemory, Memory, ScopeError, UnsupportedError
from agentmem.otel import instrument


class Sdk:
    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider(metric_readers=[self.reader])
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def providers(self) -> dict[str, Any]:
        return {"meter_provider": self.meters, "tracer_provider": self.tracers}

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def spans(self) -> list[Any]:
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    made = Sdk()
    yield made
    made.meters.shutdown()
    made.tracers.shutdown()


def test_a_call_is_a_duration_and_a_span(memory: Memory, sdk: Sdk) -> None:
    stop = instrument(memory, **sdk.providers)
    with sdk.tracers.get_tracer("test").start_as_current_span("request"):
        memory.add("Ann likes tea", user_id="ann")
    with pytest.raises(ScopeError):
        memory.search("tea")
    by_name = {
        p.attributes["db.operation.name"]: p for p in sdk.points("db.client.operation.duration")
    }
    assert by_name["add"].count == by_name["search"].count == 1
    assert by_name["search"].attributes["error.type"] == "ScopeError"
    took = memory.stats()["operations"]["add"]
    assert by_name["add"].sum == pytest.approx(took["max_ms"] / 1000)
    added, request, searched = sdk.spans()[:3]
    assert [added.name, request.name, searched.name] == [
        "agentmem add",
        "request",
        "agentmem search",
    ]
    assert added.parent.span_id == request.context.span_id
    assert request.start_time <= added.start_time < added.end_time <= request.end_time
    assert searched.status.status_code.name == "ERROR"
    said = [str({**span.attributes}) for span in sdk.spans()]
    assert not any("tea" in text or "ann" in text for text in said)
    stop()


def test_sizes_are_gauges_until_the_store_is_closed(store_path: Path, sdk: Sdk) -> None:
    with Memory(store_path, embedder="static") as memory:
        memory.add_batch(["one", "two", "three"], user_id="ann")
        instrument(memory, **sdk.providers)
        (point,) = sdk.points("agentmem.memories")
        assert point.value == 3
        assert sdk.points("agentmem.readers.in_use")
    assert sdk.points("agentmem.memories") == []


def test_after_stop_nothing_more_arrives(memory: Memory, sdk: Sdk) -> None:
    stop = instrument(memory, **sdk.providers)
    memory.count(user_id="ann")
    stop()
    memory.count(user_id="ann")
    assert [p.count for p in sdk.points("db.client.operation.duration")] == [1]
    assert len(sdk.spans()) == 1
    assert sdk.points("agentmem.memories") == []


def test_tasks_have_spans_of_their_own_parents(store_path: Path, sdk: Sdk) -> None:
    tracer = sdk.tracers.get_tracer("test")

    async def main() -> None:
        async with AsyncMemory(store_path, embedder="static") as memory:
            instrument(memory, **sdk.providers)

            async def one(i: int) -> None:
                with tracer.start_as_current_span(f"request {i}"):
                    await memory.add(f"note {i}", user_id="ann")

            await asyncio.gather(*(one(i) for i in range(10)))

    asyncio.run(main())
    spans = sdk.spans()
    requests = {s.context.span_id for s in spans if s.name.startswith("request")}
    assert {s.parent.span_id for s in spans if s.name == "agentmem add"} == requests
    assert len(requests) == 10


def test_a_store_that_does_not_record_cannot_be_instrumented(store_path: Path, sdk: Sdk) -> None:
    off = {"telemetry": {"enabled": False}}
    with (
        Memory(store_path, embedder="static", config=off) as memory,
        pytest.raises(UnsupportedError, match=r"telemetry\.enabled"),
    ):
        instrument(memory, **sdk.providers)


def test_without_the_package_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from agentmem import Memory, UnsupportedError\n"
        "from agentmem.otel import instrument\n"
        "with Memory(':memory:', embedder='static') as memory:\n"
        "    try:\n"
        "        instrument(memory)\n"
        "    except UnsupportedError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "agentmem[otel]" in done.stdout
