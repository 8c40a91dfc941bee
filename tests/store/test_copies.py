"""Backups of a store that is being written, and the way back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from agentmem.config import StoreConfig
from agentmem.errors import SchemaVersionError, StoreCorruptError, StorePathError
from agentmem.store import Store, copies, filters
from agentmem.types import Scope


def dump(store: Store) -> dict[str, list[Any]]:
    """Every row of every table, but for the epoch."""
    with store.read() as snapshot:
        db = snapshot._db
        tables = db.values("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        found = {name: sorted(db.rows(f"SELECT * FROM {name}"), key=repr) for name in tables}
    found["meta"] = [row for row in found["meta"] if row[0] != "epoch"]
    return found


def epoch(store: Store) -> str:
    with store.read() as snapshot:
        return snapshot.epoch


def contents(store: Store) -> list[str]:
    with store.read() as snapshot:
        page = snapshot.page(filters.EVERYTHING, order="created_at", limit=99_999, after=None)
        return [record.content for record in page]


def eventful(store: Store, fill: Any) -> None:
    first, second, _ = fill.add(store, "first", "second", "third", scope=Scope("u", run_id="r"))
    fill.change(store, first, "first, changed")
    with store.write() as tx:
        tx.delete([second.key])


def bring_back(backup: Path, target: Path, *, overwrite: bool = False) -> dict[str, Any]:
    return copies.restore(
        backup, target, StoreConfig(lock_timeout=5.0), overwrite=overwrite, progress=None
    )


def reopened(path: Path) -> Store:
    return Store(path, StoreConfig(), model_id="model-a", dim=4, analyzer="words-1")


def test_a_backup_is_a_store_with_the_same_rows_and_a_life_of_its_own(
    store: Store, fill: Any, tmp_path: Path
) -> None:
    eventful(store, fill)
    heard: list[tuple[int, int]] = []
    made = store.backup(tmp_path / "deep" / "copy", progress=lambda *step: heard.append(step))
    size = (tmp_path / "deep" / "copy" / "agentmem.db").stat().st_size
    assert made == {"path": str(tmp_path / "deep" / "copy"), "memories": 2, "bytes": size}
    assert heard[-1] == (size, size)
    left = {path.name for path in (tmp_path / "deep" / "copy").iterdir()}
    assert left == {"agentmem.db", "write.lock", "write.queue"}
    with reopened(tmp_path / "deep" / "copy") as copy:
        assert dump(copy) == dump(store)
        assert epoch(copy) != epoch(store)
        assert copy.check() == []
        fill.add(copy, "only in the copy")
    assert len(contents(store)) == 2


def test_a_backup_among_writers_is_one_moment(store: Store, fill: Any, tmp_path: Path) -> None:
    """Pairs are written in one transaction each: the copy has both of a pair or neither."""
    for i in range(40):
        fill.add(store, *(f"{i} {n} " + "x" * 4000 for n in range(20)))
    fill.add(store, "pair 0", "pair 0")
    done = threading.Event()
    counts = {}

    def write() -> None:
        number = 1
        while not done.is_set():
            fill.add(store, f"pair {number}", f"pair {number}")
            number += 1
        counts["written"] = number

    before: list[int] = []

    def progress(copied: int, total: int) -> None:
        before.append(store.last_seq())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(contents(store)) < 810:
            time.sleep(0)
        store.backup(tmp_path / "copy", progress=progress)
    finally:
        done.set()
        writer.join()
    assert len(before) > 1
    with reopened(tmp_path / "copy") as copy:
        pairs = [text for text in contents(copy) if text.startswith("pair")]
        assert copy.check() == []
        assert copy.last_seq() <= before[0]
    assert pairs == [f"pair {i // 2}" for i in range(len(pairs))]
    assert 8 <= len(pairs) <= 2 * counts["written"]
    assert len(pairs) % 2 == 0


def test_a_folder_with_anything_in_it_is_refused(store: Store, fill: Any, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    target.mkdir()
    store.backup(target)  # an empty one will do
    with pytest.raises(StorePathError, match=r"not empty \(it has 'agentmem.db'\)"):
        store.backup(target)
    (tmp_path / "file").touch()
    with pytest.raises(StorePathError):
        store.backup(tmp_path / "file")
    with pytest.raises(StorePathError, match="not empty"):
        store.backup(store.path)


def test_a_backup_that_breaks_off_leaves_nothing(store: Store, fill: Any, tmp_path: Path) -> None:
    fill.add(store, *(f"{n} " + "x" * 4000 for n in range(2000)))

    def stop(copied: int, total: int) -> None:
        assert [path.name for path in target.glob("*.db")] == []
        raise KeyboardInterrupt

    target = tmp_path / "copy"
    with pytest.raises(KeyboardInterrupt):
        store.backup(target, progress=stop)
    assert not target.exists()
    target.mkdir()
    with pytest.raises(KeyboardInterrupt):
        store.backup(target, progress=stop)
    assert not [path for path in target.iterdir() if path.name.startswith("agentmem")]
    assert store.backup(target)["memories"] == 2000


def test_a_backup_that_was_killed_is_no_store_and_may_be_made_again(
    store: Store, fill: Any, tmp_path: Path
) -> None:
    fill.add(store, *(f"{n} " + "x" * 4000 for n in range(2000)))
    target = tmp_path / "copy"
    program = (
        "import os, sys\nfrom agentmem.store import Store\n"
        "Store(sys.argv[1]).backup(sys.argv[2], progress=lambda done, total: os._exit(9))\n"
    )
    code = subprocess.run([sys.executable, "-c", program, store.path, target], check=False)
    assert code.returncode == 9
    assert (target / "agentmem.db.part").stat().st_size > 0
    assert not Store.exists(target)
    with pytest.raises(StorePathError, match="no backup"):
        bring_back(target, tmp_path / "new")
    assert store.backup(target)["memories"] == 2000
    assert not (target / "agentmem.db.part").exists()


def test_a_restored_store_has_the_same_rows_under_a_new_epoch(
    store: Store, fill: Any, tmp_path: Path
) -> None:
    eventful(store, fill)
    store.backup(tmp_path / "copy")
    made = bring_back(tmp_path / "copy", tmp_path / "new")
    assert (made["memories"], made["migrated"]) == (2, [])
    bring_back(tmp_path / "copy", tmp_path / "newer")
    with (
        reopened(tmp_path / "new") as new,
        reopened(tmp_path / "newer") as newer,
        reopened(tmp_path / "copy") as copy,
    ):
        assert dump(new) == dump(newer) == dump(store)
        assert len({epoch(new), epoch(newer), epoch(copy), epoch(store)}) == 4
        assert new.check() == []


def test_a_store_is_replaced_only_on_request_and_those_who_have_it_open_go_on(
    store: Store, fill: Any, tmp_path: Path
) -> None:
    eventful(store, fill)
    store.backup(tmp_path / "copy")
    kept = dump(store)
    fill.add(store, *(f"later {i} " + "x" * 3000 for i in range(300)))
    old = epoch(store)
    later = dump(store)
    with pytest.raises(StorePathError, match="holds a store"):
        bring_back(tmp_path / "copy", store.path)
    assert dump(store) == later
    with store.read() as reading:
        bring_back(tmp_path / "copy", store.path, overwrite=True)
        assert reading.count(filters.EVERYTHING) == 302  # a reader keeps its moment
    assert dump(store) == kept
    assert epoch(store) != old
    assert store.check() == []
    fill.add(store, "and on", scope=Scope("v"))
    assert contents(store) == ["first, changed", "third", "and on"]
    assert not list(store.path.glob("*.part*"))


def test_a_damaged_store_is_replaced_too(store: Store, fill: Any, tmp_path: Path) -> None:
    eventful(store, fill)
    store.backup(tmp_path / "copy")
    kept = dump(store)
    store.close()
    for damage in (b"no database at all", b""):
        (store.path / "agentmem.db").write_bytes(damage)
        (store.path / "agentmem.db-wal").write_bytes(b"garbage")
        bring_back(tmp_path / "copy", store.path, overwrite=True)
        with reopened(store.path) as again:
            assert dump(again) == kept
            assert again.check() == []


def test_what_is_no_sound_backup_replaces_nothing(store: Store, fill: Any, tmp_path: Path) -> None:
    eventful(store, fill)
    before = dump(store)
    bad = tmp_path / "bad"
    bad.mkdir()
    with pytest.raises(StorePathError, match="no backup"):
        bring_back(bad, store.path, overwrite=True)
    with pytest.raises(StorePathError, match="the store itself"):
        bring_back(store.path, store.path, overwrite=True)
    (bad / "agentmem.db").write_bytes(b"x" * 9000)
    with pytest.raises(StoreCorruptError):
        bring_back(bad, store.path, overwrite=True)
    (bad / "agentmem.db").unlink()
    apsw.Connection(str(bad / "agentmem.db")).execute("CREATE TABLE other(x)")
    with pytest.raises(StoreCorruptError, match="would not be a store"):
        bring_back(bad, store.path, overwrite=True)
    store.backup(tmp_path / "newer")
    connection = apsw.Connection(str(tmp_path / "newer" / "agentmem.db"))
    connection.execute("INSERT INTO migrations VALUES ('9999-later', 0)")
    connection.close()
    with pytest.raises(SchemaVersionError):
        bring_back(tmp_path / "newer", store.path, overwrite=True)
    assert dump(store) == before
    with pytest.raises(StoreCorruptError):
        bring_back(bad, tmp_path / "fresh")
    assert not (tmp_path / "fresh").exists()


def test_another_programs_database_is_not_overwritten(
    store: Store, fill: Any, tmp_path: Path
) -> None:
    store.backup(tmp_path / "copy")
    (tmp_path / "other").mkdir()
    other = apsw.Connection(str(tmp_path / "other" / "agentmem.db"))
    other.execute("PRAGMA application_id = 77; CREATE TABLE precious(x)")
    with pytest.raises(StorePathError, match="another program's"):
        bring_back(tmp_path / "copy", tmp_path / "other", overwrite=True)
    assert other.execute("SELECT count(*) FROM precious").get == 0


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs folders one cannot write")
def test_a_backup_on_a_medium_that_cannot_be_written_is_restored(
    store: Store, fill: Any, tmp_path: Path
) -> None:
    eventful(store, fill)
    store.backup(tmp_path / "copy")
    (tmp_path / "copy" / "agentmem.db").chmod(0o444)
    (tmp_path / "copy").chmod(0o555)
    try:
        assert bring_back(tmp_path / "copy", tmp_path / "new")["memories"] == 2
    finally:
        (tmp_path / "copy").chmod(0o755)


def test_restoring_changes_nothing_of_the_backup(store: Store, fill: Any, tmp_path: Path) -> None:
    eventful(store, fill)
    store.backup(tmp_path / "copy")
    before = (tmp_path / "copy" / "agentmem.db").read_bytes()
    bring_back(tmp_path / "copy", tmp_path / "new")
    assert (tmp_path / "copy" / "agentmem.db").read_bytes() == before


def test_a_backup_of_an_earlier_schema_is_migrated(tmp_path: Path) -> None:
    script = Path(__file__).with_name("released") / "0001-initial.sql"
    (tmp_path / "old").mkdir()
    apsw.Connection(str(tmp_path / "old" / "agentmem.db")).execute(script.read_text("utf-8"))
    bring_back(tmp_path / "old", tmp_path / "new")
    with Store(tmp_path / "new", StoreConfig()) as new:
        assert new.check() == []
        assert contents(new)
