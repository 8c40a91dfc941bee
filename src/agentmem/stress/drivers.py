"""Keeping workers at work: closed loop or open loop, threads or tasks."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from time import perf_counter_ns
from typing import Any

from agentmem.stress import machine
from agentmem.stress.actor import Actor

__all__ = ["Arrivals", "Direct", "drive_tasks", "drive_threads", "immediately"]

_NAP = 20_000_000  # ns that a thread sleeps, come what may
_PATIENCE = 1.0  # seconds for the calls under way when a run is broken off


class Direct:
    """A ``Memory`` whose calls can be awaited: they are done when they are made."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._memory, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        setattr(self, name, call)
        return call


def immediately(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that awaits nothing but ``Direct`` calls."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise RuntimeError("the coroutine waits for something")


class Arrivals:
    """When calls are to begin, at a mean rate and by chance, whatever becomes of earlier calls.

    The times between are exponential, as they are between requests of many independent callers.
    Any thread may ask.
    """

    def __init__(self, rate: float, begin: int, end: int, seed: str) -> None:
        """``begin`` and ``end`` by ``perf_counter_ns``."""
        self._mean = 1e9 / rate
        self._end = end
        self._next = float(begin)
        self._chance = random.Random(seed)
        self._lock = threading.Lock()

    def next(self) -> int | None:
        """When the next call is to begin; None when that is after the end."""
        with self._lock:
            self._next += self._chance.expovariate(1.0) * self._mean
            return int(self._next) if self._next < self._end else None

    def behind(self, now: int) -> int:
        """About how many calls are due and have not begun."""
        return max(0, int((min(now, self._end) - self._next) / self._mean))


def drive_threads(actors: Sequence[Actor], begin: int, end: int, arrivals: Arrivals | None) -> None:
    """A thread for each actor, until ``end``; errors of the tool itself are raised here, and end
    it for all, as Ctrl-C does."""
    failures: list[BaseException] = []
    stop = threading.Event()

    def wait_until(due: int) -> None:
        """Calls come at times fixed beforehand, and none of this is measured."""
        ahead = due - perf_counter_ns()
        if ahead > _NAP:
            stop.wait((ahead - _NAP) / 1e9)
            ahead = due - perf_counter_ns()
        if ahead > 0:  # a sleep runs less Python on its way back, when the call is due, than a wait
            time.sleep(ahead / 1e9)

    def closed(actor: Actor) -> None:
        while perf_counter_ns() < end and not stop.is_set():
            immediately(actor.act())

    def opened(actor: Actor, arrivals: Arrivals) -> None:
        while (due := arrivals.next()) is not None and not stop.is_set():
            wait_until(due)
            immediately(actor.act(due))

    def work(actor: Actor) -> None:
        try:
            machine.wake_in_time()
            wait_until(begin)
            if arrivals is None:
                closed(actor)
            else:
                opened(actor, arrivals)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            failures.append(error)
            stop.set()

    threads = [
        threading.Thread(target=work, args=(actor,), name=f"stress-{i}", daemon=True)
        for i, actor in enumerate(actors)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        stop.set()
        until = perf_counter_ns() + int(_PATIENCE * 1e9)
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0, until - perf_counter_ns()) / 1e9)
    if failures:
        raise failures[0]


async def drive_tasks(
    actors: Sequence[Actor], begin: int, end: int, arrivals: Arrivals | None
) -> None:
    """One task for each actor until ``end``; in an open loop, a task for each call.

    All begin at ``begin``, when workers of other processes do."""
    await asyncio.sleep(max(0, begin - perf_counter_ns()) / 1e9)
    if arrivals is None:

        async def closed(actor: Actor) -> None:
            while perf_counter_ns() < end:
                await actor.act()

        await asyncio.gather(*(closed(actor) for actor in actors))
        return
    await _open_loop(actors, arrivals)


async def _open_loop(actors: Sequence[Actor], arrivals: Arrivals) -> None:
    """A call that finds every actor busy waits for one; its time runs from when it was due."""
    idle = deque(actors)
    waiting: deque[int] = deque()
    running: set[asyncio.Task[None]] = set()
    failures: list[BaseException] = []

    async def serve(actor: Actor, due: int) -> None:
        await actor.act(due)
        while waiting:
            await actor.act(waiting.popleft())
        idle.append(actor)

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            failures.append(error)

    try:
        while not failures and (due := arrivals.next()) is not None:
            # Until the next call is due; also when it is late: the others must get on.
            await asyncio.sleep(max(0, due - perf_counter_ns()) / 1e9)
            if not idle:
                waiting.append(due)
                continue
            task = asyncio.create_task(serve(idle.popleft(), due))
            running.add(task)
            task.add_done_callback(ended)
        while running:
            await asyncio.wait(running)
    finally:  # of a run that is broken off
        for task in running:
            task.cancel()
    if failures:
        raise failures[0]
