"""What ``metrics`` returns is what Prometheus' own parser reads, and agrees with ``stats``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from agentmem import AsyncMemory, Memory, ScopeError


def parsed(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.fixture
def used(memory: Memory) -> Memory:
    memory.add("Ann likes tea", user_id="ann")
    for _ in range(5):
        memory.search("tea", user_id="ann")
    with pytest.raises(ScopeError):
        memory.search("tea")
    return memory


def samples(metric: Metric, **labels: str) -> dict[str, float]:
    found = [s for s in metric.samples if labels.items() <= s.labels.items()]
    return {s.name + s.labels.get("le", ""): s.value for s in found}


def test_durations_are_a_histogram_of_the_calls(used: Memory) -> None:
    families = parsed(used.metrics())
    durations = families["agentmem_operation_duration_seconds"]
    assert durations.type == "histogram"
    search = samples(durations, operation="search")
    prefix = "agentmem_operation_duration_seconds"
    assert search[f"{prefix}_count"] == search[f"{prefix}_bucket+Inf"] == 6
    limits = [value for name, value in search.items() if "_bucket" in name]
    assert limits == sorted(limits)
    assert limits[0] < limits[-1]
    took = used.stats()["operations"]["search"]
    assert search[f"{prefix}_sum"] == pytest.approx(took["mean_ms"] * 6 / 1000)
    longest = families["agentmem_operation_duration_max_seconds"]
    assert samples(longest, operation="search") == {
        "agentmem_operation_duration_max_seconds": pytest.approx(took["max_ms"] / 1000)
    }


def test_errors_are_counted_by_operation_and_class(used: Memory) -> None:
    errors = parsed(used.metrics())["agentmem_operation_errors"]
    assert errors.type == "counter"
    assert samples(errors, operation="search", error="ScopeError") == {
        "agentmem_operation_errors_total": 1
    }


def numbers(values: Mapping[str, Any], prefix: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= numbers(value, f"{prefix}{name}_")
        elif isinstance(value, int | float):
            found[f"{prefix}{name}"] = value
    return found


def test_every_number_of_stats_is_a_sample(used: Memory) -> None:
    used.flush()
    stats = used.stats()
    del stats["operations"]
    families = parsed(used.metrics())
    missing = {}
    for name, value in numbers(stats, "agentmem_").items():
        family = families.get(name)
        if family is None or family.samples[0].value != value:
            missing[name] = value
    assert missing == {}
    assert families["agentmem_writes_calls"].type == "counter"
    assert families["agentmem_store_memories"].type == "gauge"


def test_a_name_with_quotes_and_newlines_stays_one_label(store_path: Path) -> None:
    class Odd:
        dim = 4
        name = 'a "b"\\\nc'

        def embed(self, texts: list[str]) -> list[list[float]]:
            return [[1.0, 0.0, 0.0, float(len(text))] for text in texts]

    with Memory(store_path, embedder=Odd()) as memory:
        info = parsed(memory.metrics())["agentmem_info"].samples[0]
        assert info.labels["embedder"] == memory.stats()["embedder"]["name"]
        assert info.value == 1


def test_async_memory_has_the_same(store_path: Path) -> None:
    async def main() -> str:
        async with AsyncMemory(store_path, embedder="static") as memory:
            await memory.add("Ann likes tea", user_id="ann")
            return await memory.metrics()

    durations = parsed(asyncio.run(main()))["agentmem_operation_duration_seconds"]
    assert samples(durations, operation="add")["agentmem_operation_duration_seconds_count"] == 1
