"""Work in the background: a thread for as long as there is something to do."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable

from agentmem.errors import AgentMemError, StoreError

_log = logging.getLogger("agentmem.projection")

__all__ = ["Background", "end_all"]

_PATIENCE = 10.0  # seconds in which a run ends its step when the interpreter goes down


def _nothing() -> None:
    return None


class Background:
    """Runs ``work(stopped)`` in a thread of its own, one at a time, when asked to.

    No thread waits while nothing is due, so nothing polls and nothing is left over.  The thread
    is a daemon and is stopped and joined before the interpreter goes down (``end_all``): it never
    keeps a program alive.  An error, whatever it is, is kept until the work has succeeded once
    more.

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
        self._finalizer.atexit = False  # ``end_all`` comes first, and does not wait for ever
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
        self._state.join(None)

    def _run(self) -> None:
        try:
            self._work(self._state.stopped.is_set)
            self.error = None
        except AgentMemError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001  nobody else would ever hear of it
            unforeseen = StoreError(f"{type(error).__name__}: {error}")
            unforeseen.__cause__ = error
            self._failed(unforeseen)
        finally:
            self.runs += 1
            self._state.thread = None

    def _failed(self, error: AgentMemError) -> None:
        if not self._state.stopped.is_set():
            self.failures += 1
            self.error = error
            _log.warning("%s failed: %s", self._name, error, exc_info=error)


def end_all() -> None:
    """Stop every run, and wait for that a while; no other will start.

    The interpreter calls it as it goes down, once all threads that keep it alive have ended.
    What a run works with may have registered with ``atexit``, too, and stops working then:
    whoever imports such a library for a run registers this function right after it, so that it
    is called before.
    """
    with _making:
        states = list(_states)
    for state in states:
        state.request()
    deadline = time.monotonic() + _PATIENCE
    for state in states:
        state.join(deadline)


class _State:
    """What outlives a ``Background`` that nobody holds any more."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self.stopped = threading.Event()
        self.thread: threading.Thread | None = None
        self._interrupt = interrupt
        self._abandoned = False
        self._pid = os.getpid()
        with _making:
            _states.add(self)

    def halt(self) -> None:
        self.request()
        self.join(None)

    def request(self) -> None:
        """Have a run end at its next step."""
        if self._pid == os.getpid():  # else a fork: the thread and all it has are the parent's
            self.stopped.set()
            self._interrupt()

    def join(self, deadline: float | None) -> None:
        """Wait for a run that is under way: for ever, or until ``deadline`` and then no more."""
        thread = self.thread
        if self._pid != os.getpid() or thread in (None, threading.current_thread()):
            return
        assert thread is not None
        if self._abandoned:
            return
        thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        self._abandoned = thread.is_alive()


_making = threading.Lock()
_states: weakref.WeakSet[_State] = weakref.WeakSet()
atexit.register(end_all)
