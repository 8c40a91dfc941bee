"""Indexes of a large table: built by a child process, never in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CONFTEST = str(Path(__file__).with_name("conftest.py"))
ROWS = 400


@pytest.fixture
def lance(author: Any) -> Any:
    """A projection that is indexed from 400 rows on, and again after 50 more."""
    return author.projection(index_rows=ROWS, index_tail=50)


def opened(store_path: Path) -> Any:
    import lancedb

    db = lancedb.connect(str(store_path / "vectors.lance"))
    (name,) = db.list_tables().tables
    return db.open_table(name)


def indexed(store_path: Path) -> dict[str, int]:
    return {i.name: i.num_indexed_rows for i in opened(store_path).list_indices()}


NAMES = {
    "vector_ann",
    "content_fts",
    *(f"{name}_btree" for name in ("key", "user_id", "agent_id", "run_id", "org_id")),
}


def test_a_large_table_is_indexed_and_kept_so(author: Any, lance: Any, store_path: Path) -> None:
    keys = author.add(ROWS - 1)
    lance.index()
    assert indexed(store_path) == {}  # small
    author.add(["came later", "a heron stood in the reeds"])
    lance.drain()
    lance.wait()
    assert indexed(store_path) == dict.fromkeys(NAMES, ROWS + 1)
    assert lance.stats()["indexes"] == {
        "indexed": ROWS + 1,
        "unindexed": 0,
        "building": None,
        "builds": 1,
        "seconds": lance.stats()["indexes"]["seconds"],
        "failures": 0,
        "error": None,
    }
    assert lance.verify() == []

    author.add(40)
    lance.index()
    assert lance.stats()["indexes"]["builds"] == 1  # a short tail is left alone
    author.delete(keys[:5])
    author.update(keys[5:10], "changed by its owner")
    author.add(40)
    lance.index()
    assert lance.stats()["indexes"]["builds"] == 2
    rows = ROWS + 1 + 80 - 5
    assert set(indexed(store_path).values()) == {rows}
    assert lance.verify() == []
    assert lance.stats()["rebuilds"] == 0

    table = opened(store_path)
    with author.store.read() as snapshot:
        vector = snapshot.vectors([keys[50]])[0][0]
    nearest = table.search(vector, vector_column_name="vector").distance_type("cosine").ef(100)
    assert nearest.limit(3).to_list()[0]["key"] == keys[50]
    assert [r["content"] for r in table.search("herons", query_type="fts").limit(2).to_list()] == [
        "a heron stood in the reeds"
    ]


def test_a_drain_goes_on_while_indexes_are_built(author: Any, lance: Any, store_path: Path) -> None:
    author.add(ROWS)
    lance.drain()
    while lance.stats()["indexes"]["building"] is None:
        assert lance._builder.running
        time.sleep(0.01)  # the child has the lowest priority
    for _ in range(5):
        author.update(author.add(5), "while it builds")
        lance.drain()
    lance.wait()
    assert lance.verify() == []
    lance.drain()
    assert lance.stats()["rebuilds"] == 0
    author.add(60)
    lance.index()
    assert set(indexed(store_path)) == NAMES
    assert lance.verify() == []


def test_a_purge_ends_the_builder_and_leaves_no_byte(
    author: Any, lance: Any, store_path: Path
) -> None:
    secret = "Rumpelstilzchen"
    author.add(ROWS)
    (key,) = author.add([f"my name is {secret}"])
    lance.index()
    raw = b"".join(p.read_bytes() for p in store_path.rglob("*") if p.is_file())
    assert secret.encode() in raw
    author.add(100)
    lance.drain()  # and another build begins
    author.purge([author.records([key])[0].id])
    lance.purge()
    lance.wait()
    assert set(indexed(store_path).values()) == {ROWS + 100}  # anew
    for path in store_path.rglob("*"):
        if path.is_file():
            found = path.read_bytes().lower()
            assert secret.lower().encode() not in found, path
    assert lance.verify() == []


BUILD = """
import sys, time
from runpy import run_path
author = run_path(sys.argv[1])["Author"](sys.argv[2])
lance = author.projection(index_rows=400)
lance.drain()
while lance.stats()["indexes"]["building"] is None and lance._builder.running:
    time.sleep(0.01)
print(lance._builder.pid, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def other(author: Any, store_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process, whose child is at building; and the child's pid."""
    author.add(ROWS)
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, CONFTEST, str(store_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process, int(process.stdout.readline())
    process.kill()
    process.communicate()


def gone(pid: int) -> bool:
    """Whether a process of somebody else's ends within ten seconds."""
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and " Z " in Path(f"/proc/{pid}/stat").read_text():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.skipif(not hasattr(os, "nice"), reason="no priorities here")
def test_the_child_has_the_lowest_priority_and_ends_with_its_parent(
    author: Any, lance: Any, store_path: Path, other: tuple[Any, int]
) -> None:
    parent, child = other
    assert os.getpriority(os.PRIO_PROCESS, child) == 19
    child_files = {os.readlink(f) for f in Path(f"/proc/{child}/fd").iterdir()}
    assert not [name for name in child_files if name.endswith((".db", "drain.lock", "-wal"))]
    parent.kill()
    assert gone(child)
    lance.index()
    assert set(indexed(store_path)) == NAMES
    assert lance.verify() == []


def test_one_builder_in_all_processes_and_a_purge_ends_it(
    author: Any, lance: Any, store_path: Path, other: tuple[Any, int]
) -> None:
    _, child = other
    os.kill(child, signal.SIGSTOP)
    lance.drain()
    assert lance._follower.index()
    lance.wait()
    assert lance.stats()["indexes"]["builds"] == 0
    assert lance.stats()["indexes"]["error"] is None
    os.kill(child, signal.SIGCONT)
    lance.purge()
    assert gone(child)
    lance.index()
    assert set(indexed(store_path)) == NAMES
    assert lance.verify() == []


def test_a_builder_killed_at_any_moment_harms_nothing(
    author: Any, lance: Any, store_path: Path
) -> None:
    author.add(ROWS)
    for moment in (0.3, 0.9, 1.2, 1.5):
        lance.drain()
        lance._follower.index()
        time.sleep(moment)
        pid = lance._builder.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        lance.wait()
        author.add(60)
        lance.drain()
        assert lance.verify() == []
    lance.wait()
    lance.index()
    assert set(indexed(store_path)) == NAMES
    assert lance.stats()["rebuilds"] == 0


def test_what_fails_is_told(author: Any, lance: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from agentmem.errors import StoreError

    author.add(ROWS)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(StoreError, match="/nowhere/python"):
        lance.index()
    assert lance.stats()["indexes"]["failures"] >= 1
    monkeypatch.undo()
    lance.index()
    assert lance.stats()["indexes"]["error"] is None


def test_closing_ends_the_child(author: Any, lance: Any, store_path: Path) -> None:
    author.add(ROWS)
    lance.drain()
    pid = lance._builder.pid
    begin = time.monotonic()
    author.close()
    assert time.monotonic() - begin < 5
    assert pid is None or gone(pid)
