"""Several real processes on one folder; some of them are killed, some fork."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentmem.store import Store, filters

#: Writes batches of ten and says each one's number once it is committed.
WRITER = """
import sys, time
from hashlib import blake2b
from uuid import uuid4
import numpy as np
from agentmem.config import StoreConfig
from agentmem.store import Store
from agentmem.types import NewMemory, Scope, TermBatch, VectorSource

path, name, rounds, size, pause = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:6])
rounds, size = int(rounds), int(size)
store = Store(path, StoreConfig(), model_id="model-a", dim=4, analyzer="words-1")
vectors = np.full((size, 4), 0.5, dtype=np.float32)
terms = TermBatch(
    np.arange(size + 1, dtype=np.int64), np.arange(size, dtype=np.uint64),
    np.ones(size, dtype=np.uint16), np.ones(size, dtype=np.uint32),
)
print("ready", flush=True)
sys.stdin.readline()
longest, before = 0.0, time.monotonic()
for number in range(rounds):
    texts = [f"{name} {number} {i}" for i in range(size)]
    memories = [
        NewMemory(uuid4().bytes, Scope(name), text, blake2b(text.encode(), digest_size=16).digest())
        for text in texts
    ]
    start = time.monotonic()
    with store.write() as tx:
        tx.insert(memories, vectors, [VectorSource.MODEL] * size, terms)
    longest = max(longest, time.monotonic() - start)
    print(number, flush=True)
    time.sleep(pause)
print("longest", longest, flush=True)
store.close()
"""


class Writer:
    def __init__(
        self, path: Path, name: str, *, rounds: int, size: int = 10, pause: float = 0.0
    ) -> None:
        arguments = [str(path), name, str(rounds), str(size), str(pause)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> list[str]:
        """What it said until it ended."""
        assert self.process.stdout is not None
        said = self.process.stdout.read().split("\n")
        assert self.process.wait() == 0
        self.end()
        return [line for line in said if line]

    def kill(self) -> list[str]:
        """End it at this instant; what it had acknowledged."""
        self.process.kill()
        assert self.process.stdout is not None
        said = self.process.stdout.read()
        self.end()
        return [line for line in said.split("\n")[:-1] if line]

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def writers(store_path: Path) -> Iterator[Any]:
    started: list[Writer] = []

    def start(name: str, **kwargs: Any) -> Writer:
        started.append(Writer(store_path, name, **kwargs))
        return started[-1]

    yield start
    for writer in started:
        writer.end()


def batches(store: Store) -> Counter[str]:
    """How many rows each ``name number`` batch has."""
    found: Counter[str] = Counter()
    after = None
    with store.read() as snapshot:
        while page := snapshot.page(
            filters.EVERYTHING, order="created_at", limit=1_000, after=after
        ):
            found.update(record.content.rsplit(" ", 1)[0] for record in page)
            after = (page[-1].created_at, page[-1].key)
    return found


def test_processes_write_at_once_and_nothing_is_lost(open_store: Any, writers: Any) -> None:
    store = open_store()
    names = ["one", "two", "three"]
    started = [writers(name, rounds=60, size=5) for name in names]
    for writer in started:
        writer.go()
    for writer in started:
        *acknowledged, longest = writer.finish()
        assert len(acknowledged) == 60
        assert float(longest.split()[1]) < 5  # a second on an idle machine; this one is shared
    assert batches(store) == {f"{name} {i}": 5 for name in names for i in range(60)}
    with store.read() as snapshot:
        assert snapshot.seq == 900
        assert snapshot.changes(0).rows.keys.tolist() == list(range(1, 901))
    assert store.check() == []


def test_a_killed_writer_leaves_whole_batches_and_every_acknowledged_one(
    open_store: Any, writers: Any
) -> None:
    dice = random.Random(11)
    acknowledged: set[str] = set()
    whole: Counter[str] = Counter()
    for round_ in range(6):
        name = f"victim{round_}"
        victim, other = writers(name, rounds=100_000), writers(f"other{round_}", rounds=30)
        victim.go()
        other.go()
        acknowledged.update(f"{name} {victim.line()}" for _ in range(dice.randrange(5, 40)))
        time.sleep(dice.random() * 0.003)  # anywhere inside a transaction
        acknowledged.update(f"{name} {line}" for line in victim.kill())
        assert len(other.finish()) == 31  # the lock of the dead does not hold up the living
        store = open_store()
        whole = batches(store)
        assert set(whole.values()) == {10}
        assert acknowledged <= set(whole)
        assert store.check() == []
        store.close()
    unacknowledged = [b for b in whole if b.startswith("victim") and b not in acknowledged]
    assert len(unacknowledged) <= 6  # at most the one that was under way


def test_what_another_process_acknowledged_is_seen_at_once(open_store: Any, writers: Any) -> None:
    """Even while this process holds half-read answers, and through every connection."""
    store = open_store()
    writer = writers("fresh", rounds=200, size=1)
    writer.go()
    with store.read() as held:
        cursor = held._db.raw.execute("SELECT m.name FROM meta m, sqlite_schema")
        next(cursor)
        for number in range(200):
            assert writer.line() == str(number)
            assert store.last_seq() >= number + 1
            with store.read() as snapshot:
                assert snapshot.records([number + 1])[number + 1].content == f"fresh {number} 0"
        cursor.close()
    assert len(writer.finish()) == 1


def test_two_processes_share_the_lock_fairly(open_store: Any, writers: Any) -> None:
    """Neither starves while both never pause."""
    store = open_store()
    started = [writers(name, rounds=100_000, size=1) for name in ("left", "right")]
    for writer in started:
        writer.go()
    time.sleep(2)
    counts = [len(writer.kill()) for writer in started]
    assert min(counts) > 0.2 * max(counts), counts
    assert store.check() == []


FORK = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")  # forking a process with threads is what this is about
from agentmem.config import StoreConfig
from agentmem.errors import ClosedError
from agentmem.store import Store, filters

store = Store(sys.argv[1], StoreConfig(lock_timeout=5.0))
with store.write() as tx:
    tx.put_meta("by", "parent")


def child_of(where):
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        with os.fdopen(read) as pipe:
            said = pipe.read()
        assert os.waitpid(pid, 0)[1] == 0, where
        return said
    problems = []
    for use in (store.read, store.write, store.last_seq, store.scrub):
        try:
            entered = use()
            getattr(entered, "__enter__", lambda: None)()
            problems.append(f"{use} worked")
        except ClosedError as error:
            if "open it again in this process" not in str(error):
                problems.append(str(error))
    store.close()
    try:
        with Store(sys.argv[1], StoreConfig(lock_timeout=5.0)) as own:
            with own.write() as tx:
                tx.put_meta("by", "child")
        opened = True
    except ClosedError as error:
        opened = "'spawn'" not in str(error)
    if opened is not (where == "at rest"):
        problems.append(f"{opened=}")
    os.write(write, "; ".join(problems).encode())
    return None


def run(where):
    said = child_of(where)
    if said is None:
        return True
    assert said == "", (where, said)
    return False


def main():
    if run("at rest"):
        return
    with store.read() as snapshot:
        if run("in a read"):
            return  # leaving the block in the child touches nothing
        assert snapshot.meta("by") == "child"
    with store.write() as tx:
        if run("in a write"):
            return
        tx.put_meta("by", "parent again")
    with store.read() as snapshot:
        assert snapshot.meta("by") == "parent again"
    assert store.check() == []
    with store.write():  # the child's copies of the lock files do not hold it
        pass
    store.close()
    print("parent done")


main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_a_forked_child_is_refused_and_the_parent_is_not_harmed(store_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(store_path)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("parent done", "", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_a_lock_inherited_by_a_fork_dies_with_its_process(store_path: Path) -> None:
    """A parent killed inside a write, while a child that it forked lives on."""
    program = (
        "import os, sys, time\n"
        "from agentmem.store import Store\n"
        "store = Store(sys.argv[1])\n"
        "with store.write():\n"
        "    if os.fork() == 0:\n"
        "        print('child', flush=True); time.sleep(60); os._exit(0)\n"
        "    print('parent', flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, str(store_path)],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert parent.stdout is not None
    assert {parent.stdout.readline().strip() for _ in range(2)} == {"child", "parent"}
    parent.kill()
    parent.wait()
    store = Store(store_path)
    with store.write(timeout=10) as tx:
        tx.put_meta("by", "the next")
    store.close()
    os.killpg(parent.pid, signal.SIGKILL)  # the child that was left
    parent.stdout.close()
