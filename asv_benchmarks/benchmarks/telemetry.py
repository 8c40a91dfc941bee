"""What counting and timing the calls adds to them."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 20_000


def calls() -> tuple[Any, Any]:
    """Two objects whose ``search`` takes the arguments of a search and does nothing; that of the
    first is measured.  (Imported here, so that asv can load this file at earlier commits.)"""
    from agentmem.config import TelemetryConfig
    from agentmem.memory.measured import measured
    from agentmem.telemetry import Operations

    class Engine:
        operations = Operations(TelemetryConfig())

    class Plain:
        _engine = Engine()

        def search(self, query: str, *, top_k: int = 10, vector: Any = None) -> None:
            pass

    @measured
    class Measured(Plain):
        pass

    return Measured(), Plain()


def least(call: Callable[[], object], calls: int, rounds: int = 9) -> float:
    """Processor seconds of one call, in the best of the rounds."""
    best = float("inf")
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(calls):
            call()
        best = min(best, (time.process_time() - begin) / calls)
    return best


class Recording(common.TemporaryStore):
    """The call of a search, measured and not, with nothing in it; and beside a real one."""

    def setup(self) -> None:
        from agentmem.telemetry import Histogram

        self.memory = self.open("static")
        self.memory.add_batch(common.texts(1000))
        self.asked = common.questions()[0]
        self.vector = self.memory._engine.embedder.embed_queries([self.asked])[0]
        self.histogram = Histogram()

    def cost(self) -> float:
        with_it, without = (
            least(lambda k=kind: k.search(self.asked, top_k=10, vector=None), CALLS)  # type: ignore[misc]
            for kind in calls()
        )
        return with_it - without

    def track_nanoseconds(self) -> float:
        return 1e9 * self.cost()

    def track_share_of_a_search(self) -> float:
        """Percent of a search with its vector given, in a scope of 1,000; every one is new."""
        number = count()

        def search() -> None:
            self.memory.search(f"{self.asked} {next(number)}", vector=self.vector)

        return 100 * self.cost() / least(search, 200)

    def time_record(self) -> None:
        self.histogram.record(123_456)

    track_nanoseconds.unit = "ns"  # type: ignore[attr-defined]
    track_share_of_a_search.unit = "%"  # type: ignore[attr-defined]
