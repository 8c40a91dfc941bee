"""Progress of provisioning on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentmem.models.build import Report

__all__ = ["bars", "quiet", "when_seen"]


def quiet(_stage: str, _done: int, _total: int) -> None:
    """Reports nothing."""


@contextmanager
def bars() -> Iterator[Report]:
    """A report that draws one bar a stage on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total or None)
            progress.update(tasks[stage], completed=done, total=total or None)

        yield report


@contextmanager
def when_seen() -> Iterator[Report]:
    """Bars if somebody is watching standard error, else nothing."""
    if sys.stderr is not None and sys.stderr.isatty():
        with bars() as report:
            yield report
    else:
        yield quiet
