"""Whoever is killed or sleeps while the table is written, the next drain makes it whole."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONFTEST = str(Path(__file__).with_name("conftest.py"))


def test_commits_without_a_watermark_are_undone_and_done_again(
    author: Any, filled: Any, folder: Path
) -> None:
    mark = (folder / "watermark.json").read_bytes()
    author.add(5)
    author.delete(author.add(5))
    filled.drain()
    (folder / "watermark.json").write_bytes(mark)  # as if killed before it was written
    assert filled.seq == 30
    author.assert_whole(filled)
    assert filled.stats()["rebuilds"] == 0


def test_a_table_older_than_its_watermark_is_rebuilt(
    author: Any, filled: Any, folder: Path, tmp_path: Path
) -> None:
    (table,) = folder.glob("*.lance")
    shutil.copytree(table, tmp_path / "old")
    author.add(5)
    filled.drain()
    shutil.rmtree(table)
    shutil.copytree(tmp_path / "old", table)  # as a power cut leaves it, were files not synced
    assert filled.verify() != []
    author.add(1)
    author.assert_whole(filled)
    assert filled.stats()["rebuilds"] == 1


DRAINER = """
import sys
from runpy import run_path
author = run_path(sys.argv[1])["Author"](sys.argv[2])
lance = author.projection(batch_rows=50)
import lancedb
print("ready", flush=True)
sys.stdin.readline()
lance.drain(progress=lambda done, total: print(done, flush=True))
author.close()
"""


def start_drainer(store_path: Path, program: str = DRAINER) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-c", program, CONFTEST, str(store_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def finish(child: subprocess.Popen[bytes]) -> int:
    for pipe in (child.stdin, child.stdout):
        assert pipe is not None
        pipe.close()
    return child.wait(60)


@pytest.mark.slow
def test_a_drainer_killed_at_any_moment_loses_nothing(author: Any, store_path: Path) -> None:
    rng = random.Random(11)
    lance = author.projection(batch_rows=50)
    keys = author.add(500)
    for round_ in range(4):
        child = start_drainer(store_path)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        if round_:
            child.stdout.readline()
        try:
            child.wait(rng.uniform(0.0, 0.15))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        assert finish(child) in (0, -signal.SIGKILL)
        doomed = rng.sample(keys, 50)
        keys = [*(k for k in keys if k not in doomed), *author.add(300)]
        author.delete(doomed)
        author.update(rng.sample(keys, 100), f"text of round {round_}")
    author.assert_whole(lance)
    assert lance.stats()["rebuilds"] == 0


SLEEPER = """
import os, signal, sys
from contextlib import contextmanager
from runpy import run_path
author = run_path(sys.argv[1])["Author"](sys.argv[2])


class Drowsy:
    '''The store, whose snapshots fall asleep when their rows have been read.'''

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    @contextmanager
    def read(self):
        with self._store.read() as snapshot:
            yield Snapshot(snapshot)


class Snapshot:
    def __init__(self, snapshot):
        self._snapshot = snapshot

    def __getattr__(self, name):
        return getattr(self._snapshot, name)

    def tail(self, *args, **kwargs):
        found = self._snapshot.tail(*args, **kwargs)
        if os.environ.pop("SLEEPY", None):
            os.kill(os.getpid(), signal.SIGSTOP)
        return found


author.store = Drowsy(author.store)
lance = author.projection()
import lancedb
print("ready", flush=True)
sys.stdin.readline()
print(lance.drain(), flush=True)
author.close()
"""


@pytest.mark.parametrize("meanwhile", ["drain", "rebuild"])
def test_a_drainer_that_slept_cannot_move_the_table_backwards(
    author: Any,
    filled: Any,
    store_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: str,
) -> None:
    monkeypatch.setenv("SLEEPY", "1")
    keys = author.add(20)
    child = start_drainer(store_path, SLEEPER)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"\n")
    child.stdin.flush()
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    # It holds twenty rows that are about to be history, and the lock, which someone takes away.
    (store_path / "drain.lock").unlink()
    author.delete(keys[:10])
    author.update(keys[10:], "newer")
    getattr(filled, meanwhile)()
    assert filled.verify() == []
    tables = sorted(folder.glob("*.lance"))
    child.send_signal(signal.SIGCONT)
    assert int(child.stdout.readline()) == author.store.last_seq()
    assert finish(child) == 0
    assert filled.verify() == []
    assert sorted(folder.glob("*.lance")) == tables  # it went on with what it found


@pytest.mark.parametrize("way", ["append", "upsert"])
def test_a_commit_that_came_late_is_undone(
    author: Any, filled: Any, folder: Path, way: str
) -> None:
    from agentmem.vector.faults import Overtaken
    from agentmem.vector.rows import arrow_rows
    from agentmem.vector.table import Table

    (table,) = folder.glob("*.lance")
    late = Table.open(str(folder), table.stem)
    keys = author.add(5)
    with author.store.read() as snapshot:
        batch = arrow_rows(snapshot.columns(keys))
    author.delete(keys)
    author.delete(author.add(5)[:2])
    filled.drain()
    with pytest.raises(Overtaken):
        getattr(late, way)([batch])  # memories that are deleted by now
    assert filled.verify() != []
    author.add(1)
    author.assert_whole(filled)
    assert filled.stats()["rebuilds"] == 0


def test_a_commit_that_leaves_the_rows_alone_is_none_of_ours(
    author: Any, filled: Any, folder: Path
) -> None:
    (name,) = (path.stem for path in folder.glob("*.lance"))

    def index(column: str) -> None:
        lancedb.connect(str(folder)).open_table(name).create_index(column, config=BTree())

    import lancedb
    from lancedb.index import BTree

    index("key")
    author.update(author.add(20), "changed", importance=0.5)
    filled.drain(progress=lambda done, _: index("seq") if done == 10 else None)
    assert filled.verify() == []
    index("position")
    assert filled.verify() == []
    author.assert_whole(filled)
    assert len(lancedb.connect(str(folder)).open_table(name).list_indices()) == 3
    assert filled.stats()["rebuilds"] == 0
