"""Opening a folder, and what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from agentmem.errors import ClosedError, StoreCorruptError, StorePathError, StoreTimeoutError
from agentmem.store import Store, filters
from agentmem.types import PartitionKey


def test_a_missing_folder_is_made_and_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er"
    Store(path).close()
    Store(str(path)).close()
    assert (path / "agentmem.db").is_file()


def test_what_was_written_is_there_after_reopening(open_store: Any, fill: Any) -> None:
    first = open_store()
    (record,) = fill.add(first, "stays", metadata='{"a": 1}', level=3, importance=0.25)
    with first.read() as snapshot:
        epoch = snapshot.epoch
    first.close()
    with open_store().read() as snapshot:
        assert snapshot.records([record.key]) == {record.key: record}
        assert snapshot.epoch == epoch


def test_a_follower_reads_and_leaves_everything_as_it_is(open_store: Any, fill: Any) -> None:
    """Nothing is made, moved or put aside by one that only follows."""
    store = open_store()
    (record,) = fill.add(store, "followed")
    (store.path / "write.lock").touch()
    before = {path.name: path.stat().st_size for path in store.path.iterdir()}
    assert before["agentmem.db-wal"] > 0
    follower = Store(store.path, follow=True)
    for text in ("later", "later still"):
        assert follower.last_seq() == store.last_seq()
        fill.add(store, text)
    with follower.read() as snapshot:
        assert snapshot.records([record.key]) == {record.key: record}
    wal = (store.path / "agentmem.db-wal").stat().st_size
    follower.close()
    after = {path.name: path.stat().st_size for path in store.path.iterdir()}
    assert after == before | {"agentmem.db-wal": wal}
    assert wal > before["agentmem.db-wal"]


def test_a_follower_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(StorePathError):
        Store(tmp_path / "nowhere", follow=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorePathError):
        Store(tmp_path, follow=True)
    assert not (tmp_path / "agentmem.db").exists()


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(StorePathError, match=r"notes.txt.* is a file"):
        Store(path)
    assert path.read_text() == "mine"
    with pytest.raises(StorePathError, match=r"notes.txt"):
        Store(path / "below")


READ_ONLY = """
import os, sys
from agentmem.errors import StorePathError
from agentmem.store import Store

if os.geteuid() == 0:  # nothing is read-only to root
    os.setgid(65534)
    os.setuid(65534)
os.listdir(sys.argv[1])  # it can be read
try:
    Store(sys.argv[1])
except StorePathError as error:
    assert sys.argv[1] in str(error) and "write" in str(error), error
    assert isinstance(error, OSError)
else:
    raise SystemExit("it opened")
"""


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """Outside of pytest's own folder, which other users may not enter."""
    path = Path(tempfile.mkdtemp(prefix="agentmem-test-"))
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


@pytest.mark.skipif(sys.platform == "win32", reason="folders there are not made read-only by mode")
@pytest.mark.parametrize("filled", [False, True])
def test_a_read_only_folder_is_refused_by_name(shared_folder: Path, filled: bool) -> None:
    if filled:
        Store(shared_folder).close()
    before = sorted(os.listdir(shared_folder))
    shared_folder.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(shared_folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(shared_folder)) == before


def test_a_relative_path_survives_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("here")
    monkeypatch.chdir("/")
    with store.write() as tx:
        tx.put_meta("x", "1")
    store.close()
    with Store(tmp_path / "here").read() as snapshot:
        assert snapshot.meta("x") == "1"


def test_another_programs_database_is_left_alone(store_path: Path) -> None:
    store_path.mkdir()
    other = apsw.Connection(str(store_path / "agentmem.db"))
    other.execute("CREATE TABLE theirs(a); INSERT INTO theirs VALUES (1)")
    other.close()
    with pytest.raises(StoreCorruptError, match="not made by AgentMem"):
        Store(store_path)
    other = apsw.Connection(str(store_path / "agentmem.db"))
    assert other.execute("SELECT a FROM theirs").fetchall() == [(1,)]
    other.close()


def test_a_file_that_is_no_database_is_named(store_path: Path) -> None:
    store_path.mkdir()
    (store_path / "agentmem.db").write_bytes(b"not a database, but long enough to look like" * 99)
    with pytest.raises(StoreCorruptError, match=r"no SQLite database.*agentmem check"):
        Store(store_path)


def test_a_folder_removed_while_open_takes_no_writes(
    store: Store, store_path: Path, fill: Any
) -> None:
    fill.add(store, "a")
    shutil.rmtree(store_path)
    with pytest.raises(StorePathError, match="removed or replaced"), store.write():
        pass


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    for use in (store.read, store.write):
        with pytest.raises(ClosedError, match="closed; open it again"), use():
            pass
    with pytest.raises(ClosedError):
        store.last_seq()


def test_a_snapshot_ends_with_its_block(store: Store, fill: Any) -> None:
    with store.read() as snapshot:
        pass
    with pytest.raises(ClosedError, match="snapshot"):
        snapshot.count(filters.EVERYTHING)
    with store.write() as tx:
        view = tx.view
    with pytest.raises(ClosedError, match="snapshot"):
        view.load(PartitionKey(None, None))


def test_no_reader_free_in_time_is_a_timeout(open_store: Any) -> None:
    store = open_store(config={"readers": 2, "lock_timeout": 0.05})
    late = pytest.raises(StoreTimeoutError, match=r"all 2 read connections.*config.store.readers")
    with store.read(), store.read(), late:
        store.last_seq()
    assert store.last_seq() == 0


def test_another_program_that_holds_the_database_is_named(open_store: Any, fill: Any) -> None:
    """Such as the sqlite3 shell, which knows nothing of our lock."""
    store = open_store(config={"lock_timeout": 0.05})
    fill.add(store, "a")
    foreign = apsw.Connection(str(store.path / "agentmem.db"))
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreTimeoutError, match="locked by another program"):
        fill.add(store, "b")
    foreign.close()
    fill.add(store, "b")
    assert store.last_seq() == 2


def test_opening_loads_no_numpy(store_path: Path) -> None:
    program = (
        "import sys; from agentmem.store import Store\n"
        "Store(sys.argv[1]).close(); raise SystemExit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(store_path)]).returncode == 0


def test_closing_waits_for_the_writer_and_refuses_those_behind_it(
    open_store: Any, fill: Any
) -> None:
    store = open_store()
    inside, go_on = threading.Event(), threading.Event()
    outcome: list[str] = []

    def write() -> None:
        with store.write() as tx:
            inside.set()
            go_on.wait()
            fill.insert(tx, [fill.new("written")])
        outcome.append("written")

    def write_later() -> None:
        try:
            fill.add(store, "refused")
        except ClosedError:
            outcome.append("refused")

    def close() -> None:
        store.close()
        outcome.append("closed")

    threads = [threading.Thread(target=write)]
    threads[0].start()
    inside.wait()
    for number, target in enumerate((close, write_later), 1):
        threads.append(threading.Thread(target=target))
        threads[-1].start()
        while len(store._lock._turns._waiting) < number:
            time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(outcome) == ["closed", "refused", "written"]
    assert open_store().last_seq() == 1


def test_closing_inside_a_write_is_refused(open_store: Any, fill: Any) -> None:
    store = open_store(config={"lock_timeout": 0.05})
    with store.write() as tx:
        with pytest.raises(StoreTimeoutError):
            store.close()
        fill.insert(tx, [fill.new("goes on")])
    assert store.last_seq() == 1


def test_many_processes_may_make_the_same_store(store_path: Path) -> None:
    program = (
        "import sys; from agentmem.store import Store\n"
        "sys.stdin.readline(); store = Store(sys.argv[1])\n"
        "with store.write() as tx: tx.put_meta(sys.argv[2], '1')\n"
        "store.close()"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(store_path), f"process {n}"],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(6)
    ]  # fmt: skip
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    with Store(store_path) as store, store.read() as snapshot:
        assert [snapshot.meta(f"process {n}") for n in range(6)] == ["1"] * 6
