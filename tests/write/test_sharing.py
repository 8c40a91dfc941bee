"""Many callers of one Memory: they share transactions, and none pays for another's mistake."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import ConflictError, Memory, NotFoundError, StoreTimeoutError

PATIENCE = 60.0


class Turnstile:
    """A user's embedder that can be held shut, and that chokes on one word."""

    dim = 8

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.batches: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.batches.append(list(texts))
        assert self.open.wait(PATIENCE)
        if any("indigestible" in text for text in texts):
            raise OverflowError("cannot embed that")
        return np.array([[len(text), *range(1, self.dim)] for text in texts], np.float32)


@pytest.fixture
def turnstile() -> Turnstile:
    return Turnstile()


@pytest.fixture
def mem(tmp_path: Path, turnstile: Turnstile) -> Iterator[Memory]:
    config = {"write": {"leaders": 1, "queue_calls": 20, "queue_timeout": 20.0}}
    with Memory(tmp_path / "mem", embedder=turnstile, config=config, user_id="u") as made:
        yield made


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as made:
        yield made


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "this never came true"
        threading.Event().wait(0.001)


def together(
    mem: Memory,
    turnstile: Turnstile,
    pool: ThreadPoolExecutor,
    calls: Sequence[Callable[[], Any]],
) -> list[Future[Any]]:
    """All calls in one group, in this order, each from a thread of its own."""
    turnstile.open.clear()
    first = pool.submit(mem.add, "holds the door")
    until(lambda: bool(turnstile.batches) and turnstile.batches[-1] == ["holds the door"])
    started = []
    for call in calls:
        before = mem.stats()["writes"]["waiting"]
        started.append(pool.submit(call))
        until(lambda before=before: mem.stats()["writes"]["waiting"] > before)
    turnstile.open.set()
    first.result(PATIENCE)
    return started


def contents(mem: Memory) -> list[str]:
    return [item["memory"] for item in mem.get_all()["results"]]


def test_calls_share_a_batch_and_a_transaction(
    mem: Memory, turnstile: Turnstile, pool: ThreadPoolExecutor
) -> None:
    calls = [lambda i=i: mem.add(f"text {i}") for i in range(12)]
    answers = [c.result(PATIENCE) for c in together(mem, turnstile, pool, calls)]
    assert [a["results"][0]["memory"] for a in answers] == [f"text {i}" for i in range(12)]
    assert turnstile.batches[-1] == [f"text {i}" for i in range(12)]
    assert contents(mem) == ["holds the door", *(f"text {i}" for i in range(12))]
    assert mem.stats()["writes"]["largest_group"] == 12
    items = [mem.get(a["results"][0]["id"]) for a in answers]
    assert len({item["created_at"] for item in items if item}) == 1


def test_a_mistake_fails_its_caller_only(
    mem: Memory, turnstile: Turnstile, pool: ThreadPoolExecutor
) -> None:
    taken = str(uuid.uuid4())
    mem.add_batch([{"content": "was here first", "id": taken}])
    one = mem.add("to be changed")["results"][0]["id"]
    two = mem.add("to be deleted")["results"][0]["id"]
    calls: list[Callable[[], Any]] = [
        lambda: mem.add("before"),
        lambda: mem.add_batch(["good", {"content": "takes the id", "id": taken}]),
        lambda: mem.update(one, "was changed"),
        lambda: mem.update(str(uuid.uuid4()), "whatever"),
        lambda: mem.delete(two),
        lambda: mem.delete(str(uuid.uuid4())),
        lambda: mem.add_batch(["x", "y", "x"], dedupe=True),
        lambda: mem.add("after"),
    ]
    started = together(mem, turnstile, pool, calls)
    errors = [call.exception(PATIENCE) for call in started]
    assert [type(e) for e in errors] == [
        type(None), ConflictError, type(None), NotFoundError,
        type(None), NotFoundError, type(None), type(None),
    ]  # fmt: skip
    expected = ["was here first", "was changed", "holds the door", "before", "x", "y", "after"]
    assert sorted(contents(mem)) == sorted(expected)
    assert mem.stats()["writes"]["largest_group"] == 8
    assert mem.check()["problems"] == []


def test_an_id_that_two_callers_choose_at_once(
    mem: Memory, turnstile: Turnstile, pool: ThreadPoolExecutor
) -> None:
    chosen = str(uuid.uuid4())
    calls = [
        lambda text=text: mem.add_batch([{"content": text, "id": chosen}])
        for text in ("mine", "yours", "mine")
    ]
    mine, yours, again = together(mem, turnstile, pool, calls)
    assert mine.result(PATIENCE)["results"][0]["event"] == "ADD"
    assert again.result(PATIENCE)["results"][0] == {
        "id": chosen, "memory": "mine", "event": "NONE", "actor_id": None, "role": None,
    }  # fmt: skip
    with pytest.raises(ConflictError, match=chosen):
        yours.result(PATIENCE)
    assert contents(mem) == ["holds the door", "mine"]


def test_keys_and_duplicates_are_seen_across_callers(
    mem: Memory, turnstile: Turnstile, pool: ThreadPoolExecutor
) -> None:
    keyed = [lambda: mem.add("once", idempotency_key="k")] * 4
    same = [lambda: mem.add_batch(["same", "same"], dedupe=True)] * 3
    started = together(mem, turnstile, pool, [*keyed, *same])
    answers = [result for call in started for result in call.result(PATIENCE)["results"]]
    assert [r["event"] for r in answers] == ["ADD"] + ["NONE"] * 3 + ["ADD"] + ["NONE"] * 5
    assert len({r["id"] for r in answers}) == 2
    assert contents(mem) == ["holds the door", "once", "same"]


def test_a_text_that_cannot_be_embedded_fails_its_caller_only(
    mem: Memory, turnstile: Turnstile, pool: ThreadPoolExecutor
) -> None:
    calls = [
        lambda text=text: mem.add(text) for text in ("food", "indigestible", "indigestible", "more")
    ]
    food, *bad, more = together(mem, turnstile, pool, calls)
    food.result(PATIENCE)
    more.result(PATIENCE)
    errors = [call.exception(PATIENCE) for call in bad]
    assert [type(e) for e in errors] == [OverflowError, OverflowError]
    assert contents(mem) == ["holds the door", "food", "more"]


def test_a_lock_that_does_not_come_fails_all_and_stores_nothing(tmp_path: Path) -> None:
    config = {"store": {"lock_timeout": 0.2}}
    path = tmp_path / "mem"
    with (
        Memory(path, embedder="static", config=config, user_id="u") as mem,
        Memory(path, embedder="static", user_id="u") as other,
        ThreadPoolExecutor(8) as pool,
    ):
        mem.add("before")
        with other._engine.store.write():
            calls = [pool.submit(mem.add, f"text {i}") for i in range(8)]
            errors = [call.exception(PATIENCE) for call in calls]
        assert {type(e) for e in errors} == {StoreTimeoutError}
        assert len({id(e) for e in errors}) == 8  # each thread has a traceback of its own
        assert contents(mem) == ["before"]
        mem.add("after")
        assert contents(mem) == ["before", "after"]


def test_a_large_batch_does_not_hold_up_small_calls(
    mem: Memory, turnstile: Turnstile, pool: ThreadPoolExecutor
) -> None:
    turnstile.open.clear()
    large = pool.submit(mem.add_batch, [f"large {i}" for i in range(200)])
    until(lambda: bool(turnstile.batches))
    mem.add("small", vector=np.ones(8))  # embeds nothing, and waits for nobody
    assert contents(mem) == ["small"]
    turnstile.open.set()
    large.result(PATIENCE)
    assert mem.count() == 201


def test_closing_waits_for_calls_that_are_queued(
    mem: Memory, turnstile: Turnstile, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    turnstile.open.clear()
    calls = []
    for i in range(10):
        before = mem.stats()["writes"]["waiting"]
        calls.append(pool.submit(mem.add, f"text {i}"))
        until(lambda before=before: mem.stats()["writes"]["waiting"] > before)
    closing = pool.submit(mem.close)
    until(lambda: mem._engine.queue._closing)
    turnstile.open.set()
    closing.result(PATIENCE)
    for call in calls:
        call.result(PATIENCE)
    with Memory(tmp_path / "mem", embedder=turnstile, user_id="u") as again:
        assert again.count() == 10


def test_a_callers_own_calls_stay_in_order(mem: Memory, pool: ThreadPoolExecutor) -> None:
    def conversation(name: int) -> None:
        for i in range(25):
            mem.add(f"{name} says {i}", run_id=f"r{name}")

    list(pool.map(conversation, range(64)))
    for name in range(64):
        said = [item["memory"] for item in mem.get_all(run_id=f"r{name}")["results"]]
        assert said == [f"{name} says {i}" for i in range(25)]
    writes = mem.stats()["writes"]
    assert writes["calls"] == 64 * 25
    assert writes["groups"] < 64 * 25 / 4
    assert mem.check()["problems"] == []


INTERRUPTED = """
import faulthandler, os, signal, sys, threading
from agentmem import Memory

faulthandler.dump_traceback_later(50, exit=True)
mem = Memory(sys.argv[1], embedder="static", config={"write": {"leaders": 2}})
mem.add("first", user_id="other")  # loads everything: Python's imports survive no interrupt
acknowledged, stop, inside, armed = [], threading.Event(), threading.Event(), []

def other(name):
    for i in range(10**9):
        if stop.is_set():
            return
        mem.add(f"{name} {i}", user_id="u")
        acknowledged.append(f"{name} {i}")

def interrupter():
    while not stop.is_set():
        inside.wait()
        inside.clear()
        os.kill(os.getpid(), signal.SIGINT)

def once(*_):
    if armed:
        armed.clear()
        raise KeyboardInterrupt

signal.signal(signal.SIGINT, once)
threads = [threading.Thread(target=other, args=(f"thread {k}",)) for k in range(4)]
threads.append(threading.Thread(target=interrupter))
for t in threads: t.start()
interrupts = 0
for i in range(10**9):
    try:
        armed.append(True)
        inside.set()
        mem.add(f"main {i}", user_id="u")
        armed.clear()
        acknowledged.append(f"main {i}")
    except KeyboardInterrupt:
        interrupts += 1
        if interrupts == 150:
            break
stop.set()
inside.set()
for t in threads: t.join()
mem.close()
print("\\n".join(acknowledged))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_control_c_in_the_main_thread_harms_no_other(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "mem")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    acknowledged = done.stdout.splitlines()
    with Memory(tmp_path / "mem", embedder="static") as mem:
        stored: list[str] = []
        cursor = None
        while True:
            page = mem.get_all(user_id="u", limit=10_000, cursor=cursor)
            stored += [item["memory"] for item in page["results"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len(set(stored)) == len(stored)
        assert set(acknowledged) <= set(stored)
        assert all(text.startswith("main ") for text in set(stored) - set(acknowledged))
        assert mem.check()["problems"] == []
