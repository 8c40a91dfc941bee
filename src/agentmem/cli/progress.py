"""Progress on standard error: a bar at a terminal, nothing elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from rich.text import Text

__all__ = ["Bar", "bar"]


class Bar:
    """What a command tells its bar.  Callable as ``ports.Progress``: ``bar(done, total)``."""

    def __init__(self, shown: RichProgress | None, task: TaskID | None) -> None:
        self._shown = shown
        self._task = task

    def __call__(self, done: int, total: int = 0) -> None:
        self.update(done, total, items=done)

    def update(self, done: float, total: float, *, items: int) -> None:
        """``done`` of ``total`` (0: unknown) in whatever unit; ``items`` is what is counted."""
        if self._shown is not None and self._task is not None:
            self._shown.update(self._task, completed=done, total=total or None, items=items)

    def describe(self, text: str) -> None:
        if self._shown is not None and self._task is not None:
            self._shown.update(self._task, description=text)


@contextmanager
def bar(description: str, unit: str = "", *, quiet: bool = False) -> Iterator[Bar]:
    """A bar with a count of items (``unit``), a rate and the time left."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Bar(None, None)
        return
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text as RichText

    from agentmem.cli.render import console

    class Rate(ProgressColumn):
        """``1,234 memories, 567/s``"""

        def render(self, task: object) -> Text:
            items = task.fields["items"]  # type: ignore[attr-defined]
            if not unit:
                return RichText("")
            elapsed = task.elapsed or 0.0  # type: ignore[attr-defined]
            rate = f", {items / elapsed:,.0f}/s" if elapsed > 0.2 and items else ""
            return RichText(f"{items:,} {unit}{rate}")

    columns = [TextColumn("{task.description}"), BarColumn(), Rate(), TimeRemainingColumn()]
    with Progress(*columns, console=console(stderr=True), transient=True) as shown:
        yield Bar(shown, shown.add_task(description, total=None, items=0))
