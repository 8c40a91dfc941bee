"""``AsyncMemory``: every method of ``Memory`` as a coroutine.

There is one implementation, that of ``Memory``; this file only decides where it runs.  A write is
checked on the event loop and put into the same queue as those of threads (see ``write.queue``);
no thread waits for it, and the few that do the work are as many as lead groups.  What reads, and
what takes long, runs in a bounded pool of threads.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial, wraps
from time import monotonic, perf_counter_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar, cast

from agentmem.config import Config
from agentmem.inputs import check_progress
from agentmem.memory import Memory
from agentmem.memory.reading import Reading
from agentmem.memory.upkeep import Upkeep
from agentmem.memory.writing import Writing

if TYPE_CHECKING:
    from agentmem.write.jobs import Job
    from agentmem.write.queue import Ticket, WriteQueue

__all__ = ["AsyncMemory"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_READERS = 4  # threads that search; SQLite and the kernels let go of the interpreter lock
_SLOW = 4  # threads for whole batches, streams, upkeep


def _measured(
    name: str, call: Callable[Concatenate[AsyncMemory, _P], Coroutine[Any, Any, _R]]
) -> Callable[Concatenate[AsyncMemory, _P], Coroutine[Any, Any, _R]]:
    """Recorded as ``memory.measured`` does for threads: with the wait for a thread or a group."""

    @wraps(call)
    async def timed(self: AsyncMemory, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        operations = self._memory._engine.operations
        begin = perf_counter_ns()
        try:
            answer = await call(self, *args, **kwargs)
        except BaseException as error:  # a cancellation, too; raised again
            operations.failed(name, begin, args, kwargs, error)
            raise
        operations.done(name, begin, args, kwargs)
        return answer

    return timed


def _reads(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[AsyncMemory, _P], Coroutine[Any, Any, _R]]:
    @wraps(method)
    async def call(self: AsyncMemory, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await self._in(self._readers, partial(method, self._memory, *args, **kwargs))

    return _measured(method.__name__, call)


def _takes_long(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[AsyncMemory, _P], Coroutine[Any, Any, _R]]:
    @wraps(method)
    async def call(self: AsyncMemory, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await self._in(self._slow, partial(method, self._memory, *args, **kwargs))

    return _measured(method.__name__, call)


def _takes_steps(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[AsyncMemory, _P], Coroutine[Any, Any, _R]]:
    @wraps(method)
    async def call(self: AsyncMemory, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _stepwise(kwargs) as given:
            return await self._in(self._slow, partial(method, self._memory, *args, **given))

    return _measured(method.__name__, call)


@contextmanager
def _stepwise(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The arguments ``given`` for a call in a thread that tells its ``progress`` after each step;
    one after which nobody waits for it any more, since its task was cancelled, is its last."""
    told = check_progress(given.get("progress"))
    left = False

    def progress(done: int, total: int) -> None:
        if left:
            raise asyncio.CancelledError
        if told is not None:
            told(done, total)

    try:
        yield {**given, "progress": progress}
    finally:
        left = True


def _writes(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[AsyncMemory, _P], Coroutine[Any, Any, _R]]:
    @wraps(method)
    async def call(self: AsyncMemory, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        given = args[0] if args else next(iter(kwargs.values()), None)
        if self._is_small(given):
            check = partial(method, self._checking, *args, **kwargs)
            return cast("_R", await self._queued(cast("Callable[[], Job]", check)))
        return await self._in(self._slow, partial(method, self._memory, *args, **kwargs))

    return _measured(method.__name__, call)


class AsyncMemory:
    """``Memory`` for asyncio: the same arguments, answers and errors.

    ::

        async with AsyncMemory("./mem") as mem:
            await mem.add("I moved to Lisbon in March", user_id="alice")
            await mem.search("where does she live?", user_id="alice")

    Any number of event loops and threads may share one.  Writes of tasks that run at the same
    time share embedding batches and transactions.  Cancelling a task leaves the store whole: its
    write is stored or not, never half, and may still be under way when the task has ended.
    Opening happens at once, in the constructor.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        embedder: Any = "minilm",
        config: Config | Mapping[str, Any] | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
    ) -> None:
        """As ``Memory``."""
        memory = Memory(
            path,
            embedder=embedder,
            config=config,
            user_id=user_id,
            agent_id=agent_id,
            run_id=run_id,
            org_id=org_id,
        )
        self._wrap(memory)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """As ``Memory.from_config``."""
        made = cls.__new__(cls)
        made._wrap(Memory.from_config(config))
        return made

    def _wrap(self, memory: Memory) -> None:
        self._memory = memory
        self._checking = _Checking.of(memory)
        self._readers = ThreadPoolExecutor(_READERS, "agentmem-read")
        self._slow = ThreadPoolExecutor(_SLOW, "agentmem-slow")
        self._queue: WriteQueue | None = None
        self._mail: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Mail] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    # -- what Memory does -----------------------------------------------------------------

    add = _writes(Writing.add)
    add_batch = _writes(Writing.add_batch)
    add_arrow = _takes_steps(Writing.add_arrow)
    update = _writes(Writing.update)
    update_batch = _writes(Writing.update_batch)
    delete = _writes(Writing.delete)
    delete_batch = _writes(Writing.delete_batch)
    delete_all = _takes_long(Writing.delete_all)
    purge = _takes_long(Writing.purge)
    reset = _takes_long(Writing.reset)
    search = _reads(Reading.search)
    search_batch = _reads(Reading.search_batch)
    context = _reads(Reading.context)
    get = _reads(Reading.get)
    get_batch = _reads(Reading.get_batch)
    get_all = _reads(Reading.get_all)
    count = _reads(Reading.count)
    history = _reads(Reading.history)
    stats = _reads(Upkeep.stats)
    metrics = _reads(Upkeep.metrics)
    flush = _takes_long(Upkeep.flush)
    warm_up = _takes_long(Upkeep.warm_up)
    check = _takes_steps(Upkeep.check)
    backup = _takes_steps(Upkeep.backup)

    @staticmethod
    @wraps(Memory.restore)
    async def restore(*args: Any, **kwargs: Any) -> dict[str, Any]:
        with _stepwise(kwargs) as given:
            return await asyncio.to_thread(Memory.restore, *args, **given)

    async def close(self) -> None:
        """Wait for the writes that are under way and give everything back; see ``Memory``."""
        with suppress(RuntimeError):  # a second close: the pool is shut down
            await self._in(self._slow, self._memory.close)
        for pool in (self._readers, self._slow):
            pool.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        self._memory._engine.check_usable()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Async{self._memory!r}"

    # -- where it runs --------------------------------------------------------------------

    async def _in(self, pool: ThreadPoolExecutor, call: Callable[[], _R]) -> _R:
        self._memory._engine.check_usable()
        return await asyncio.get_running_loop().run_in_executor(pool, call)

    def _is_small(self, given: object) -> bool:
        """Whether checking it holds up the event loop for no more than a moment."""
        if isinstance(given, list | tuple):
            return len(given) <= self._memory._engine.config.write.alone_rows
        return isinstance(given, str | Mapping)

    async def _queued(self, check: Callable[[], Job]) -> object:
        """Enter, check the arguments, wait for a leader; returns the job's answer."""
        queue = await self._get_queue()
        ticket = _TaskTicket(queue, self._mail_of(asyncio.get_running_loop()))
        try:
            if not queue.enter(ticket):
                await _room(queue, ticket)
            job = check()
            if job.rows:
                queue.put(ticket, job)
                while not job.finished and ticket.error is None:
                    await ticket.woken()
        finally:
            queue.leave(ticket)
        if ticket.error is not None:
            raise ticket.error
        return job.answer()

    async def _get_queue(self) -> WriteQueue:
        """The engine's; made in a thread, for it loads libraries."""
        self._memory._engine.check_usable()
        if self._queue is None:
            self._queue = await self._in(self._slow, lambda: self._memory._engine.queue)
        return self._queue

    def _mail_of(self, loop: asyncio.AbstractEventLoop) -> _Mail:
        mail = self._mail.get(loop)
        if mail is None:
            with self._lock:
                mail = self._mail.setdefault(loop, _Mail(loop))
        return mail


async def _room(queue: WriteQueue, ticket: _TaskTicket) -> None:
    """
    Raises:
        StoreTimeoutError: nothing moved for too long.
    """
    since = monotonic()
    while not queue.is_inside(ticket):
        if queue.patience(since) <= 0:
            raise queue.no_room()
        await asyncio.wait((ticket.woken(),), timeout=queue.patience(since))


class _Checking(Memory):
    """A ``Memory`` whose writes are checked and not done: it returns the job."""

    @classmethod
    def of(cls, memory: Memory) -> Self:
        made = cls.__new__(cls)
        vars(made).update(vars(memory))
        return made

    def _write(self, job: Job) -> Any:
        return job


class _TaskTicket:
    """A task that waits on a future; a thread of the queue's leads for it."""

    __slots__ = ("_future", "_mail", "_promoted", "_queue", "error", "job", "leader")

    own_thread: ClassVar[bool] = False

    def __init__(self, queue: WriteQueue, mail: _Mail) -> None:
        self.job: Any = None
        self.leader: Ticket | None = None
        self.error: BaseException | None = None
        self._queue = queue
        self._mail = mail
        self._future: asyncio.Future[None] | None = None
        self._promoted = False

    def woken(self) -> asyncio.Future[None]:
        """Done when somebody calls ``wake`` from now on; asked on the event loop."""
        self._future = self._mail.loop.create_future()
        return self._future

    def wake(self) -> None:
        self._mail.post(self)

    def promote(self) -> None:
        if not self._promoted:
            self._promoted = True
            self._queue.workers.submit(self._lead)

    def _lead(self) -> None:
        try:
            self._queue.lead(self)
        except BaseException as error:  # noqa: BLE001 - the task that waits raises it
            self.error = error
            self.wake()

    def deliver(self) -> None:
        """On the event loop, after ``wake``."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class _Mail:
    """Tickets of one event loop to be woken; one call into the loop for many."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # the dictionary of these must not keep it alive
        self._lock = threading.Lock()
        self._posted: list[_TaskTicket] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        loop = self._loop()
        assert loop is not None  # a task of it is running
        return loop

    def post(self, ticket: _TaskTicket) -> None:
        with self._lock:
            self._posted.append(ticket)
            first = len(self._posted) == 1
        loop = self._loop() if first else None
        if loop is not None:
            with suppress(RuntimeError):  # it was closed, and its tasks are gone
                loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            posted, self._posted = self._posted, []
        for ticket in posted:
            ticket.deliver()
