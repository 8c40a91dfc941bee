"""What a run uses while it runs: a sample every second or so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, Any

from agentmem.errors import AgentMemError
from agentmem.stress import machine

if TYPE_CHECKING:
    from agentmem.memory import Memory
    from agentmem.stress.drivers import Arrivals
    from agentmem.stress.plan import Phase
    from agentmem.stress.recorder import Recorder

__all__ = ["HIT_RATES", "Monitor", "Sample", "combine"]

_MOST_SAMPLES = 600  # of a phase, so that a day's run stays readable
#: Field of ``Sample`` -> what was asked for and found in a cache, as it is told.
HIT_RATES = {
    "answers_hit": "answers known",
    "partitions_hit": "searched scopes loaded",
    "items_hit": "found memories known",
    "embeddings_hit": "embeddings known",
}
#: What several processes have together is the sum of what each has.
_ADDED_UP = (
    "calls_per_second",
    "errors",
    "processors",
    "rss_bytes",
    "cache_bytes",
    "queue",
    "behind",
    "connections",
    "files",
    "threads",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One process, or all, since the sample before.  Times in milliseconds, sizes in bytes."""

    phase: str
    second: float  # since the phase began, warm-up not counted
    calls_per_second: float
    reads_p50_ms: float
    reads_p99_ms: float
    writes_p50_ms: float
    writes_p99_ms: float
    errors: int  # since the phase began
    processors: float  # kept busy
    rss_bytes: int
    cache_bytes: int  # of them what caches hold: database pages, indexes, vectors, answers
    written_bytes: int | None  # to storage, since the process began
    wal_bytes: int
    database_bytes: int
    queue: int  # calls in the write queue
    behind: int  # calls of an open loop that are due and have not begun
    connections: int  # read connections in use
    files: int  # open
    threads: int
    memories: int
    embeddings_hit: float | None  # share of the texts since the start whose vector was known
    partitions_hit: float | None  # share of the searches whose scope was loaded
    answers_hit: float | None  # share of the searches that were answered before, and are still true
    items_hit: float | None  # share of the memories in answers that were not read from the store

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Monitor:
    """Samples in a thread of its own; ``tell`` hears each of them there."""

    def __init__(
        self,
        memory: Memory,
        recorder: Recorder,
        arrivals: Arrivals | None,
        phase: Phase,
        tell: Callable[[Sample], None] | None,
    ) -> None:
        self.samples: list[Sample] = []
        self._memory, self._recorder, self._arrivals = memory, recorder, arrivals
        self._phase = phase
        self._tell = tell
        self._interval = max(1.0, phase.seconds / _MOST_SAMPLES)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stress-monitor", daemon=True)
        self._last = perf_counter()
        self._busy = machine.processor_seconds()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            self._take()
        self._take()

    def _take(self) -> None:
        now, busy = perf_counter(), machine.processor_seconds()
        passed = max(1e-6, now - self._last)
        processors = (busy - self._busy) / passed
        self._last, self._busy = now, busy
        self._recorder.stalls.look_for_helpers()
        window = self._recorder.take_window()
        reads, writes = window.reads, window.writes
        try:
            stats = self._memory.stats()
        except AgentMemError:  # counted by the workers, who meet it, too
            return
        arrivals, clock = self._arrivals, perf_counter_ns()
        index = stats["index"]
        sample = Sample(
            phase=self._phase.name,
            second=round((clock - self._recorder.since) / 1e9, 3),
            calls_per_second=(reads.count + writes.count) / passed,
            reads_p50_ms=reads.percentile(0.5) / 1e6,
            reads_p99_ms=reads.percentile(0.99) / 1e6,
            writes_p50_ms=writes.percentile(0.5) / 1e6,
            writes_p99_ms=writes.percentile(0.99) / 1e6,
            errors=self._recorder.errors.total(),
            processors=processors,
            rss_bytes=machine.resident_bytes(),
            cache_bytes=_cached(stats),
            written_bytes=machine.disk_written(),
            wal_bytes=stats["store"]["wal_bytes"],
            database_bytes=stats["store"]["database_bytes"],
            queue=stats["writes"]["waiting"],
            behind=0 if arrivals is None else arrivals.behind(clock),
            connections=stats["store"]["readers"]["in_use"],
            files=machine.open_files(),
            threads=machine.running_threads(),
            memories=stats["store"]["memories"],
            embeddings_hit=_hit(stats["embedder"]["cache"]),
            partitions_hit=_share(index["searches"] - index["loads"], index["loads"]),
            answers_hit=_hit(stats["search"]["answers"]),
            items_hit=_hit(stats["search"]["items"]),
        )
        self.samples.append(sample)
        if self._tell is not None:
            self._tell(sample)


def combine(samples: Iterable[Sample]) -> Sample:
    """One sample of those that several processes took at about the same time.

    Rates, memory and queues add up; of percentiles the worst is told; of what belongs to the
    store, the largest that one of them saw.
    """
    parts = list(samples)
    values = parts[0].to_dict()
    for name in _ADDED_UP:
        values[name] = sum(getattr(part, name) for part in parts)
    written = [part.written_bytes for part in parts if part.written_bytes is not None]
    values["written_bytes"] = sum(written) if written else None
    worst = ("reads_p50_ms", "reads_p99_ms", "writes_p50_ms", "writes_p99_ms")
    for name in (*worst, "memories", "database_bytes", "wal_bytes"):
        values[name] = max(getattr(part, name) for part in parts)
    for name in HIT_RATES:
        shares = [value for part in parts if (value := getattr(part, name)) is not None]
        values[name] = sum(shares) / len(shares) if shares else None
    return Sample(**values)


def _cached(stats: dict[str, Any]) -> int:
    """Bytes in caches.  All are bounded; pages of a growing database fill theirs slowly."""
    held = (stats["embedder"]["cache"], stats["index"], *stats["search"].values())
    return int(stats["store"]["sqlite_bytes"] + sum(cache["bytes"] for cache in held))


def _hit(cache: dict[str, int]) -> float | None:
    return _share(cache["hits"], cache["misses"])


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest > 0 else None
