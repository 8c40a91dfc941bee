"""Work in the background: a thread for as long as there is something to do."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable

from agentmem.errors import AgentMemError

_log = logging.getLogger("agentmem.projection")

__all__ = ["Background"]


def _nothing() -> None:
    return None


class Background:
    """Runs ``work(stopped)`` in a thread of its own, one at a time, when asked to.

    No thread waits while nothing is due, so nothing polls and nothing is left over.  The thread
    is a daemon and is stopped and joined before the interpreter goes down: it never keeps a
    program alive, and is never killed inside native code.  An error is kept until the work has
    succeeded once more.

    Args:
        interrupt: called by ``stop``, for work that waits and would not look at ``stopped``; also
            when nobody holds the object any more, so it must not hold it.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Callable[[], bool]], None],
        interrupt: Callable[[], None] = _nothing,
    ) -> None:
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        self._state = _State(interrupt)
        self._finalizer = weakref.finalize(self, _State.halt, self._state)
        self.runs = 0
        self.failures = 0
        self.error: AgentMemError | None = None

    @property
    def running(self) -> bool:
        return self._state.thread is not None

    def start(self) -> None:
        """Begin a run unless one is under way or ``stop`` was called."""
        with self._lock:
            if self._state.thread is not None or self._state.stopped.is_set():
                return
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._state.thread = thread
            thread.start()

    def stop(self) -> None:
        """End a run at its next step and wait for that; no other will start."""
        self._finalizer()

    def join(self) -> None:
        """Wait until the run that is under way, if any, has ended by itself."""
        thread = self._state.thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        try:
            self._work(self._state.stopped.is_set)
            self.error = None
        except AgentMemError as error:
            if not self._state.stopped.is_set():
                self.failures += 1
                self.error = error
                _log.warning("%s failed: %s", self._name, error, exc_info=error)
        finally:
            self.runs += 1
            self._state.thread = None


class _State:
    """What outlives a ``Background`` that nobody holds any more."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self.stopped = threading.Event()
        self.thread: threading.Thread | None = None
        self._interrupt = interrupt
        self._pid = os.getpid()

    def halt(self) -> None:
        if self._pid != os.getpid():  # a fork: the thread and what it works with are the parent's
            return
        self.stopped.set()
        self._interrupt()
        thread = self.thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
