"""What the public calls of one open store took, and which of them failed with what."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from agentmem.telemetry.histogram import Histogram

if TYPE_CHECKING:
    from agentmem.config import TelemetryConfig

__all__ = ["Call", "Operations"]

_slow = logging.getLogger("agentmem.slow")

#: Arguments that a slow call is logged with; texts, ids and filters are not among them.
_TOLD = ("top_k", "mode", "limit", "max_tokens", "unscoped", "explain", "dedupe", "chunk_rows")


class Call(NamedTuple):
    """One finished call, for a listener."""

    operation: str  # the method's name
    begin: int  # ``perf_counter_ns`` when it began
    duration: int  # ns
    error: BaseException | None


class Operations:
    """Counts and times calls by the name of the method.  Any thread may call.

    A call that fails is timed too, and counted by the class of its error.
    """

    def __init__(self, config: TelemetryConfig) -> None:
        self.histograms: dict[str, Histogram] = {}
        self.errors: dict[tuple[str, str], int] = {}  # (operation, class of error) -> calls
        self.enabled = config.enabled
        self._slow_ns = config.slow_ms * 1e6 or float("inf")
        self._listeners: tuple[Callable[[Call], None], ...] = ()
        self._lock = threading.Lock()  # of ``errors``

    def done(self, name: str, begin: int, args: Any, kwargs: Mapping[str, Any]) -> None:
        """A call that began at ``begin`` (``perf_counter_ns``) has returned."""
        if not self.enabled:
            return
        duration = perf_counter_ns() - begin
        try:
            self.histograms[name].record(duration)
        except KeyError:
            self._histogram(name).record(duration)
        if duration >= self._slow_ns:
            self._tell(name, duration, args, kwargs, None)
        if self._listeners:
            self._inform(Call(name, begin, duration, None))

    def failed(
        self, name: str, begin: int, args: Any, kwargs: Mapping[str, Any], error: BaseException
    ) -> None:
        """A call that began at ``begin`` has raised ``error``."""
        if not self.enabled:
            return
        duration = perf_counter_ns() - begin
        self._histogram(name).record(duration)
        key = (name, type(error).__name__)
        with self._lock:
            self.errors[key] = self.errors.get(key, 0) + 1
        if duration >= self._slow_ns:
            self._tell(name, duration, args, kwargs, error)
        if self._listeners:
            self._inform(Call(name, begin, duration, error))

    def listen(self, listener: Callable[[Call], None]) -> Callable[[], None]:
        """Have every finished call told to ``listener``, in its own thread; returns what ends
        that.  A listener must be quick and must not raise."""
        self._listeners = (*self._listeners, listener)

        def stop() -> None:
            self._listeners = tuple(one for one in self._listeners if one is not listener)

        return stop

    def stats(self) -> dict[str, dict[str, Any]]:
        """``Histogram.summary`` and ``errors`` (calls by class) of each operation called so far."""
        found: dict[str, dict[str, Any]] = {}
        errors = dict(self.errors)
        for name, histogram in list(self.histograms.items()):
            failures = {kind: n for (where, kind), n in errors.items() if where == name}
            found[name] = {**histogram.summary(), "errors": failures}
        return found

    def _histogram(self, name: str) -> Histogram:
        return self.histograms.setdefault(name, Histogram())

    def _inform(self, call: Call) -> None:
        for listener in self._listeners:
            listener(call)

    def _tell(
        self,
        name: str,
        duration: int,
        args: Any,
        kwargs: Mapping[str, Any],
        error: BaseException | None,
    ) -> None:
        told: dict[str, Any] = {"operation": name, "milliseconds": round(duration / 1e6, 3)}
        first = args[0] if args else None
        if isinstance(first, list | tuple):
            told["items"] = len(first)
        told |= {key: kwargs[key] for key in _TOLD if key in kwargs}
        if error is not None:
            told["error"] = type(error).__name__
        _slow.warning("%s took %.1f ms", name, duration / 1e6, extra={"agentmem": told})
