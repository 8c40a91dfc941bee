"""Whether what a long run uses stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["trends"]

#: What is measured -> the share of its mean, and the amount, within which a change is none.
_MEASURED = {
    "rss_bytes": (0.01, 2 << 20),
    "cache_bytes": (0.01, 2 << 20),
    "rest_bytes": (0.01, 2 << 20),
    "wal_bytes": (0.2, 4 << 20),
    "files": (0.02, 1.0),
    "threads": (0.02, 1.0),
}
_SHORTEST = 30.0  # seconds of the second half; a shorter run says nothing
_FEWEST = 10  # samples in it


def trends(samples: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of the second half of a phase, without its warm-up: per field ``per_hour`` (the slope of the
    line that lies nearest to the samples), ``mean``, and ``verdict``: "flat", "growing" or
    "shrinking", by what the line changes in that time.  Nothing of a phase under a minute.

    ``rest_bytes`` is what is resident beside the caches.  Those have bounds and may take long to
    fill, since a database grows with its history; the rest has no reason to grow.
    """
    counted = [sample for sample in samples if sample["second"] >= 0]
    half = counted[len(counted) // 2 :]
    if len(half) < _FEWEST or half[-1]["second"] - half[0]["second"] < _SHORTEST:
        return {}
    seconds = [sample["second"] for sample in half]
    found = {}
    for name, (share, amount) in _MEASURED.items():
        values = [_value(sample, name) for sample in half]
        mean = sum(values) / len(values)
        slope = _slope(seconds, values)
        change = slope * (seconds[-1] - seconds[0])
        flat = abs(change) <= max(share * mean, amount)
        verdict = "flat" if flat else "growing" if change > 0 else "shrinking"
        found[name] = {"per_hour": 3600 * slope, "mean": mean, "verdict": verdict}
    return found


def _value(sample: dict[str, Any], name: str) -> float:
    if name == "rest_bytes":
        return float(sample["rss_bytes"] - sample["cache_bytes"])
    return float(sample[name])


def _slope(at: Sequence[float], values: Sequence[float]) -> float:
    """By least squares, a second."""
    middle, mean = sum(at) / len(at), sum(values) / len(values)
    spread = sum((x - middle) ** 2 for x in at)
    return sum((x - middle) * (y - mean) for x, y in zip(at, values, strict=True)) / spread
