"""The run of ``agentmem stress`` as it goes, on standard error: a panel at a terminal, nothing
elsewhere."""

from __future__ import annotations

import os
import sys
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from agentmem.stress import Plan
    from agentmem.stress.monitor import Sample

__all__ = ["LoadView"]

_BARS = " ▁▂▃▄▅▆▇█"
_HISTORY = 60  # samples of the line


class LoadView:
    """``tell`` is called with samples, from any thread."""

    def __init__(self, plan: Plan, *, live: bool | None = None) -> None:
        """``live``: whether to show anything; None: if standard error is a terminal."""
        self._plan = plan
        if live is None:
            live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown: Live | None = self._make() if live else None
        self._rates: deque[float] = deque(maxlen=_HISTORY)

    def __enter__(self) -> Self:
        if self._shown is not None:
            self._shown.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def tell(self, sample: Sample) -> None:
        self._rates.append(sample.calls_per_second)
        if self._shown is not None:
            self._shown.update(self.render(sample))

    def render(self, sample: Sample) -> RenderableType:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        from agentmem.cli.render import size_text

        table = Table.grid(padding=(0, 3))
        for _ in range(4):
            table.add_column()
        plan = self._plan
        cells: list[tuple[str, str]] = [
            ("second", f"{sample.second:,.0f} of {plan.seconds:,.0f}"),
            ("calls/s", f"{sample.calls_per_second:,.0f}"),
            ("reads p50 / p99", f"{sample.reads_p50_ms:.2f} / {sample.reads_p99_ms:.2f} ms"),
            ("writes p50 / p99", f"{sample.writes_p50_ms:.2f} / {sample.writes_p99_ms:.2f} ms"),
            ("errors", f"{sample.errors:,}"),
            ("memories", f"{sample.memories:,}"),
            ("processors", f"{sample.processors:.1f}"),
            ("memory", size_text(sample.rss_bytes)),
            ("WAL", size_text(sample.wal_bytes)),
            ("queue", f"{sample.queue:,}"),
            ("connections", f"{sample.connections:,}"),
            ("behind", f"{sample.behind:,}"),
            ("answers known", _percent(sample.answers_hit)),
            ("embeddings known", _percent(sample.embeddings_hit)),
        ]
        for (name, value), (name2, value2) in zip(cells[::2], cells[1::2], strict=True):
            table.add_row(Text(name, style="bold"), value, Text(name2, style="bold"), value2)
        table.add_row(Text("lately", style="bold"), self._line())
        title = f"{plan.scenario}, {plan.workers:,} {plan.kind}, {sample.phase}"
        return Panel(table, title=title, expand=False)

    def _line(self) -> str:
        most = max(self._rates, default=0.0) or 1.0
        last = len(_BARS) - 1
        return "".join(_BARS[round(rate / most * last)] for rate in self._rates)

    def _make(self) -> Any:
        from rich.live import Live

        from agentmem.cli.render import console

        return Live(console=console(stderr=True), transient=True, auto_refresh=False)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
