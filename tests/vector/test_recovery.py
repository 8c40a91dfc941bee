"""Whatever happens to the table, the next drain makes it equal to SQLite again."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import StoreCorruptError, StoreError

CONFTEST = str(Path(__file__).with_name("conftest.py"))


@pytest.fixture
def folder(store_path: Path) -> Path:
    return store_path / "vectors.lance"


@pytest.fixture
def filled(author: Any, lance: Any) -> Any:
    """A drained projection of thirty memories."""
    author.add(30)
    lance.drain()
    return lance


def assert_whole(author: Any, lance: Any) -> None:
    assert lance.drain() == author.store.last_seq()
    assert lance.verify() == []


# -- crashes


def test_commits_without_a_watermark_are_undone_and_done_again(
    author: Any, filled: Any, folder: Path
) -> None:
    mark = (folder / "watermark.json").read_bytes()
    author.add(5)
    author.delete(author.add(5))
    filled.drain()
    (folder / "watermark.json").write_bytes(mark)  # as if killed before it was written
    assert filled.seq == 30
    assert_whole(author, filled)
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
    assert_whole(author, filled)
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
    assert_whole(author, lance)
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
    assert_whole(author, filled)
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
    assert_whole(author, filled)
    assert len(lancedb.connect(str(folder)).open_table(name).list_indices()) == 3
    assert filled.stats()["rebuilds"] == 0


# -- damage


def remove_everything(folder: Path) -> None:
    shutil.rmtree(folder)


def remove_table(folder: Path) -> None:
    shutil.rmtree(next(folder.glob("*.lance")))


def remove_watermark(folder: Path) -> None:
    (folder / "watermark.json").unlink()


def garble_watermark(folder: Path) -> None:
    (folder / "watermark.json").write_bytes(b'{"seq": 30')


def foreign_watermark(folder: Path) -> None:
    (folder / "watermark.json").write_text('{"seq": "30", "other": 1}')


def file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


def remove_manifests(folder: Path) -> None:
    for path in folder.glob("*.lance/_versions/*"):
        path.unlink()


def garble_manifests(folder: Path) -> None:
    for path in folder.glob("*.lance/_versions/*.manifest"):
        path.write_bytes(os.urandom(path.stat().st_size))


def remove_data(folder: Path) -> None:
    for path in folder.glob("*.lance/data/*"):
        path.unlink()


def cut_data(folder: Path) -> None:
    for path in folder.glob("*.lance/data/*"):
        os.truncate(path, 20)


def garble_data(folder: Path) -> None:
    for path in folder.glob("*.lance/data/*"):
        path.write_bytes(os.urandom(path.stat().st_size))


def other_columns(folder: Path) -> None:
    import lancedb

    (path,) = folder.glob("*.lance")
    db = lancedb.connect(str(folder))
    for _ in range(9):
        db.create_table(path.stem, [{"key": 1, "name": "someone else's"}], mode="overwrite")


DAMAGE = [
    remove_everything,
    remove_table,
    remove_watermark,
    garble_watermark,
    foreign_watermark,
    file_instead,
    remove_manifests,
    garble_manifests,
    remove_data,
    cut_data,
    garble_data,
    other_columns,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_table_is_told_and_heals_with_the_next_write(
    author: Any, filled: Any, folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    if damage is not remove_everything:
        assert filled.verify() != []
    author.update(author.add(5), "after the damage")
    assert_whole(author, filled)
    assert filled.seq == 40


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_table_heals_by_rebuilding(
    author: Any, filled: Any, folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    assert filled.rebuild() == 30
    assert filled.verify() == []
    assert len(list(folder.glob("*.lance"))) == 1


@pytest.mark.parametrize(
    "damage", [remove_everything, remove_table, remove_watermark, garble_watermark, file_instead]
)
def test_a_missing_table_heals_without_a_write(
    author: Any, filled: Any, folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    assert filled.seq == 0
    assert_whole(author, filled)


@pytest.mark.parametrize("damage", [remove_everything, remove_table, remove_data])
def test_a_table_that_vanishes_while_it_is_drained(
    author: Any, lance: Any, folder: Path, damage: Callable[[Path], None]
) -> None:
    author.add(50)
    done: list[int] = []

    def progress(*_: int) -> None:
        if not done:
            damage(folder)
        done.append(1)

    assert lance.drain(progress=progress) == 50
    assert lance.verify() == []


def test_a_table_that_cannot_be_made_is_an_error_that_says_why(
    author: Any, store_path: Path
) -> None:
    author.add(3)
    (store_path / "obstacle").write_text("")
    lance = author.projection(uri=str(store_path / "obstacle" / "db"))
    with pytest.raises(StoreError, match="obstacle"):
        lance.drain()
    (store_path / "obstacle").unlink()
    assert_whole(author, lance)


# -- other lives


def test_a_table_of_another_life_is_rebuilt(author: Any, filled: Any) -> None:
    author.store.reset()
    assert_whole(author, filled)
    author.add(5)
    assert_whole(author, filled)


def test_a_reset_while_draining(author: Any, lance: Any, folder: Path) -> None:
    author.add(50)
    done: list[int] = []

    def progress(*_: int) -> None:
        if not done:
            author.store.reset()
            author.add(7)
        done.append(1)

    lance.drain(progress=progress)
    assert lance.verify() == []
    assert_whole(author, lance)
    assert len(list(folder.glob("*.lance"))) == 1


def test_a_foreign_table_is_rebuilt(author: Any, filled: Any, folder: Path, tmp_path: Path) -> None:
    other = type(author)(tmp_path / "other")
    try:
        other.add(40)
        other.projection().drain()
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "other" / "vectors.lance", folder)
        assert (
            filled.verify() == []
        )  # it has nothing of this store, and the next drain makes it anew
        assert_whole(author, filled)
        assert len(list(folder.glob("*.lance"))) == 1
    finally:
        other.close()


def test_another_address_is_another_table(author: Any, filled: Any, store_path: Path) -> None:
    author.close()
    again = type(author)(store_path)
    try:
        moved = again.projection(uri=str(store_path / "elsewhere"))
        assert moved.seq == 0
        again.add(1)
        assert_whole(again, moved)
        back = again.projection()
        assert back.seq == 30  # its watermark lies in its own folder
        assert_whole(again, back)
    finally:
        again.close()


def test_a_watermark_of_the_future_is_not_believed(author: Any, filled: Any, folder: Path) -> None:
    path = folder / "watermark.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seq": 1_000_000}))
    assert filled.verify() != []
    assert_whole(author, filled)


def test_a_repeated_loss_is_an_error_and_not_a_loop(author: Any, lance: Any, folder: Path) -> None:
    author.add(50)
    with pytest.raises(StoreCorruptError, match="check --repair"):
        lance.drain(progress=lambda *_: remove_data(folder))
    assert_whole(author, lance)
