"""Several real processes on one folder, through the public face."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentmem import ClosedError, Memory

#: Four write and search for so long; they say how long a call took at most (run with -s).
SECONDS = float(os.environ.get("AGENTMEM_PROCESS_SECONDS", "2"))
#: One adds, the other searches; 10,000 take about a minute.
ROUNDS = int(os.environ.get("AGENTMEM_FRESH_ROUNDS", "300"))

WORKER = """
import json, sys, time
from agentmem import ClosedError, Memory
path, name, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
longest, kept, gone = {}, {}, []
def timed(kind, call, *args, **kwargs):
    begin = time.perf_counter()
    try:
        return call(*args, **kwargs)["results"]
    finally:
        longest[kind] = max(longest.get(kind, 0.0), time.perf_counter() - begin)
with Memory(path, embedder="static") as mem:
    mem.warm_up(user_id="all")
    print("ready", flush=True)
    sys.stdin.readline()
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        n += 1
        text = f"{name} says number {n}"
        [one] = timed("add", mem.add, text, user_id=name)
        hits = timed("search", mem.search, text, user_id=name, top_k=5)
        assert any(hit["id"] == one["id"] for hit in hits), text
        batch = [f"{name} wrote number {n} line {i}" for i in range(20)]
        timed("add_batch", mem.add_batch, batch, user_id="all", metadata={"by": f"{name} {n}"})
        assert len(timed("search", mem.search, "wrote a line", user_id="all", top_k=9)) == 9
        if n % 3 == 0:
            timed("delete", mem.delete, one["id"])
            gone.append(one["id"])
        else:
            timed("update", mem.update, one["id"], text + " again")
            kept[one["id"]] = text + " again"
print(json.dumps({"rounds": n, "kept": kept, "gone": gone, "longest": longest}))
"""

#: Does to one memory what each line says, and answers with its id.
OTHER = """
import json, sys
from agentmem import ClosedError, Memory
with Memory(sys.argv[1], embedder="static") as mem:
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        scope = {"user_id": "shared"} if name == "add" else {}
        [result] = getattr(mem, name)(*arguments, **scope)["results"]
        print(result["id"], flush=True)
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_four_processes_write_and_search_one_folder(path: Path) -> None:
    Memory(path, embedder="static").close()
    names = [f"p{i}" for i in range(4)]
    workers = [start(WORKER, path, name, SECONDS) for name in names]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    # An error of any call, "database is locked" among them, would end its process.
    said = [worker.communicate("\n", timeout=SECONDS + 120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    reports = [json.loads(one) for one in said]
    with Memory(path, embedder="static") as mem:
        assert mem.check()["problems"] == []
        for name, report in zip(names, reports, strict=True):
            assert {i["id"]: i["memory"] for i in pages(mem, name)} == report["kept"]
            assert mem.get_batch(report["gone"]) == [None] * len(report["gone"])
        batches = Counter(item["metadata"]["by"] for item in pages(mem, "all"))
        assert batches == {
            f"{name} {n + 1}": 20
            for name, report in zip(names, reports, strict=True)
            for n in range(report["rounds"])
        }
    for report in reports:
        waits = ", ".join(f"{k} {1000 * v:.0f} ms" for k, v in report["longest"].items())
        print(f"\n{report['rounds']:,} rounds; longest: {waits}", end="")


def pages(mem: Memory, user: str) -> Iterator[dict[str, Any]]:
    cursor = None
    while True:
        page = mem.get_all(user_id=user, limit=1000, cursor=cursor)
        yield from page["results"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


@pytest.fixture
def other(path: Path, mem: Memory) -> Iterator[Callable[..., str]]:
    """``other("add", text)``: what another process did; its call has returned."""
    process = start(OTHER, path)
    assert process.stdin is not None
    assert process.stdout is not None
    send, answers = process.stdin, process.stdout

    def call(*what: str) -> str:
        send.write(json.dumps(what) + "\n")
        send.flush()
        return answers.readline().strip()

    yield call
    send.close()
    assert process.wait(60) == 0
    answers.close()


def test_the_next_search_sees_what_another_process_did(
    mem: Memory, other: Callable[..., str]
) -> None:
    """Even while this process holds answers that are read half-way."""

    def found(number: int, mode: str = "hybrid") -> dict[str, str]:
        hits = mem.search(f"note n{number}", user_id="shared", top_k=20, mode=mode)["results"]
        return {hit["id"]: hit["memory"] for hit in hits}

    mem.add("the first", user_id="shared")
    with mem._engine.store.read() as held, mem._engine.store.read() as another:
        cursors = [
            snapshot._db.raw.execute("SELECT m.name FROM meta m, sqlite_schema")
            for snapshot in (held, another)
        ]
        for cursor in cursors:
            next(cursor)
        for number in range(ROUNDS):
            one = other("add", f"note n{number}")
            mode = ("hybrid", "dense", "keyword")[number % 3]
            # All notes are nearly alike to the model, so only words tell this one apart.
            assert one in found(number, "keyword" if mode == "dense" else mode), number
            assert mem.get(one) is not None
            if number % 10 == 3:
                other("update", one, f"note n{number} changed")
                assert found(number)[one] == f"note n{number} changed"
            elif number % 10 == 7:
                other("delete", one)
                assert one not in found(number)
                assert mem.get(one) is None
        for cursor in cursors:
            cursor.close()


def test_an_exact_duplicate_of_another_process_is_stored_once(path: Path) -> None:
    """Both look before either has committed, so it is the transaction that decides."""
    program = """
import json, sys
from agentmem import ClosedError, Memory
with Memory(sys.argv[1], embedder="static", user_id="u") as mem:
    mem.warm_up()
    print("ready", flush=True)
    sys.stdin.readline()
    events = []
    for n in range(40):
        texts = [f"round {n} fact {i}" for i in range(10)]
        events += mem.add_batch(texts, dedupe=True)["results"]
print(json.dumps([[event["id"], event["event"]] for event in events]))
"""
    Memory(path, embedder="static").close()
    workers = [start(program, path) for _ in range(2)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        assert worker.stdin is not None
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    one, two = (json.loads(worker.communicate(timeout=120)[0]) for worker in workers)
    assert [id for id, _ in one] == [id for id, _ in two]
    assert all({a, b} == {"ADD", "NONE"} for (_, a), (_, b) in zip(one, two, strict=True))
    with Memory(path, embedder="static") as mem:
        assert mem.count(user_id="u") == 400


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_refused_and_can_open_its_own(path: Path) -> None:
    script = """
import os, sys, threading, warnings
from agentmem import Memory, ClosedError
warnings.simplefilter("ignore")  # forking a process with threads is what this is about
mem = Memory(sys.argv[1], embedder="static", user_id="u")
mem.add("before")
mem.search("before")
stop = threading.Event()
def busy():
    while not stop.is_set():
        mem.add("meanwhile")
        mem.search("meanwhile")
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
children = []
for _ in range(5):  # at any moment of the threads that are at work
    pid = os.fork()
    if pid == 0:
        for call in (lambda: mem.add("x"), lambda: mem.search("x"), mem.count, mem.stats):
            try:
                call()
            except ClosedError as error:
                if "fork" not in str(error):
                    os._exit(2)
            else:
                os._exit(3)
        mem.close()
        with Memory(sys.argv[1], embedder="static", user_id="u") as own:
            own.add("of the child")
            if not any(h["memory"] == "of the child" for h in own.search("child")["results"]):
                os._exit(4)
        os._exit(0)
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
stop.set()
for thread in threads: thread.join()
print(codes, flush=True)
mem.add("after")
found = mem.search("of the child", top_k=20)["results"]
assert sum(hit["memory"] == "of the child" for hit in found) == 5
assert mem.check()["problems"] == []
mem.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0, 0]\n", "")
    assert issubclass(ClosedError, RuntimeError)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_child_writes_after_its_parent_has_closed_is_kept(path: Path) -> None:
    """A parent that took itself for the last user of the folder would remove the log in which
    the child's writes are."""
    script = """
import os, sys, warnings
from agentmem import Memory
warnings.simplefilter("ignore")
mem = Memory(sys.argv[1], embedder="static", user_id="u")
mem.add("of the parent")
mem.search("parent")
(opened, tell), (closed, say) = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    own = Memory(sys.argv[1], embedder="static", user_id="u")
    own.add("before the parent closed")
    os.write(tell, b"x")
    os.read(closed, 1)
    own.add("after the parent closed")
    os._exit(0)  # as a worker that is killed: nothing is closed
os.read(opened, 1)
mem.close()
os.write(say, b"x")
assert os.waitpid(pid, 0)[1] == 0
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60
    )
    assert (done.stderr, done.returncode) == ("", 0)
    with Memory(path, embedder="static", user_id="u") as mem:
        kept = [item["memory"] for item in mem.get_all()["results"]]
        assert sorted(kept) == sorted(
            ["of the parent", "before the parent closed", "after the parent closed"]
        )
