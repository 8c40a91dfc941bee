"""Draining beside the program: in a child process, or in a thread where none can be had."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agentmem.errors import AgentMemError
from agentmem.vector.background import Background
from agentmem.vector.child import STOPPED, CannotStart, Child, ChildEnded, Program

if TYPE_CHECKING:
    from agentmem.vector.builder import Builder
    from agentmem.vector.drainer import Drainer

__all__ = ["Drains"]

_log = logging.getLogger("agentmem.projection")


class Drains:
    """Background runs of ``drainer``, one at a time, until the tail is short.

    A run is a job of the child process that runs ``program``: this one then imports no lancedb,
    its threads do not wait for the interpreter, and the priority is the child's.  A child that was
    killed is replaced, once a run.  Without a program, and where none can be started, the thread
    that would wait for the child does its work.
    """

    def __init__(self, drainer: Drainer, builder: Builder, program: Program | None) -> None:
        self._drainer = drainer
        self._builder = builder
        self._child = None if program is None else Child(program)
        if self._child is None:
            self._background = Background("agentmem-drain", self._run)
        else:
            self._background = Background("agentmem-drain", self._run, self._child.halt)
        self._there = {"rows": 0, "seconds": 0.0, "rebuilds": 0}

    @property
    def error(self) -> AgentMemError | None:
        """Of the last run or look at the table, until one has succeeded once more."""
        return self._background.error

    @error.setter
    def error(self, error: AgentMemError | None) -> None:
        self._background.error = error

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Begin a run unless one is under way or ``stop`` was called."""
        self._background.start()

    def join(self) -> None:
        """Wait until the run that is under way, if any, has ended by itself."""
        self._background.join()

    def stop(self) -> None:
        """End child and run as soon as what must be whole is, and wait; no other will start."""
        self._background.stop()

    def drain(self) -> bool:
        """Apply the whole tail in the child that is there; False where none is, or it is lost.

        Raises:
            AgentMemError: as ``Drainer.drain``.
        """
        if self.pid is None:
            return False
        try:
            self._ask(whole=True)
        except (CannotStart, ChildEnded):
            return False
        return True

    def stats(self) -> dict[str, Any]:
        """What was drained for this process: here and in its children."""
        here = {
            "rows": self._drainer.follower.rows,
            "seconds": self._drainer.seconds,
            "rebuilds": self._drainer.follower.rebuilds,
        }
        return {
            "draining": self._background.running,
            "background_drains": self._background.runs,
            "failures": self._background.failures,
            **{name: here[name] + self._there[name] for name in here},
        }

    def _run(self, stopped: Callable[[], bool]) -> None:
        if self._child is not None:
            try:
                self._ask(whole=False)
            except CannotStart as error:
                _log.warning("draining in a thread: %s", error)
                self._child = None
            else:
                return
        self._drainer.shorten(None, stopped)

    def _ask(self, *, whole: bool) -> None:
        assert self._child is not None
        for last in (False, True):
            try:
                done = self._child.ask({"whole": whole}, self._count)
                break
            except ChildEnded as error:
                if last or error.code == STOPPED:
                    raise
                _log.warning("draining goes on in another process: %s", error)
        if done["index"]:
            self._builder.start(done["index"])

    def _count(self, told: dict[str, Any]) -> None:
        for name in self._there:
            self._there[name] += told[name]
