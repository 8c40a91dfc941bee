"""What long work is told, and what runs beside everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Aside", "Progress", "Work"]

#: ``progress(done, total)``; ``total`` is 0 while unknown.
Progress = Callable[[int, int], None]
#: What runs beside everything else: it asks now and then whether it is to stop.
Work = Callable[[Callable[[], bool]], None]


class Aside(Protocol):
    """Runs some ``Work`` in a thread of its own."""

    def start(self) -> None:
        """Begin a run unless one is under way or ``stop`` was called."""
        ...

    def stop(self) -> None:
        """End a run at its next step and wait for that; no other will start."""
        ...
