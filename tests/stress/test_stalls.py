"""What a call's time is made of, and whether what a run uses stays as it is."""

from __future__ import annotations

import gc
import sys
import threading
import time
from itertools import chain
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import pytest

from agentmem.stress import Plan
from agentmem.stress.session import Session
from agentmem.stress.stalls import PARTS, Stalls, merged
from agentmem.stress.trend import trends

MS = 1_000_000


def spin(milliseconds: float) -> None:
    end = time.thread_time_ns() + int(milliseconds * MS)
    while time.thread_time_ns() < end:
        pass


def told(stalls: Stalls, late: int = 0, since: int = 0) -> Any:
    """A call during which something happens: a generator that is to be sent on."""
    mark = stalls.mark()
    yield
    stalls.ended("add", mark.at - late, mark, perf_counter_ns(), since)
    yield stalls.to_dict()["slowest"][0]


def test_computing_and_waiting_are_told_apart() -> None:
    stalls = Stalls()
    call = told(stalls, late=3 * MS)
    next(call)
    spin(5)
    computed = next(call)
    assert computed["late"] == 3.0
    assert computed["computing"] >= 5
    call = told(stalls, late=3000 * MS)
    next(call)
    taken = threading.Lock()
    taken.acquire()
    assert not taken.acquire(timeout=0.05)
    waited = next(call)
    assert waited["late"] == 3000.0
    assert waited["rest"] + waited["no_processor"] >= 49
    assert waited["ms"] == pytest.approx(sum(waited[name] for name in PARTS))


def test_the_collector_is_seen() -> None:
    stalls = Stalls()
    stalls.start()
    try:
        call = told(stalls)
        next(call)
        gc.collect()
        assert next(call)["collecting"] > 0
    finally:
        stalls.stop()
    found = merged([stalls.to_dict(), stalls.to_dict()])
    assert found["collector"]["pauses"] >= 2
    assert found["collector"]["max_ms"] > 0
    gc.collect()
    assert merged([stalls.to_dict()] * 2) == found  # after ``stop`` it looks away


def time_of(helper: str, stalls: Stalls) -> int:
    """The processor time of one of the library's threads; others may be there, too."""
    return next(spent for name, _, spent in stalls.mark().helpers if name == helper)


@pytest.mark.skipif(sys.platform != "linux", reason="clocks of threads are Linux's")
def test_what_a_thread_of_the_library_does_meanwhile_is_told() -> None:
    stalls = Stalls()
    go, done, end = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        go.wait()
        spin(5)
        done.set()
        end.wait()

    thread = threading.Thread(target=work, name="agentmem-checkpoint")
    thread.start()
    stalls.look_for_helpers()
    call = told(stalls)
    next(call)
    go.set()
    done.wait()
    found = next(call)
    end.set()
    thread.join()
    assert found["meanwhile"]["checkpoint"] >= 5
    assert found["others"] >= 4  # the caller computes, too
    until = time.monotonic() + 30  # Python has joined it, and the system is about to end it
    while time_of("checkpoint", stalls) and time.monotonic() < until:
        pass
    assert time_of("checkpoint", stalls) == 0


def test_the_slowest_hundredth_is_added_up() -> None:
    stalls = Stalls()
    for i in range(2_000):
        mark = stalls.mark()
        late = 50 * MS if i % 50 == 25 else 0
        stalls.ended("get", mark.at - late, mark, mark.at + 1000, 0)
    (slow,) = merged([stalls.to_dict()] * 3)["slow"].items()
    assert slow[0] == "get"
    assert slow[1]["calls"] >= 3 * 30
    assert slow[1]["late"] == pytest.approx(50, rel=0.2)
    assert len(stalls.to_dict()["slowest"]) == 10
    assert all(call["ms"] > 50 for call in stalls.to_dict()["slowest"])


def test_tasks_share_a_thread_whose_times_say_nothing() -> None:
    stalls = Stalls(threads=False)
    call = told(stalls)
    next(call)
    spin(2)
    found = next(call)
    assert found["computing"] == found["no_processor"] == 0
    assert found["rest"] >= 2
    assert "others" not in found


def samples(
    rss: list[float], every: float = 2.0, caches: list[float] | None = None
) -> list[dict[str, Any]]:
    same = {"wal_bytes": 1 << 20, "files": 20, "threads": 9}
    return [
        {"second": every * i, "rss_bytes": value, "cache_bytes": caches[i] if caches else 0, **same}
        for i, value in enumerate(rss)
    ]


def test_what_grows_is_told_from_what_is_flat() -> None:
    mib = 1 << 20
    noisy = [300 * mib + (i % 3) * 100_000 for i in range(60)]
    leaking = [300 * mib + i * mib for i in range(60)]
    warming = [min(i, 20) * 10.0 * mib for i in range(60)]
    assert trends(samples(noisy))["rss_bytes"]["verdict"] == "flat"
    found = trends(samples(leaking))["rss_bytes"]
    assert found["verdict"] == "growing"
    assert found["per_hour"] == pytest.approx(1800 * mib)
    assert trends(samples(leaking[::-1]))["rss_bytes"]["verdict"] == "shrinking"
    assert trends(samples(warming))["rss_bytes"]["verdict"] == "flat"  # caches were filling
    assert {one["verdict"] for one in trends(samples(noisy)).values()} == {"flat"}
    assert trends(samples(noisy, every=0.5)) == {}  # too short to say
    warm_up = [{**one, "second": one["second"] - 120} for one in samples(leaking + noisy)]
    assert trends(warm_up)["rss_bytes"]["verdict"] == "flat"
    assert trends(warm_up) == trends(samples(noisy))


def test_caches_that_fill_are_told_from_what_leaks() -> None:
    mib = 1 << 20
    growing = [300 * mib + i * mib for i in range(60)]
    filling = [i * 1.0 * mib for i in range(60)]

    def verdicts(caches: list[float]) -> list[str]:
        found = trends(samples(growing, caches=caches))
        return [found[name]["verdict"] for name in ("rss_bytes", "cache_bytes", "rest_bytes")]

    assert verdicts(filling) == ["growing", "growing", "flat"]
    assert verdicts([20.0 * mib] * 60) == ["growing", "flat", "growing"]


@pytest.mark.parametrize(("rate", "kind"), [("", "threads"), ("50%", "threads"), ("50%", "tasks")])
def test_each_user_belongs_to_one_worker(tmp_path: Path, rate: str, kind: Any) -> None:
    plan = Plan("retrieval", kind=kind, rate=rate, workers=4, users=30, size=30)
    session = Session(plan, tmp_path)
    try:
        users = [[ledger.user for ledger in actor.ledgers] for actor in session.actors]
        assert len(users) == 4
        assert sorted(chain(*users)) == sorted(f"user-{i}" for i in range(30))
    finally:
        session.close()
