"""The write lock: one at a time, in arrival order, with a time limit."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agentmem.errors import StoreError, StoreTimeoutError
from agentmem.store.lock import PortableFileLock, WriteLock, make_file_lock

HOLD = """
import sys
from pathlib import Path
from agentmem.store.lock import WriteLock

lock = WriteLock(Path(sys.argv[1]))
lock.acquire(10)
print("held", flush=True)
sys.stdin.readline()
lock.release()
print("released", flush=True)
sys.stdin.readline()
"""


class Holder:
    """Another process that holds the lock until told."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.say("held")

    def say(self, expected: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == expected

    def release(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_threads_are_served_in_arrival_order(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path)
    lock.acquire(1)
    served: list[int] = []
    threads = []
    for number in range(8):

        def turn(number: int = number) -> None:
            lock.acquire(10)
            served.append(number)
            lock.release()

        thread = threading.Thread(target=turn)
        thread.start()
        threads.append(thread)
        while len(lock._turns._waiting) <= number:  # until it stands in the queue
            time.sleep(0.001)
    lock.release()
    for thread in threads:
        thread.join()
    assert served == list(range(8))
    lock.close()


def test_a_thread_gives_up_in_time_and_leaves_the_queue(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        lock.acquire(1)
        held.set()
        done.wait()
        lock.release()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    late = pytest.raises(StoreTimeoutError, match=r"another thread .* config.store.lock_timeout")
    with late:
        lock.acquire(0.05)
    done.set()
    holder.join()
    lock.acquire(0)
    with pytest.raises(StoreError, match="a write inside a write"):
        lock.acquire(5)
    lock.release()
    lock.close()


def test_another_process_is_waited_for(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    lock = WriteLock(tmp_path)
    with pytest.raises(StoreTimeoutError, match="another process"):
        lock.acquire(0.05)
    threading.Timer(0.1, holder.release).start()
    lock.acquire(10)
    holder.say("released")
    lock.release()
    lock.acquire(0)  # free: no waiting thread stands in the way
    lock.release()
    lock.close()
    holder.end()


def test_a_lock_that_comes_too_late_is_let_go(tmp_path: Path) -> None:
    """We gave up waiting; when the other process is done the lock must not stay with us."""
    holder = Holder(tmp_path)
    lock = WriteLock(tmp_path)
    with pytest.raises(StoreTimeoutError):
        lock.acquire(0.05)
    holder.release()
    holder.say("released")
    second = Holder(tmp_path)  # would not be granted if we kept it
    second.end()
    lock.close()
    holder.end()


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    lock = WriteLock(tmp_path)
    threading.Timer(0.1, holder.process.kill).start()
    lock.acquire(10)
    lock.release()
    lock.close()
    holder.end()


def test_closing_while_waiting_lets_go(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    lock = WriteLock(tmp_path)
    with pytest.raises(StoreTimeoutError):
        lock.acquire(0.01)
    lock.close()
    holder.end()
    again = WriteLock(tmp_path)
    again.acquire(10)
    again.release()
    again.close()


@pytest.mark.parametrize("make", [make_file_lock, PortableFileLock])
def test_both_kinds_of_file_lock_exclude_and_time_out(tmp_path: Path, make: type) -> None:
    one, two = make(tmp_path), make(tmp_path)
    assert one.acquire(0)
    start = time.monotonic()
    assert not two.acquire(0.05)
    assert time.monotonic() - start < 5
    one.release()
    assert two.acquire(5)
    two.release()
    one.close()
    two.close()
