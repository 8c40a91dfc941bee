"""The side of ``child`` that is in the child process: taking jobs, saying what comes of them."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NoReturn

from agentmem.errors import AgentMemError
from agentmem.vector.child import LEFT, MARK, STOPPED
from agentmem.vector.faults import public_name

__all__ = ["Parent", "serve"]


class Parent:
    """The process that asks.

    ``whole`` is held while something must not be broken off; otherwise this process ends at once
    when the parent wants it to or is gone.
    """

    def __init__(self) -> None:
        self.whole = threading.Lock()
        self._jobs: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._job = 0
        self._say({"ready": os.getpid()})
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self, patience: float | None) -> dict[str, Any] | None:
        """The next job; None where none has come for ``patience`` seconds, if any are given."""
        try:
            job = self._jobs.get(timeout=patience)
        except Empty:
            return None
        self._job = job["job"]
        return job

    def tell(self, told: dict[str, Any]) -> None:
        """What the parent should know before the job is done."""
        self._say({"job": self._job, "told": told})

    def answer(self, done: dict[str, Any]) -> None:
        self._say({"job": self._job, "done": done})

    def fail(self, error: AgentMemError) -> None:
        """The parent raises the public class of ``error``."""
        self._say({"job": self._job, "error": public_name(error), "message": str(error)})

    def leave(self, code: int) -> NoReturn:
        """End this process, saying why: ``LEFT`` or ``STOPPED``."""
        self._say({"ending": code})
        os._exit(code)  # a thread is in the middle of reading, and the interpreter would wait

    def _say(self, what: dict[str, Any]) -> None:
        # A line of its own, whatever a library has printed before; small enough to be written as
        # one piece.
        line = b"\n" + MARK + json.dumps(what).encode() + b"\n"
        try:
            os.write(sys.stdout.fileno(), line)
        except OSError:  # it is gone: ``_listen`` sees it, too
            return

    def _listen(self) -> None:
        # Not ``sys.stdin``: its lock would be held when the interpreter shuts down.
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as lines:
            while line := lines.readline().strip():
                self._jobs.put(json.loads(line))
        with self.whole:
            self.leave(STOPPED)


def serve(
    work: Callable[[dict[str, Any], Parent], dict[str, Any]], *, nice: int, linger: float
) -> NoReturn:
    """Do ``work`` for each job until none has come for ``linger`` seconds; then end the process.

    Args:
        work: takes the job and whom to tell of its progress; an ``AgentMemError`` is the parent's,
            any other ends this process.
        nice: added to the priority of this process, from 0 to 19, the lowest.
    """
    if hasattr(os, "nice"):
        os.nice(nice)
    parent = Parent()
    job = parent.next(None)  # for which it was started
    while job is not None:
        try:
            done = work(job, parent)
        except AgentMemError as error:
            parent.fail(error)
        else:
            parent.answer(done)
        job = parent.next(linger)
    parent.leave(LEFT)
