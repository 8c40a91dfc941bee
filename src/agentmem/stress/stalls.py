"""What calls spend their time with, and the slowest of them.

Of every call is known how late it began, what its own thread computed, how long that thread was
ready and had no processor (Linux tells), and how long garbage was collected meanwhile.  The rest
are locks, the interpreter's among them, and the disk.  That costs some microseconds a call.
"""

from __future__ import annotations

import ctypes
import gc
import heapq
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from agentmem.telemetry import Histogram

__all__ = ["PARTS", "Mark", "Stalls", "merged"]

#: Of a call's time.  They do not overlap, but that the collector runs in some thread.
PARTS = ("late", "computing", "no_processor", "collecting", "rest")

_KEPT = 10  # of the slowest calls
_LOOKED = 256  # calls of an operation after which its slow ones are defined anew
_SLOW = 0.99  # share of the calls that are not slow
_BUCKET = 0.98  # a percentile is the middle of a bucket; the shortest that it counts, over that
_LONGEST_ACCOUNT = 100  # bytes; three numbers of 64 bits
_OURS = "agentmem-"  # beginning of the names of the library's threads


@dataclass(frozen=True, slots=True)
class Mark:
    """What the counters said when a call began."""

    at: int
    own: int  # processor time of this thread, ns
    ready: int  # ns that this thread has waited for a processor
    collected: int
    process: int  # processor time of all threads
    helpers: tuple[tuple[str, int, int], ...]  # name, clock and time of the library's threads


class _Slow:
    """Sums over the slow calls of one operation."""

    def __init__(self) -> None:
        self.histogram = Histogram()
        self.until_look = _LOOKED
        self.threshold: float = float("inf")
        self.calls = 0
        self.sums = dict.fromkeys((*PARTS, "ms"), 0.0)


class Stalls:
    """Of one phase in one process.  Any thread may call; ``watch`` while it goes on."""

    def __init__(self, threads: bool = True) -> None:
        """``threads``: calls have threads of their own; False: they share one, whose times say
        nothing about a call."""
        self._threads = threads
        self._local = threading.local()
        self._lock = threading.Lock()
        self._slow: dict[str, _Slow] = {}
        self._slowest: list[tuple[float, int, dict[str, Any]]] = []  # a heap
        self._number = 0
        self._helpers: tuple[tuple[str, int], ...] = ()
        self.pauses = Histogram()  # of the garbage collector
        self._collected = 0
        self._collecting = 0

    # -- while it goes on -----------------------------------------------------------------

    def start(self) -> None:
        self.look_for_helpers()
        gc.callbacks.append(self._on_collector)

    def stop(self) -> None:
        gc.callbacks.remove(self._on_collector)

    def look_for_helpers(self) -> None:
        """Find the library's threads; now and then, for they come and go."""
        if self._threads and sys.platform == "linux":
            self._helpers = tuple(
                (thread.name.removeprefix(_OURS), (~thread.native_id << 3) | 6)
                for thread in threading.enumerate()
                if thread.name.startswith(_OURS) and thread.native_id is not None
            )

    def mark(self) -> Mark:
        """A call begins."""
        if not self._threads:
            return Mark(perf_counter_ns(), 0, 0, self._collected, 0, ())
        helpers = tuple((name, clock, _time_of(clock)) for name, clock in self._helpers)
        return Mark(
            perf_counter_ns(),
            time.thread_time_ns(),
            self._ready(),
            self._collected,
            time.process_time_ns(),
            helpers,
        )

    def ended(self, operation: str, intended: int, mark: Mark, end: int, since: int) -> None:
        """The call that was to begin at ``intended`` and began at ``mark`` is done; ``since`` is
        when the phase began, all by ``perf_counter_ns``."""
        duration = end - intended
        slow = self._slow.get(operation)
        if slow is None:
            slow = self._slow.setdefault(operation, _Slow())
        slow.histogram.record(duration)
        slow.until_look -= 1
        if slow.until_look <= 0:
            slow.until_look = _LOOKED
            slow.threshold = _BUCKET * slow.histogram.percentile(_SLOW)
        kept = self._slowest
        is_slow = duration >= slow.threshold
        if not is_slow and len(kept) == _KEPT and duration / 1e6 <= kept[0][0]:
            return
        parts = self._parts(intended, mark, end)
        with self._lock:
            if is_slow:
                slow.calls += 1
                slow.sums["ms"] += duration / 1e6
                for name in PARTS:
                    slow.sums[name] += parts[name]
            self._number += 1
            told = {
                "operation": operation,
                "second": round((mark.at - since) / 1e9, 3),
                "ms": duration / 1e6,
                **parts,
                **self._meanwhile(mark),
            }
            add = heapq.heappush if len(kept) < _KEPT else heapq.heappushpop
            add(kept, (duration / 1e6, self._number, told))

    def _parts(self, intended: int, mark: Mark, end: int) -> dict[str, float]:
        """Milliseconds."""
        took = end - mark.at
        collecting = min(took, self._collected - mark.collected)
        computing = ready = 0
        if self._threads:
            computing = min(took, time.thread_time_ns() - mark.own)
            ready = min(took - computing, self._ready() - mark.ready)
        rest = max(0, took - computing - ready - collecting)
        values = (mark.at - intended, computing, ready, collecting, rest)
        return {name: value / 1e6 for name, value in zip(PARTS, values, strict=True)}

    def _meanwhile(self, mark: Mark) -> dict[str, Any]:
        """What others in this process computed, in milliseconds."""
        if not self._threads:
            return {}
        others = time.process_time_ns() - mark.process - (time.thread_time_ns() - mark.own)
        busy = {name: (_time_of(clock) - then) / 1e6 for name, clock, then in mark.helpers}
        return {
            "others": max(0, others) / 1e6,
            "meanwhile": {name: ms for name, ms in busy.items() if ms > 0},
        }

    def _ready(self) -> int:
        """Nanoseconds that this thread could have run and had no processor; 0 if not told."""
        file = getattr(self._local, "file", None)
        if file is None:
            file = self._local.file = _Waits()
        return file.read()

    def _on_collector(self, phase: str, _: Mapping[str, int]) -> None:
        now = perf_counter_ns()
        if phase == "start":
            self._collecting = now
        elif self._collecting:
            self._collected += now - self._collecting
            self.pauses.record(now - self._collecting)

    # -- what was found -------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for another process."""
        with self._lock:
            return {
                "slow": {
                    name: {"calls": one.calls, **one.sums}
                    for name, one in self._slow.items()
                    if one.calls
                },
                "slowest": [told for _, _, told in sorted(self._slowest, reverse=True)],
                "pauses": self.pauses.to_dict(),
            }


def merged(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What ``Stalls.to_dict`` of several processes said, as the report tells it.

    ``slow``: per operation of the slowest hundredth ``calls``, and means of ``ms`` and ``PARTS``;
    ``slowest``: calls, the slowest first; ``collector``: number, total and longest of its pauses.
    """
    sums: dict[str, dict[str, float]] = {}
    slowest: list[dict[str, Any]] = []
    pauses = Histogram()
    for one in found:
        for name, values in one["slow"].items():
            into = sums.setdefault(name, dict.fromkeys(values, 0.0))
            for key, value in values.items():
                into[key] += value
        slowest += one["slowest"]
        pauses.merge(Histogram.from_dict(one["pauses"]))
    return {
        "slow": {
            name: {
                key: int(value) if key == "calls" else value / values["calls"]
                for key, value in values.items()
            }
            for name, values in sorted(sums.items())
        },
        "slowest": sorted(slowest, key=lambda call: -call["ms"])[:_KEPT],
        "collector": {
            "pauses": pauses.count,
            "ms": pauses.total / 1e6,
            "max_ms": pauses.largest / 1e6,
        },
    }


class _Waits:
    """A thread's own account of waiting for a processor; closed with the thread.

    It is read with the interpreter lock held: ``os.pread`` lets others have it, and the call that
    is being timed would wait for them once more than it does by itself.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._text = ctypes.create_string_buffer(_LONGEST_ACCOUNT)
        with suppress(OSError):
            path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            self._read = ctypes.PyDLL(None).pread
            self._read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long)

    def read(self) -> int:
        if self._file is None:
            return 0
        size = self._read(self._file, self._text, _LONGEST_ACCOUNT, 0)
        return int(self._text.raw[:size].split()[1]) if size > 0 else 0

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)


def _time_of(clock: int) -> int:
    """Processor time of a thread; 0 if it is gone."""
    try:
        return time.clock_gettime_ns(clock)
    except OSError:
        return 0
