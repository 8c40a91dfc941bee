"""Many threads and many processes on one folder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentmem import ClosedError, Memory

WRITER = """
import sys
from agentmem import Memory
path, name, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Memory(path, embedder="static") as mem:
    for i in range(n):
        mem.add(f"{name} says {i}", user_id=name)
        assert mem.count(user_id=name) == i + 1
        hits = mem.search(f"{name} says {i}", user_id=name, top_k=n)["results"]
        assert any(hit["memory"] == f"{name} says {i}" for hit in hits), i
"""

ECHO = """
import sys
from agentmem import Memory
with Memory(sys.argv[1], embedder="static") as mem:
    for line in sys.stdin:
        mem.add(line.strip(), user_id="shared")
        print("stored", flush=True)
"""


def test_threads_share_one_memory(mem: Memory) -> None:
    def work(name: int) -> None:
        for i in range(20):
            [result] = mem.add(f"thread {name} item {i}", user_id=f"t{name}")["results"]
            assert mem.get(result["id"])["memory"] == f"thread {name} item {i}"
            found = mem.search(f"thread {name} item {i}", user_id=f"t{name}", top_k=20)["results"]
            assert result["id"] in [hit["id"] for hit in found]
            if i % 5 == 4:
                mem.delete(result["id"])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert mem.count(unscoped=True) == 8 * 16
    assert mem.check()["problems"] == []


def test_processes_share_one_folder(path: Path) -> None:
    Memory(path, embedder="static").close()
    workers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"p{i}", "25"]) for i in range(3)
    ]
    assert [worker.wait(120) for worker in workers] == [0, 0, 0]
    with Memory(path, embedder="static") as mem:
        assert mem.count(unscoped=True) == 75
        assert mem.check()["problems"] == []


def test_the_next_search_sees_another_processes_add(path: Path) -> None:
    with Memory(path, embedder="static") as mem:
        mem.add("warm", user_id="shared")
        other = subprocess.Popen(
            [sys.executable, "-c", ECHO, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert other.stdin is not None
        assert other.stdout is not None
        for i in range(200):
            text = f"message {i} of the other process"
            other.stdin.write(text + "\n")
            other.stdin.flush()
            assert other.stdout.readline() == "stored\n"
            hits = mem.search(text, user_id="shared", top_k=1)["results"]
            assert hits[0]["memory"] == text
        other.stdin.close()
        assert other.wait(30) == 0
        other.stdout.close()


def test_the_same_key_from_many_threads_is_stored_once(mem: Memory) -> None:
    barrier = threading.Barrier(8)

    def work(_: int) -> str:
        barrier.wait()
        return mem.add("only once", user_id="u", idempotency_key="k")["results"][0]["id"]

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(work, range(8)))
    assert len(ids) == 1
    assert mem.count(user_id="u") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_gets_a_clear_error(path: Path) -> None:
    script = """
import os, sys, warnings
from agentmem import Memory, ClosedError
warnings.simplefilter("ignore")
mem = Memory(sys.argv[1], embedder="static")
mem.add("before", user_id="u")
pid = os.fork()
if pid == 0:
    try:
        mem.add("in the child", user_id="u")
    except ClosedError as error:
        os._exit(0 if "fork" in str(error) else 2)
    os._exit(3)
_, status = os.waitpid(pid, 0)
mem.add("after", user_id="u")
assert mem.count(user_id="u") == 2
mem.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    assert subprocess.run([sys.executable, "-c", script, str(path)], timeout=60).returncode == 0
    assert issubclass(ClosedError, RuntimeError)
