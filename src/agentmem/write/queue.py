"""Group commit: what concurrent callers want written shares one batch and one transaction.

A call becomes a *ticket*.  A ticket that has its job waits until it is *promoted*: then it leads,
that is it takes those that wait behind it and does the work of all in one go.  There are at most
``leaders`` of them at a time.  Another one starts when as many calls wait as each group would have
if all that are here made ``leaders`` equal ones, and takes no more than that (nor than
``shared_rows``): so they become equal, and while one commits another embeds.  A lone caller is
promoted by its own arrival and waits for nobody; a caller that arrives in between shares the next
group.

Where a ticket is, one mutex guards, and nothing is computed under it::

    enter          put            promoted (_leading)
    ----->  _line  --->  _waiting ------------------>  works for its group, then promotes
      |       ^             |                          the next and wakes the group
      | no room, else       `-> taken into a leader's group -> finished
      v  straight
    _inside: admitted and not yet left (``calls`` at most)

What holds whenever the mutex is free:

1. ``_waiting`` is empty unless somebody leads, and shorter than an equal part (``_here()`` over
   ``leaders``, rounded down, at least one) unless ``leaders`` lead or one has yet to gather.
   ``_line`` is empty unless ``calls`` are inside.  ``_settle`` makes it so; it can be called at
   any time and does nothing twice.
2. Every ticket that waits is in ``_line``, in ``_waiting``, or in the group of a leader.
3. Only a leader that has committed, or failed, leaves with its group finished.  Whatever ends it
   early (KeyboardInterrupt), the others of its group are back at the head of ``_waiting``.

An interrupt may strike between any two steps of this file.  So a ticket is woken *before* it is
moved (who wakes for nothing puts things right by ``_settle`` and waits again), sets and deques
tell where a ticket is rather than counters, and what must follow is repeated once if interrupted.

Nothing here sleeps or polls: a waiting thread blocks on a lock of its own, a waiting task on a
future.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Protocol

from agentmem.errors import ClosedError, StoreTimeoutError

__all__ = ["Job", "ThreadTicket", "Ticket", "WriteQueue"]


class Job(Protocol):
    """One caller's change."""

    @property
    def rows(self) -> int: ...

    @property
    def finished(self) -> bool:
        """Committed, or failed with an error of its own.  Never goes back."""
        ...


class Ticket(Protocol):
    """One call's place in the queue.  ``wake`` and ``promote`` must not block or raise."""

    own_thread: ClassVar[bool]  # whether the caller's thread leads, and cleans up if it cannot
    job: Job | None
    leader: Ticket | None  # the last that took it out of ``_waiting``

    def wake(self) -> None:
        """Look again: admitted, or finished."""
        ...

    def promote(self) -> None:
        """See that ``WriteQueue.lead`` is called with this ticket, once."""
        ...


class ThreadTicket:
    """A thread that waits; it is its own leader."""

    __slots__ = ("_turn", "job", "leader")

    own_thread: ClassVar[bool] = True

    def __init__(self) -> None:
        self.job: Job | None = None
        self.leader: Ticket | None = None
        self._turn = threading.Lock()
        self._turn.acquire()

    def wake(self) -> None:  # under the queue's mutex, so nobody else releases it meanwhile
        if self._turn.locked():
            self._turn.release()

    promote = wake

    def wait(self, timeout: float = -1.0) -> bool:
        return self._turn.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))


class WriteQueue:
    """See above.  Any thread may call."""

    def __init__(
        self,
        work: Callable[[Sequence[Any]], None],
        *,
        leaders: int,
        shared_rows: int,
        alone_rows: int,
        calls: int,
        timeout: float,
    ) -> None:
        """``work(jobs)`` leaves every job finished, or raises and leaves nothing committed but
        what is finished.  It is called from several threads."""
        self._work = work
        self._most = max(1, leaders)
        self._shared_rows = shared_rows
        self.alone_rows = alone_rows
        self._calls = max(1, calls)
        self._timeout = timeout
        self._mutex = threading.Lock()
        self._idle = threading.Condition(self._mutex)
        self._line: deque[Ticket] = deque()
        self._inside: set[Ticket] = set()
        self._waiting: deque[Ticket] = deque()
        self._leading: dict[Ticket, list[Ticket]] = {}  # its group; empty until it has gathered
        self._moved = time.monotonic()  # when something last got on
        self._closing = False
        self._groups = self._grouped = self._largest = 0
        # For leaders whose caller has no thread to spare; its threads start with the first.
        self.workers = ThreadPoolExecutor(self._most, "agentmem-write")

    # -- a thread -------------------------------------------------------------------------

    def run(self, job: Job) -> None:
        """Have a job done, in a group or alone, and return when it is finished.

        Raises:
            StoreTimeoutError: there was no room, and nothing moved for ``timeout`` seconds.
            ClosedError: after ``close``.
        """
        ticket = ThreadTicket()
        try:
            if not self.enter(ticket):
                self._wait_for_room(ticket)
            if job.rows > self.alone_rows:
                self._work([job])
                return
            self.put(ticket, job)
            while not job.finished:
                ticket.wait()
                if self._is_promoted(ticket):
                    self.lead(ticket)
        finally:
            try:
                self.leave(ticket)
            except BaseException:  # interrupted: see above
                self.leave(ticket)
                raise

    def _wait_for_room(self, ticket: ThreadTicket) -> None:
        since = time.monotonic()
        while not self.is_inside(ticket):
            if not ticket.wait(max(0.0, self.patience(since))) and self.patience(since) <= 0:
                raise self.no_room()

    def _is_promoted(self, ticket: Ticket) -> bool:
        with self._mutex:
            self._settle()
            return ticket in self._leading

    # -- the steps of a ticket ------------------------------------------------------------

    def enter(self, ticket: Ticket) -> bool:
        """Come in; False if there is no room: the ticket is then woken when it is inside.

        Raises:
            ClosedError: after ``close``.
        """
        with self._mutex:
            if self._closing:
                raise ClosedError("this Memory is closed; open the folder again with Memory(path)")
            if self._line or len(self._inside) >= self._calls:
                self._line.append(ticket)
                return False
            self._inside.add(ticket)
            return True

    def is_inside(self, ticket: Ticket) -> bool:
        with self._mutex:
            self._settle()
            return ticket in self._inside

    def put(self, ticket: Ticket, job: Job) -> None:
        """Wait for a leader, or become one: see ``Ticket.promote``."""
        ticket.job = job
        with self._mutex:
            self._waiting.append(ticket)
            self._settle()

    def lead(self, ticket: Ticket) -> None:
        """Do the work of a promoted ticket and of those that wait behind it."""
        group = [ticket]
        try:
            with self._mutex:
                self._gather(group)
                self._leading[ticket] = group
                self._settle()
            self._work([one.job for one in group])
        finally:
            try:
                self._hand_over(ticket, group)
            except BaseException:  # interrupted: see above
                self._hand_over(ticket, group)
                raise

    def leave(self, ticket: Ticket) -> None:
        """Go, finished or not.  What a leader has taken of it is done all the same."""
        with self._mutex:
            if ticket.job is None or not ticket.job.finished:
                for places in (self._line, self._waiting):
                    if ticket in places:
                        places.remove(ticket)
            if ticket.own_thread:
                self._leading.pop(ticket, None)
            self._inside.discard(ticket)
            self._settle()
            self._notify()

    # -- under the mutex ------------------------------------------------------------------

    def _settle(self) -> None:
        """Admit and promote whom there is room for (invariant 1), and finish with those whose
        admission or promotion was interrupted half-way."""
        line, inside = self._line, self._inside
        while line and (len(inside) < self._calls or line[0] in inside):
            first = line[0]
            first.wake()
            inside.add(first)
            line.popleft()
        waiting, leading = self._waiting, self._leading
        while waiting and (waiting[0] in leading or self._worth_leading()):
            first = waiting[0]
            first.promote()
            leading[first] = []
            first.leader = first
            waiting.popleft()

    def _worth_leading(self) -> bool:
        """Whether another group should start now (invariant 1).

        Without the last condition the first caller that comes back from a large group would
        lead the next one alone, and all the others wait for that: 20 threads then make groups of
        1 and of 19 in turns, and no core of the model works while the 19 commit and come back.
        """
        groups = self._leading.values()
        if not groups:
            return True
        if len(groups) >= self._most or not all(groups):
            return False  # the one that has yet to gather takes of those that wait
        # Rounded down: of five callers three are in one group and two must not wait for it.
        return len(self._waiting) >= max(1, self._here() // self._most)

    def _here(self) -> int:
        """Calls that wait or are in a group."""
        return len(self._waiting) + sum(max(1, len(group)) for group in self._leading.values())

    def _gather(self, group: list[Ticket]) -> None:
        """Take those who wait, in order: an equal part of all, and no more rows than a group
        may have."""
        rows, part = _rows(group[0]), -(-self._here() // self._most)
        while self._waiting and len(group) < part:
            first = self._waiting[0]
            rows += _rows(first)
            if rows > self._shared_rows:
                break
            group.append(first)
            first.leader = group[0]
            self._waiting.popleft()
        self._moved = time.monotonic()

    def _hand_over(self, leader: Ticket, group: list[Ticket]) -> None:
        with self._mutex:
            for one in reversed(group):
                if one.job is None or one.job.finished:
                    one.wake()
                elif one is not leader and one.leader is leader and one in self._inside:
                    if one not in self._waiting:
                        self._waiting.appendleft(one)
                    one.leader = None  # last: done twice, this must not take it from another
            if leader in self._leading:
                self._groups += 1
                self._grouped += len(group)
                self._largest = max(self._largest, len(group))
            self._leading.pop(leader, None)
            self._moved = time.monotonic()
            self._settle()
            self._notify()

    def _notify(self) -> None:
        if self._closing and not self._inside and not self._leading:
            self._idle.notify_all()

    # -- the whole ------------------------------------------------------------------------

    def patience(self, since: float) -> float:
        """Seconds left to one who waits for room since then, as long as nothing moves."""
        return max(since, self._moved) + self._timeout - time.monotonic()

    def no_room(self) -> StoreTimeoutError:
        return StoreTimeoutError(
            f"{len(self._inside):,} writes are waiting and none has got on for"
            f" {self._timeout:g} s; nothing of this call was stored: try again, or raise"
            " config.write.queue_calls or queue_timeout"
        )

    def stats(self) -> dict[str, int]:
        """Groups committed, calls in them, the largest, and calls inside now."""
        with self._mutex:
            return {
                "groups": self._groups,
                "calls": self._grouped,
                "largest_group": self._largest,
                "waiting": len(self._inside) + len(self._line),
            }

    def close(self) -> None:
        """Refuse new calls and wait for those that are here.

        Raises:
            StoreTimeoutError: nothing got on for ``timeout`` seconds; it is open again.
        """
        since = time.monotonic()
        with self._mutex:
            self._closing = True
            try:
                while self._inside or self._line or self._leading:
                    if not self._idle.wait(max(0.0, self.patience(since))) and (
                        self.patience(since) <= 0
                    ):
                        raise StoreTimeoutError(
                            f"{len(self._inside):,} writes are still running and none has got on"
                            f" for {self._timeout:g} s; nothing was closed: try again"
                        )
            except BaseException:  # an interrupt, too; raised again
                self._closing = False
                raise
        self.workers.shutdown()


def _rows(ticket: Ticket) -> int:
    return 0 if ticket.job is None else ticket.job.rows
