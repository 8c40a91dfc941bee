"""Counts of durations in buckets whose width grows with the duration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import ceil

__all__ = ["PERCENTILES", "Histogram"]

#: Name in every report, share of the durations that are not longer.
PERCENTILES = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99_9", 0.999))

_BITS = 5  # 32 buckets from one power of two to the next: within 1.6 % of a bucket's middle
_SHIFTS = 38  # the last power of two: 2**44 ns, almost five hours
_BUCKETS = (_SHIFTS + 2) << _BITS
_LARGEST = (1 << (_SHIFTS + _BITS + 1)) - 1


class Histogram:
    """Durations in whole nanoseconds, in log-linear buckets as HdrHistogram has them.

    A duration of 64 ns or more is kept by its six leading binary digits; shorter ones exactly.
    Count, sum and maximum are exact.

    ``record`` takes no lock.  CPython switches threads at calls and at backward jumps only, and
    there is none between reading and writing a count, so none is lost (a test with many threads
    watches this); without the interpreter lock one might be, which a statistic survives.
    """

    __slots__ = ("counts", "largest", "total")

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS
        self.total = 0  # ns
        self.largest = 0  # ns

    def record(self, duration: int) -> None:
        """Count one duration, in nanoseconds; one below zero counts as zero."""
        shift = duration.bit_length() - (_BITS + 1)
        if shift <= 0:
            shift = 0
            if duration < 0:
                duration = 0
        elif shift > _SHIFTS:
            shift, duration = _SHIFTS, _LARGEST
        self.counts[(shift << _BITS) + (duration >> shift)] += 1
        self.total += duration
        if duration > self.largest:
            self.largest = duration

    def merge(self, other: Histogram) -> None:
        """Add what another one has counted."""
        for i, count in enumerate(other.counts):
            if count:
                self.counts[i] += count
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    @property
    def count(self) -> int:
        return sum(self.counts)

    def percentile(self, share: float) -> float:
        """Nanoseconds that this share of the durations does not exceed; 0 if there are none."""
        return next(self._percentiles([share]))

    def summary(self) -> dict[str, float]:
        """``calls``, ``mean_ms``, the percentiles of ``PERCENTILES`` as ``p50_ms``... and
        ``max_ms``; times in milliseconds, 0 if nothing was counted."""
        count = self.count
        found = self._percentiles([share for _, share in PERCENTILES])
        return {
            "calls": count,
            "mean_ms": self.total / count / 1e6 if count else 0.0,
            **{
                f"{name}_ms": value / 1e6
                for (name, _), value in zip(PERCENTILES, found, strict=True)
            },
            "max_ms": self.largest / 1e6,
        }

    def below(self, powers: Iterable[int]) -> list[int]:
        """How many durations are less than ``2**power`` nanoseconds, for ascending powers."""
        counts = list(self.counts)
        found, done, total = [], 0, 0
        for power in powers:
            end = 1 << power if power <= _BITS else (power - _BITS + 1) << _BITS
            total += sum(counts[done:end])
            done = max(done, end)
            found.append(total)
        return found

    def to_dict(self) -> dict[str, object]:
        """Plain values, for another process."""
        kept = {str(i): count for i, count in enumerate(self.counts) if count}
        return {"counts": kept, "total": self.total, "largest": self.largest}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Histogram:
        """What ``to_dict`` made.

        Raises:
            ValueError: something else.
        """
        made = cls()
        counts, total, largest = values["counts"], values["total"], values["largest"]
        if not (isinstance(counts, Mapping) and type(total) is type(largest) is int):
            raise ValueError(f"not a histogram: {values!r:.80}")
        for i, count in counts.items():
            made.counts[int(i)] = count
        made.total, made.largest = total, largest
        return made

    def _percentiles(self, shares: Iterable[float]) -> Iterator[float]:
        """For ascending shares; from one state of the counts."""
        counts = list(self.counts)
        count = sum(counts)
        i, passed = -1, 0
        for share in shares:
            wanted = min(count, max(1, ceil(share * count)))
            while passed < wanted:
                i += 1
                passed += counts[i]
            yield min(_middle(i), float(self.largest)) if count else 0.0


def _middle(bucket: int) -> float:
    """The middle of what a bucket counts, in nanoseconds."""
    shift = max(0, (bucket >> _BITS) - 1)
    return ((bucket - (shift << _BITS)) << shift) + ((1 << shift) - 1) / 2
