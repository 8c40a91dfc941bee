"""Borrowing: never more than there are, in order, and nothing lost to an interrupt."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentmem.embed.slots import Slots


def until_waiting(slots: Slots[str], n: int) -> None:
    """Returns when n threads wait."""
    while len(slots._waiting) < n:
        pass


def test_no_item_is_lent_twice_at_once() -> None:
    slots = Slots(["a", "b", "c"])
    lent: set[str] = set()
    lock = threading.Lock()

    def borrow_often(_: int) -> None:
        for _ in range(300):
            with slots.borrow() as item:
                with lock:
                    assert item not in lent
                    lent.add(item)
                with lock:
                    lent.remove(item)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(borrow_often, range(12)))
    assert sorted(slots._free) == ["a", "b", "c"]


def test_the_warmest_item_comes_first() -> None:
    slots = Slots(["a", "b"])
    with slots.borrow() as first:
        pass
    with slots.borrow() as again:
        assert again == first


def test_waiters_are_served_in_order_before_who_gave_back() -> None:
    slots = Slots(["only"])
    served: list[int] = []

    def borrow(i: int) -> None:
        with slots.borrow():
            served.append(i)

    with ThreadPoolExecutor(5) as threads:
        with slots.borrow():
            for i in range(5):
                threads.submit(borrow, i)
                until_waiting(slots, i + 1)
        with slots.borrow():  # comes after all who waited
            assert served == [0, 1, 2, 3, 4]


def test_an_error_gives_the_item_back() -> None:
    slots = Slots(["only"])
    with pytest.raises(ValueError, match="inside"), slots.borrow():
        raise ValueError("inside")
    assert slots._free == ["only"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_an_interrupted_waiter_takes_nothing_with_it() -> None:
    slots = Slots(["only"])

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    done = threading.Event()

    def hold() -> None:
        with slots.borrow():
            holding.set()
            done.wait(30)

    holding = threading.Event()
    other = threading.Thread(target=hold)
    other.start()
    holding.wait(30)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt), slots.borrow():
            pytest.fail("was not free")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        done.set()
        other.join()
    assert not slots._waiting
    assert slots._free == ["only"]


def test_an_item_that_came_with_the_interrupt_goes_to_the_next() -> None:
    """The gap between being given the item and taking it, which no timing can hit reliably."""
    slots = Slots(["only"])
    with slots.borrow(), ThreadPoolExecutor(2) as threads:
        first = threads.submit(slots._take)
        until_waiting(slots, 1)
        waiter = slots._waiting[0]
        second = threads.submit(slots._take)
        until_waiting(slots, 2)
        slots._waiting.popleft()
        waiter.item = "only"
        slots._abandon(waiter)
        assert second.result(30) == "only"
        waiter.wake.release()
        first.result(30)
