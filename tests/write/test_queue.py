"""Group commit's queue: who leads, who shares, who waits, and what an interrupt leaves behind."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from agentmem.errors import ClosedError, StoreTimeoutError
from agentmem.write.queue import WriteQueue

PATIENCE = 60.0  # of a test that would otherwise hang


class Item:
    """A job that is finished by being written into a list."""

    def __init__(self, name: object, rows: int = 1) -> None:
        self.name = name
        self.rows = rows
        self.finished = False


class Ledger:
    """Does the work: notes each group, and can be held while doing it."""

    def __init__(self) -> None:
        self.groups: list[list[object]] = []
        self.threads: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.started = threading.Semaphore(0)

    def work(self, items: Sequence[Item]) -> None:
        self.started.release()
        assert self.go.wait(PATIENCE)
        self.groups.append([item.name for item in items])
        self.threads.append(threading.get_ident())
        for item in items:
            item.finished = True

    @contextmanager
    def held(self) -> Iterator[None]:
        self.go.clear()
        try:
            yield
        finally:
            self.go.set()


def make(work: Callable[[Sequence[Item]], None], **settings: float) -> WriteQueue:
    values = {"leaders": 1, "shared_rows": 100, "alone_rows": 50, "calls": 1000, "timeout": 30.0}
    return WriteQueue(work, **(values | settings))  # type: ignore[arg-type]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(128) as made:
        yield made


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "this never came true"
        threading.Event().wait(0.001)


def begin(queue: WriteQueue, pool: ThreadPoolExecutor, items: Sequence[Item]) -> list[Future[None]]:
    """Run the items in threads of their own; each is in the queue before the next comes."""
    calls = []
    for item in items:
        before = queue.stats()["waiting"]
        calls.append(pool.submit(queue.run, item))
        until(lambda before=before: queue.stats()["waiting"] > before)
    return calls


def finish(calls: Sequence[Future[None]]) -> None:
    for call in calls:
        call.result(PATIENCE)


def test_a_lone_caller_does_its_own_work() -> None:
    ledger = Ledger()
    queue = make(ledger.work)
    queue.run(Item("a"))
    queue.run(Item("b"))
    assert ledger.groups == [["a"], ["b"]]
    assert set(ledger.threads) == {threading.get_ident()}


def test_who_comes_while_the_leader_works_shares_the_next_group_in_order(
    pool: ThreadPoolExecutor,
) -> None:
    ledger = Ledger()
    queue = make(ledger.work)
    with ledger.held():
        calls = begin(queue, pool, [Item(i) for i in range(20)])
    finish(calls)
    assert ledger.groups == [[0], list(range(1, 20))]
    assert len(set(ledger.threads)) == 2  # the leader went home, one of the others took over


def test_a_group_has_its_most_rows(pool: ThreadPoolExecutor) -> None:
    ledger = Ledger()
    queue = make(ledger.work, shared_rows=10)
    with ledger.held():
        calls = begin(queue, pool, [Item(i, rows=4) for i in range(6)])
    finish(calls)
    assert ledger.groups == [[0], [1, 2], [3, 4], [5]]


def test_several_leaders_work_at_the_same_time(pool: ThreadPoolExecutor) -> None:
    meeting = threading.Barrier(3)

    def work(items: Sequence[Item]) -> None:
        meeting.wait(PATIENCE)
        for item in items:
            item.finished = True

    queue = make(work, leaders=3)
    finish([pool.submit(queue.run, Item(i)) for i in range(3)])


def test_another_group_starts_with_an_equal_share_of_all_who_are_here(
    pool: ThreadPoolExecutor,
) -> None:
    started: list[list[object]] = []
    go = {name: threading.Event() for name in ("a", "b", "0", "4", "7")}

    def work(items: Sequence[Item]) -> None:
        names = [item.name for item in items]
        started.append(names)
        assert go[str(names[0])].wait(PATIENCE)
        for item in items:
            item.finished = True

    queue = make(work, leaders=2)
    calls = begin(queue, pool, [Item("a"), Item("b")])
    until(lambda: len(started) == 2)
    calls += begin(queue, pool, [Item(i) for i in range(6)])
    go["a"].set()
    until(lambda: len(started) == 3)  # half of the seven that are left
    go["b"].set()
    finish(calls[:2])
    assert queue.stats()["groups"] == 2
    assert len(queue._waiting) == 2
    calls += begin(queue, pool, [Item(6)])
    until(lambda: len(started) == 4)
    calls += begin(queue, pool, [Item(7)])
    for event in go.values():
        event.set()
    finish(calls)
    assert started[2:] == [[0, 1, 2, 3], [4, 5, 6], [7]]


def test_an_odd_number_of_callers_leaves_none_waiting_for_the_larger_group(
    pool: ThreadPoolExecutor,
) -> None:
    started: list[list[object]] = []
    go = threading.Event()

    def work(items: Sequence[Item]) -> None:
        started.append([item.name for item in items])
        assert items[0].name == "first" or go.wait(PATIENCE)
        for item in items:
            item.finished = True

    queue = make(work, leaders=2)
    ledger = Ledger()
    queue._work = ledger.work
    with ledger.held():
        calls = begin(queue, pool, [Item("a"), Item("b")])  # all that may be under way
        calls += begin(queue, pool, [Item(i) for i in range(5)])
        queue._work = work
    until(lambda: len(started) == 2)  # three and two, the second while the first is at it
    assert sorted(map(len, started)) == [2, 3]
    go.set()
    finish(calls)


def test_a_large_call_shares_with_nobody_and_holds_nobody_up(pool: ThreadPoolExecutor) -> None:
    large = threading.Event()
    done: list[object] = []

    def work(items: Sequence[Item]) -> None:
        if items[0].rows > 50:
            assert large.wait(PATIENCE)
        for item in items:
            done.append(item.name)
            item.finished = True

    queue = make(work)
    calls = begin(queue, pool, [Item("large", rows=1000)])
    queue.run(Item("small"))
    assert done == ["small"]
    large.set()
    finish(calls)
    assert done == ["small", "large"]


def test_an_interrupted_leader_hands_over(pool: ThreadPoolExecutor) -> None:
    ledger = Ledger()
    attempts: list[list[object]] = []

    def work(items: Sequence[Item]) -> None:
        attempts.append([item.name for item in items])
        ledger.started.release()
        assert ledger.go.wait(PATIENCE)
        if items[0].name == 1 and len(attempts) == 2:
            raise KeyboardInterrupt
        ledger.work(items)

    queue = make(work)
    with ledger.held():
        calls = begin(queue, pool, [Item(i) for i in range(6)])
    with pytest.raises(KeyboardInterrupt):
        calls[1].result(PATIENCE)
    finish(calls[:1] + calls[2:])
    assert attempts == [[0], [1, 2, 3, 4, 5], [2, 3, 4, 5]]
    assert ledger.groups == [[0], [2, 3, 4, 5]]
    assert queue.stats()["waiting"] == 0


def test_what_an_interrupted_leader_has_committed_is_not_done_twice(
    pool: ThreadPoolExecutor,
) -> None:
    ledger = Ledger()

    def work(items: Sequence[Item]) -> None:
        ledger.work(items)
        if items[0].name == 1:
            raise KeyboardInterrupt

    with ledger.held():
        calls = begin(make(work), pool, [Item(i) for i in range(4)])
    with pytest.raises(KeyboardInterrupt):
        calls[1].result(PATIENCE)
    finish(calls[:1] + calls[2:])
    assert ledger.groups == [[0], [1, 2, 3]]


def test_who_finds_no_room_waits_for_it(pool: ThreadPoolExecutor) -> None:
    ledger = Ledger()
    queue = make(ledger.work, calls=3)
    with ledger.held():
        calls = begin(queue, pool, [Item(i) for i in range(9)])
    finish(calls)
    assert sorted(name for group in ledger.groups for name in group) == list(range(9))  # type: ignore[type-var]
    assert max(map(len, ledger.groups)) <= 3


def test_no_room_and_no_movement_is_a_timeout(pool: ThreadPoolExecutor) -> None:
    ledger = Ledger()
    queue = make(ledger.work, calls=2, timeout=0.05)
    with ledger.held():
        calls = begin(queue, pool, [Item("leads"), Item("waits")])
        with pytest.raises(StoreTimeoutError, match="queue_calls"):
            queue.run(Item("too many"))
        assert queue.stats()["waiting"] == 2
    finish(calls)
    queue.run(Item("now there is room"))
    assert ledger.groups[-1] == ["now there is room"]


def test_closing_waits_for_what_is_queued(pool: ThreadPoolExecutor) -> None:
    ledger = Ledger()
    queue = make(ledger.work, calls=3)
    with ledger.held():
        calls = begin(queue, pool, [Item(i) for i in range(6)])
        closing = pool.submit(queue.close)
        until(lambda: queue._closing)
        with pytest.raises(ClosedError):
            queue.run(Item("late"))
        assert not closing.done()
    closing.result(PATIENCE)
    finish(calls)
    assert sum(map(len, ledger.groups)) == 6


def test_closing_gives_up_when_nothing_moves(pool: ThreadPoolExecutor) -> None:
    ledger = Ledger()
    queue = make(ledger.work, timeout=0.05)
    with ledger.held():
        calls = begin(queue, pool, [Item("stuck")])
        with pytest.raises(StoreTimeoutError, match="nothing was closed"):
            queue.close()
    finish(calls)
    queue.run(Item("still open"))
    queue.close()


class Interrupt(BaseException):
    """Thrown into threads from outside, as KeyboardInterrupt is into the main one."""


class Deed:
    """A job that is finished together with its group, in one indivisible step."""

    rows = 1

    def __init__(self, name: int) -> None:
        self.name = name
        self.done: list[int] = []

    @property
    def finished(self) -> bool:
        return bool(self.done)


# An interrupt may also strike inside a callback of the standard library, which can only print it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_at_any_instant_lose_and_repeat_nothing() -> None:
    """Threads are interrupted wherever they are, in the steps of the queue too."""
    chance = random.Random(7)
    groups: list[list[int]] = []
    completed: list[int] = []
    inside: set[int] = set()  # threads in a call, one interrupt each
    mutex = threading.Lock()
    numbers = itertools.count()
    stop = threading.Event()

    def work(deeds: Sequence[Deed]) -> None:
        names = [deed.name for deed in deeds]
        done: list[int] = []
        groups.append(done)
        for deed in deeds:
            deed.done = done
        for _ in range(30):  # instants at which it can be interrupted
            sum(range(10))
        done.extend(names)  # the commit

    queue = make(work, leaders=2, calls=6)

    def call() -> None:
        me, deed = threading.get_ident(), Deed(next(numbers))
        try:
            with mutex:
                inside.add(me)
            queue.run(deed)  # type: ignore[arg-type]
            completed.append(deed.name)
        finally:
            with mutex:
                inside.discard(me)

    def caller() -> None:
        while not stop.is_set():
            with contextlib.suppress(Interrupt):
                call()

    threads = [threading.Thread(target=caller, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    throw = ctypes.pythonapi.PyThreadState_SetAsyncExc
    begin = time.monotonic()
    thrown = 0
    while thrown < 1000 and time.monotonic() < begin + 3:
        with mutex:
            if inside:
                one = chance.choice(sorted(inside))
                inside.discard(one)
                thrown += throw(ctypes.c_ulong(one), ctypes.py_object(Interrupt))
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "a caller was never woken"
    done = Counter(name for group in groups for name in group)
    assert thrown > 50
    assert set(completed) <= set(done)
    assert max(done.values()) == 1
    assert queue.stats()["waiting"] == 0
    queue.close()
