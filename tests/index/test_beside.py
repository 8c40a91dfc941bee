"""Two pieces of work at the same time, and what happens when one of them fails or is in the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from agentmem.index.beside import Beside

SECONDS = 10  # that a thread is waited for before the test fails


@pytest.fixture
def beside() -> Iterator[Beside]:
    made = Beside(cores=2)
    yield made
    made.close()


def fails() -> None:
    raise LookupError("as it must")


def test_both_are_done_at_the_same_time(beside: Beside) -> None:
    here, there = threading.Event(), threading.Event()

    def first() -> tuple[bool, int]:
        here.set()
        return there.wait(SECONDS), threading.get_ident()

    def second() -> tuple[bool, int]:
        there.set()
        return here.wait(SECONDS), threading.get_ident()

    (met, mine), (met_too, other) = beside.both(first, second)
    assert met
    assert met_too
    assert mine == threading.get_ident() != other
    assert beside.both(threading.get_ident, threading.get_ident) == (mine, other)


def test_an_error_is_raised_once_both_have_ended(beside: Beside) -> None:
    ended = []
    with pytest.raises(LookupError):
        beside.both(lambda: ended.append(1), fails)
    with pytest.raises(LookupError):
        beside.both(fails, lambda: ended.append(2))
    assert ended == [1, 2]
    assert beside.both(lambda: 1, lambda: 2) == (1, 2)


def test_whoever_comes_second_does_both_alone(beside: Beside) -> None:
    threads = []

    def inside() -> int:
        threads.append(beside.both(threading.get_ident, threading.get_ident))
        return threading.get_ident()

    mine, other = beside.both(inside, threading.get_ident)
    assert threads == [(mine, mine)]
    assert other != mine


def test_one_core_or_the_end_keep_it_in_one_thread(beside: Beside) -> None:
    mine = threading.get_ident()
    both = threading.get_ident, threading.get_ident
    assert Beside(cores=1).both(*both) == (mine, mine)
    beside.close()
    assert beside.both(*both) == (mine, mine)


def test_where_no_thread_is_to_be_had_one_does_both(beside: Beside) -> None:
    """As once the main thread has ended: ``submit`` raises RuntimeError."""
    mine = threading.get_ident()
    beside.both(int, int)
    assert beside._thread is not None
    beside._thread.shutdown()
    assert beside.both(threading.get_ident, threading.get_ident) == (mine, mine)
    with pytest.raises(LookupError):
        beside.both(fails, int)
    assert beside.both(lambda: 1, lambda: 2) == (1, 2)
