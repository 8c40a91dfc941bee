"""Building indexes in a child process: begun, waited for, ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import AgentMemError
from agentmem.vector.background import Background
from agentmem.vector.child import STOPPED, Child, ChildEnded, Program
from agentmem.vector.state import BuildState

if TYPE_CHECKING:
    from agentmem.config import ProjectionConfig

__all__ = ["Builder"]


class Builder:
    """At most one child of this process at a time, and one builder of all processes.

    The child (``build``) has the lowest priority and half of the cores.
    """

    def __init__(self, home: Path, uri: str, config: ProjectionConfig, patience: float) -> None:
        given = {"home": str(home), "uri": uri, "projection": asdict(config)}
        self._patience = patience
        self._files = BuildState(home)
        self._child = Child(Program("agentmem.vector.build", given))
        self._background = Background("agentmem-index", self._build, self._child.halt)
        self._table = ""
        self.builds = 0

    @property
    def running(self) -> bool:
        return self._background.running

    @property
    def pid(self) -> int | None:
        """Of the child that is running."""
        return self._child.pid

    @property
    def error(self) -> AgentMemError | None:
        """Why the last build failed."""
        return self._background.error

    def start(self, table: str) -> None:
        """Build what ``table`` lacks, unless a child is at it or ``stop`` was called."""
        if not self._background.running:
            self._table = table
            self._background.start()

    def wait(self) -> None:
        """Until the child that is running, if any, has ended."""
        self._background.join()

    def wait_for_others(self) -> bool:
        """Until no process builds; False if one still does after ``patience`` seconds."""
        with self._files.lock(self._patience) as taken:
            return taken

    def stop(self) -> None:
        """End the child and wait for that; no other will start."""
        self._background.stop()

    @contextmanager
    def nobody(self) -> Iterator[None]:
        """Have every builder of the store stop, and none begin, in whatever process.

        Raises:
            StoreTimeoutError, StorePathError
        """
        with self._files.nobody(self._patience):
            self.wait()  # a child of ours has ended, or finds the lock taken
            yield

    def stats(self, table: str, rows: int) -> dict[str, Any]:
        """Of the table as it is now; ``indexed`` as the last build of any process left it."""
        state = self._files.load()
        known = state if state.get("table") == table else {}
        indexed = min(int(known.get("indexed", 0)), rows)
        return {
            "indexed": indexed,
            "unindexed": rows - indexed,
            "building": known.get("part") if self.running else None,
            "builds": self.builds,
            "seconds": known.get("seconds"),
            "failures": self._background.failures,
            "error": None if self.error is None else str(self.error),
        }

    def _build(self, _stopped: Callable[[], bool]) -> None:
        try:
            done = self._child.ask({"table": self._table}, _heed_nothing)
        except ChildEnded as error:
            if error.code != STOPPED:  # by somebody who is about to erase
                raise
        else:
            self.builds += not done["busy"]


def _heed_nothing(_told: dict[str, Any]) -> None:
    """A builder tells all processes how it gets on: see ``state``."""
