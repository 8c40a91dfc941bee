"""A wide session for the call that has the model to itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from threading import Lock
from types import TracebackType
from typing import Any

from agentmem.embed.slots import Slots
from agentmem.errors import ModelError

__all__ = ["Alone"]

_log = logging.getLogger("agentmem.embed")

#: Calls that had the model to themselves before the wide session is opened: a program that
#: embeds one query and ends should not pay for it.
_WORTH_IT = 2

#: Of so many calls one takes the session that was slower of late, to see whether it still is.
_LOOK_AGAIN = 32

#: Weight of the newest call in the mean cost of a session.
_NEWEST = 0.25


class Alone:
    """Counts the calls that run, and lends the wide session to one that runs by itself.

    The session is opened by a helper thread, once enough calls could have used it; until then,
    and for good where it cannot be opened, they go on with what they have.  It never serves two
    calls: whoever comes while another runs is not alone.

    Several threads are quicker only while the cores are free: with other programs busy on them
    they are slower than one, since each operator waits for the thread that does not get on (the
    benchmark ``embedding.LoneSessionsBusy`` tells by how much).  So both are timed, and the
    quicker one is taken.  The vectors are the same.
    """

    def __init__(self, open_wide: Callable[[], Any | None], helpers: Executor) -> None:
        """``open_wide`` returns the session, or None where there is to be none."""
        self._open_wide = open_wide
        self._helpers = helpers
        self._lock = Lock()
        self._running = 0
        self._met = 0  # calls that were alone and small
        self._wide: Slots[Any] | None = None
        self._cost = [0.0, 0.0]  # seconds a token; one thread, several; 0: not known

    def call(self) -> Call:
        """To be entered for the time of a call."""
        return Call(self)

    def warm_up(self) -> None:
        """Open the session now, unless somebody has or is about to."""
        with self._lock:
            met, self._met = self._met, max(self._met, _WORTH_IT)
        if met < _WORTH_IT:
            self._open()

    def _begin(self) -> bool:
        with self._lock:
            self._running += 1
            return self._running == 1

    def _end(self, was_wide: bool, cost: float) -> None:
        with self._lock:
            self._running -= 1
            if cost and not self._running:
                known = self._cost[was_wide]
                self._cost[was_wide] = known + _NEWEST * (cost - known) if known else cost

    def _choose(self) -> Slots[Any] | None:
        with self._lock:
            self._met += 1
            met, wide, (narrow_cost, wide_cost) = self._met, self._wide, self._cost
        if met == _WORTH_IT:
            self._ask()
        if wide is None:
            return None
        quicker = wide_cost <= narrow_cost
        return wide if quicker != (met % _LOOK_AGAIN == 0) else None

    def _ask(self) -> None:
        try:
            self._helpers.submit(self._open)
        except RuntimeError:
            return  # closed meanwhile, or no thread can be started: go on without

    def _open(self) -> None:
        try:
            session = self._open_wide()
        except ModelError as error:  # what is loaded already goes on serving
            _log.warning("a session of several threads cannot be opened: %s", error)
            return
        if session is not None:
            self._wide = Slots([session])


class Call:
    """One call, from its begin to its end."""

    __slots__ = ("_alone", "_owner", "_since", "_tokens", "_wide")

    def __init__(self, owner: Alone) -> None:
        self._owner = owner
        self._alone = False
        self._wide = False
        self._tokens = 0
        self._since = 0.0

    def __enter__(self) -> Call:
        self._alone = self._owner._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        cost = 0.0
        if self._tokens and kind is None:
            cost = (time.perf_counter() - self._since) / self._tokens
        self._owner._end(self._wide, cost)

    def wide(self, tokens: int) -> Slots[Any] | None:
        """The wide session for one batch of so many tokens, if this call is alone and several
        threads are quicker than one just now."""
        if not self._alone:
            return None
        slots = self._owner._choose()
        self._wide, self._tokens = slots is not None, tokens
        self._since = time.perf_counter()
        return slots
