"""What the calls of one phase took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from agentmem.stress import stalls
from agentmem.telemetry import Histogram

__all__ = ["Recorder", "Window"]

#: Calls that change the store; the others read it.
WRITES = frozenset({"add", "add_batch", "update", "update_batch", "delete", "delete_batch"})


class Window:
    """The calls since the last sample, reads and writes apart."""

    def __init__(self) -> None:
        self.reads = Histogram()
        self.writes = Histogram()


class Recorder:
    """Durations by operation, from when a call was meant to begin; failures by class.

    Any thread may call.
    """

    def __init__(self, timeout: float, *, threads: bool = True) -> None:
        """``threads``: see ``Stalls``."""
        self._timeout_ns = int(timeout * 1e9)
        self.histograms: dict[str, Histogram] = {}
        self.errors: Counter[tuple[str, str]] = Counter()
        self.timeouts: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()  # memories that the calls were about
        self._window = Window()
        self.stalls = stalls.Stalls(threads)
        self._stalled: list[Mapping[str, Any]] = []  # in other processes
        self.since = 0  # ``perf_counter_ns``: earlier calls warm up and are not counted

    def done(
        self,
        operation: str,
        begin: int,
        end: int,
        *,
        rows: int = 1,
        error: str | None = None,
        mark: stalls.Mark | None = None,
    ) -> None:
        """A call that was to begin at ``begin`` and ended at ``end`` (``perf_counter_ns``);
        ``mark`` is of when it did begin."""
        if begin < self.since:
            return
        if mark is not None:
            self.stalls.ended(operation, begin, mark, end, self.since)
        duration = end - begin
        histogram = self.histograms.get(operation)
        if histogram is None:
            histogram = self.histograms.setdefault(operation, Histogram())
        histogram.record(duration)
        window = self._window
        (window.writes if operation in WRITES else window.reads).record(duration)
        if duration > self._timeout_ns:
            self.timeouts[operation] += 1
        if error is None:
            self.rows[operation] += rows
        else:
            self.errors[operation, error] += 1

    def take_window(self) -> Window:
        """What was recorded since the last time; a call just being recorded may be lost to it."""
        window, self._window = self._window, Window()
        return window

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for another process."""
        return {
            "histograms": {name: one.to_dict() for name, one in self.histograms.items()},
            "errors": [[*key, n] for key, n in self.errors.items()],
            "timeouts": dict(self.timeouts),
            "rows": dict(self.rows),
            "stalls": self.stalls.to_dict(),
        }

    @classmethod
    def merged(cls, parts: Iterable[Mapping[str, Any]]) -> Recorder:
        """One recorder of what several processes have recorded."""
        made = cls(0.0)
        for part in parts:
            for name, values in part["histograms"].items():
                made.histograms.setdefault(name, Histogram()).merge(Histogram.from_dict(values))
            for operation, error, n in part["errors"]:
                made.errors[operation, error] += n
            made.timeouts.update(part["timeouts"])
            made.rows.update(part["rows"])
            made._stalled.append(part["stalls"])
        return made

    def stalled(self) -> dict[str, Any]:
        """See ``stalls.merged``."""
        return stalls.merged([self.stalls.to_dict(), *self._stalled])

    def summary(self, seconds: float) -> dict[str, dict[str, Any]]:
        """Per operation: ``Histogram.summary``, ``per_second``, ``rows_per_second``, ``errors``
        by class, ``error_rate`` (share of the calls), ``timeouts``."""
        found: dict[str, dict[str, Any]] = {}
        for name in sorted(self.histograms):
            took = self.histograms[name].summary()
            errors = {kind: n for (where, kind), n in self.errors.items() if where == name}
            failed = sum(errors.values())
            found[name] = {
                **took,
                "per_second": took["calls"] / seconds,
                "rows_per_second": self.rows[name] / seconds,
                "errors": errors,
                "error_rate": failed / took["calls"] if took["calls"] else 0.0,
                "timeouts": self.timeouts[name],
            }
        return found

    @property
    def calls(self) -> int:
        return sum(histogram.count for histogram in self.histograms.values())
