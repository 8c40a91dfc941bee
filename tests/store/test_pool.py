"""Read connections: few, warm, and never a broken one twice."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import sys
import threading
import time
from typing import Any

import pytest

from agentmem.errors import ClosedError, StoreError, StoreTimeoutError
from agentmem.store import Store, filters


def test_one_caller_uses_one_connection(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    seen = set()
    for _ in range(5):
        with store.read() as snapshot:
            seen.add(snapshot._db)
    assert len(seen) == 1
    assert store._readers.open_count == 1


def test_threads_share_no_connection_and_no_more_are_opened_than_allowed(
    open_store: Any, fill: Any
) -> None:
    store = open_store(config={"readers": 3})
    fill.add(store, "a")
    busy: set[object] = set()
    guard = threading.Lock()
    failures: list[str] = []

    def read() -> None:
        for _ in range(100):
            with store.read() as snapshot:
                with guard:
                    if snapshot._db in busy:
                        failures.append("shared")
                    busy.add(snapshot._db)
                if snapshot.count(filters.EVERYTHING) != 1:
                    failures.append("wrong")
                with guard:
                    busy.discard(snapshot._db)

    threads = [threading.Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert 1 <= store._readers.open_count <= 3


def test_a_connection_that_was_closed_is_replaced(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    with store.read() as snapshot:
        first = snapshot._db
    first.raw.close()  # as a fault would
    with store.read() as snapshot:
        assert snapshot._db is not first
        assert snapshot.count(filters.EVERYTHING) == 1


def test_a_broken_writer_is_replaced(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    assert store._writer is not None
    store._writer.broken = True
    fill.add(store, "b")
    assert store.last_seq() == 2


def test_what_an_interrupted_thread_left_open_is_rolled_back(store: Store, fill: Any) -> None:
    fill.add(store, "before")
    assert store._writer is not None
    store._writer.execute("BEGIN IMMEDIATE")
    store._writer.execute("DELETE FROM memories")
    fill.add(store, "after")
    with store.read() as snapshot:
        page = snapshot.page(filters.EVERYTHING, order="created_at", limit=9, after=None)
    assert [record.content for record in page] == ["before", "after"]
    assert store.check() == []


def test_a_connection_that_met_an_error_is_not_lent_again(store: Store) -> None:
    with store.read() as snapshot:
        first = snapshot._db
        with pytest.raises(StoreError, match="nonsense"):
            first.rows("PRAGMA quick_check(nonsense)")
        assert not first.broken  # a mistake in a statement says nothing about the disk
        first.broken = True
    with store.read() as snapshot:
        assert snapshot._db is not first


def test_readers_lent_when_the_store_closes_end_quietly(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    with store.read() as snapshot:
        store.close()
        assert snapshot.count(filters.EVERYTHING) == 1
    assert store._readers.open_count == 0


def until_waiting(store: Store, number: int) -> None:
    deadline = time.monotonic() + 30
    while len(store._readers._waiting) < number:
        assert time.monotonic() < deadline, "nobody waits"
        threading.Event().wait(0.001)


def test_who_waits_longest_is_served_first(open_store: Any, fill: Any) -> None:
    """And before a thread that comes back at once for what it has just given back."""
    store = open_store(config={"readers": 1})
    fill.add(store, "a")
    served: list[object] = []

    def wait(number: int) -> None:
        with store.read():
            served.append(number)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(5)]
    with store.read():
        for number, thread in enumerate(threads, 1):
            thread.start()
            until_waiting(store, number)
    for _ in range(3):
        with store.read():
            served.append("came back")
    for thread in threads:
        thread.join(30)
    assert served == [0, 1, 2, 3, 4, *["came back"] * 3]


@pytest.mark.parametrize("size", [1, 2])
def test_an_interrupt_in_line_loses_no_connection(open_store: Any, fill: Any, size: int) -> None:
    """Wherever it strikes while the thread is served, or finds that it is not."""
    store = open_store(config={"readers": size})
    fill.add(store, "a")
    pool = store._readers
    lent = pool.acquire(5)
    line, struck = 0, True
    while struck:
        line, struck, seen = line + 1, False, itertools.count(1)

        def trace(frame: Any, event: str, _: object, seen: Any = seen, line: int = line) -> Any:
            if frame.f_code.co_name not in ("_acquire_slowly", "_serve", "_is_served", "_give"):
                return None
            in_serving = frame.f_code.co_name != "_acquire_slowly"
            if event == "line" and in_serving and next(seen) == line:
                raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            pool.release(pool._acquire_slowly(0.01, beside=False))
        except KeyboardInterrupt:
            struck = True
        except StoreTimeoutError:
            assert size == 1
        finally:
            sys.settrace(None)
        assert pool.stats()["waiting"] == 0
        assert pool.stats()["in_use"] == 1
    assert line > 5
    pool.release(lent)
    assert [pool.release(pool.acquire(5)) for _ in range(3)] == [None] * 3


def test_who_gives_up_waiting_leaves_its_place(open_store: Any, fill: Any) -> None:
    store = open_store(config={"readers": 1, "lock_timeout": 0.05})
    fill.add(store, "a")
    with store.read():
        with pytest.raises(StoreTimeoutError, match="1 read connections"), store.read():
            pytest.fail("there was none")
        assert store._readers.stats()["waiting"] == 0
    assert store.last_seq() == 1


def test_closing_wakes_those_who_wait(open_store: Any, fill: Any) -> None:
    store = open_store(config={"readers": 1})
    fill.add(store, "a")
    raised: list[Exception] = []

    def wait() -> None:
        try:
            with store.read():
                pytest.fail("there was none")
        except ClosedError as error:
            raised.append(error)

    waiting = threading.Thread(target=wait)
    with store.read():
        waiting.start()
        until_waiting(store, 1)
        store.close()
        waiting.join(30)
    assert len(raised) == 1


def test_a_connection_that_an_interrupt_made_a_thread_lose_is_found_again(
    open_store: Any, fill: Any
) -> None:
    store = open_store(config={"readers": 2, "lock_timeout": 5})
    fill.add(store, "a")
    for _ in range(3):
        store._readers.acquire(5)  # and whoever it was lost it
        lost = store._readers.acquire(5)
        lost.execute("BEGIN")
        lost.rows("SELECT count(*) FROM memories")
        del lost
        with store.read() as one, store.read() as two:
            assert one._db is not two._db
            assert [one.count(filters.EVERYTHING), two.count(filters.EVERYTHING)] == [1, 1]
    kept = store._readers.acquire(5)
    store._readers.acquire(5)
    assert store._readers.stats()["in_use"] == 1
    assert store._readers.rest(time.monotonic() + 0.01) is False
    store._readers.release(kept)
    del kept
    assert store._readers.rest(time.monotonic() + 5)
    store._readers.wake()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_interrupts_of_reads_leave_none_in_use(store: Store, fill: Any) -> None:
    fill.add(store, *(f"memory {i}" for i in range(300)))
    chance = random.Random(3)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(150):
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.001, 0.004))
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    with store.read() as snapshot:
                        snapshot.page(filters.EVERYTHING, order="created_at", limit=300, after=None)
                    store.ask(lambda state: state.count(filters.EVERYTHING))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert store._readers.stats()["in_use"] == 0
    with store.read() as snapshot:
        assert snapshot.count(filters.EVERYTHING) == 300
