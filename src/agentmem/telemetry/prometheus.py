"""Figures of an open store in the text format that Prometheus reads (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentmem.telemetry.operations import Operations

__all__ = ["render"]

_POWERS = range(13, 36)  # 8 us to 34 s; powers of two are limits of a histogram's own buckets

#: What only grows while the store is open; everything else with a number is a gauge.
_COUNTERS = frozenset(
    {
        "embedder_cache_hits",
        "embedder_cache_misses",
        "embedder_cache_repeats",
        "embedder_cache_stored",
        "embedder_cache_evictions",
        "writes_groups",
        "writes_calls",
        "index_searches",
        "index_loads",
        "index_evictions",
        "index_tails",
        "index_stale",
        *(f"search_{kept}_{what}" for kept in ("items", "answers") for what in ("hits", "misses")),
        "projection_rows",
        "projection_seconds",
        "projection_background_drains",
        "projection_rebuilds",
        "projection_failures",
        "projection_indexes_builds",
        "projection_indexes_failures",
    }
)
#: Told as labels of ``agentmem_info``, or told by the histograms.
_ELSEWHERE = frozenset({"operations"})


def render(stats: Mapping[str, Any], operations: Operations, version: str) -> str:
    """The text of one scrape.

    Args:
        stats: of ``Memory.stats``; every number in it becomes a sample named by where it stands,
            ``stats()["index"]["rows"]`` as ``agentmem_index_rows``.
    """
    lines = ["# HELP agentmem_info The open store.", "# TYPE agentmem_info gauge"]
    about = {"version": version, "embedder": stats["embedder"]["name"]}
    lines.append(f"agentmem_info{_labels(about)} 1")
    for name, value in _numbers(stats, ""):
        counter = name in _COUNTERS
        full = f"agentmem_{name}_total" if counter else f"agentmem_{name}"
        lines.append(f"# TYPE {full} {'counter' if counter else 'gauge'}")
        lines.append(f"{full} {_number(value)}")
    lines += _durations(operations)
    lines += _errors(operations)
    return "\n".join(lines) + "\n"


def _numbers(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        full = f"{prefix}{name}"
        if full in _ELSEWHERE:
            continue
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{full}_")
        elif isinstance(value, int | float):
            yield full, value


def _durations(operations: Operations) -> Iterator[str]:
    name = "agentmem_operation_duration_seconds"
    yield f"# HELP {name} Duration of the public calls, failed ones too."
    yield f"# TYPE {name} histogram"
    longest = []
    for operation, histogram in list(operations.histograms.items()):
        count = histogram.count  # what is counted meanwhile belongs to the next scrape
        for power, below in zip(_POWERS, histogram.below(_POWERS), strict=True):
            labels = _labels({"operation": operation, "le": _number(2**power / 1e9)})
            yield f"{name}_bucket{labels} {min(below, count)}"
        labels = _labels({"operation": operation})
        yield f"{name}_bucket{_labels({'operation': operation, 'le': '+Inf'})} {count}"
        yield f"{name}_sum{labels} {_number(histogram.total / 1e9)}"
        yield f"{name}_count{labels} {count}"
        longest.append(f"{labels} {_number(histogram.largest / 1e9)}")
    name = "agentmem_operation_duration_max_seconds"
    yield f"# HELP {name} The longest call since the store was opened."
    yield f"# TYPE {name} gauge"
    for line in longest:
        yield f"{name}{line}"


def _errors(operations: Operations) -> Iterator[str]:
    name = "agentmem_operation_errors_total"
    yield f"# HELP {name} Calls that raised, by the class of the error."
    yield f"# TYPE {name} counter"
    for (operation, error), calls in sorted(operations.errors.items()):
        yield f"{name}{_labels({'operation': operation, 'error': error})} {calls}"


def _labels(pairs: Mapping[str, str]) -> str:
    """``{name="value",...}`` with what the format wants escaped."""
    shown = []
    for name, value in pairs.items():
        safe = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        shown.append(f'{name}="{safe}"')
    return "{" + ",".join(shown) + "}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
