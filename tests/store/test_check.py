"""``check`` is silent about a sound store and names what is wrong with a damaged one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from agentmem.errors import StoreCorruptError
from agentmem.store import Store
from agentmem.types import PartitionKey, Scope, VectorSource


def filled(store: Store, fill: Any) -> None:
    """Keys: 1 live, 2 updated twice, 3 deleted, 4 in another scope, 5 with a caller's vector."""
    fill.add(store, "one", scope=Scope("u"))
    (two,) = fill.add(store, "two", scope=Scope("u"))
    (three,) = fill.add(store, "three", scope=Scope("u"))
    fill.add(store, "four", scope=Scope("v"))
    with store.write() as tx:
        fill.insert(tx, [fill.new("five", Scope("v"))], VectorSource.CALLER)
    fill.change(store, fill.change(store, two, "two!"), "two!!")
    with store.write() as tx:
        tx.delete([three.key])


DAMAGE = [
    ("DELETE FROM vectors WHERE key = 1", "memories without a vector: keys 1"),
    ("DELETE FROM terms WHERE key = 1", "memories without keyword terms: keys 1"),
    ("INSERT INTO vectors VALUES (77, 1, x'00')", "vectors without a memory: keys 77"),
    ("INSERT INTO terms VALUES (77, 0, x'', x'')", "keyword terms without a memory: keys 77"),
    ("UPDATE terms SET counts = x'01' WHERE key = 4", "counts do not match: keys 4"),
    ("UPDATE memories SET metadata = '{\"a\":' WHERE key = 1", "no JSON object: keys 1"),
    ("UPDATE memories SET metadata = '[]' WHERE key = 4", "no JSON object: keys 4"),
    ("UPDATE memories SET content = 'a' || char(0) WHERE key = 1", "NUL character: keys 1"),
    ("UPDATE memories SET content = '' WHERE key = 4", "text is empty or has a NUL"),
    ("UPDATE memories SET memory_type = 'zzz' WHERE key = 1", "unknown memory_type: keys 1"),
    ("UPDATE memories SET importance = 7 WHERE key = 1", "importance outside 0 to 1: keys 1"),
    ("UPDATE memories SET event_at = 1e18 WHERE key = 1", "memories with a time outside"),
    ("UPDATE memories SET expires_at = -1e18 WHERE key = 1", "memories with a time outside"),
    ("UPDATE versions SET created_at = 1e18 WHERE seq = 6", "versions with a time outside"),
    ("UPDATE events SET at = 1e18 WHERE seq = 8", "events with a time outside"),
    ("UPDATE scopes SET user_id = NULL WHERE user_id = 'v'", "scopes without an id"),
    ("DELETE FROM events WHERE seq = 8", "never deleted, and are not there: keys 3"),
    ("DELETE FROM scopes WHERE user_id = 'v'", "unknown scope: keys 4, 5"),
    ("UPDATE memories SET position = 0 WHERE key = 2", "positions given twice"),
    ("UPDATE scopes SET next_position = 1 WHERE user_id = 'v'", "beyond their scope's next one"),
    ("DELETE FROM events WHERE seq = 1", "without their ADD event: keys 1"),
    ("UPDATE memories SET seq = 4 WHERE key = 1", "last event is not the one they name: keys 1"),
    ("UPDATE events SET event = 1 WHERE seq = 6", "versions without their event: keys 2"),
    ("DELETE FROM versions WHERE seq = 6", "updates that kept no version"),
    ("UPDATE versions SET previous_seq = 3 WHERE seq = 7", "do not follow one another: keys 2"),
    ("UPDATE memories SET seq = 6 WHERE key = 2", "do not follow their last version: keys 2"),
    ("UPDATE events SET key = 4 WHERE seq = 8", "deleted memories that are still there: keys 4"),
    ("UPDATE events SET at = at + 1e9 WHERE seq = 2", "time goes back: keys 3"),
    ("UPDATE vectors SET data = x'0000' WHERE key = 1", "vectors of a wrong size: keys 1"),
    ("UPDATE vectors SET source = 1 WHERE key = 5", "vectors of a wrong size: keys 5"),
    ("UPDATE vectors SET data = zeroblob(16) WHERE key = 5", "without a direction: keys 5"),
    ("UPDATE vectors SET data = x'003c003c003c003c' WHERE key = 1", "a direction: keys 1"),
    ("UPDATE memories SET content = 'other' WHERE key = 4", "do not match their hash: keys 4"),
]


@pytest.mark.parametrize(("damage", "says"), DAMAGE, ids=[says for _, says in DAMAGE])
def test_each_damage_is_named(store: Store, fill: Any, damage: str, says: str) -> None:
    filled(store, fill)
    assert store.check() == []
    tamper = apsw.Connection(str(store.path / "agentmem.db"))
    tamper.execute(damage)
    assert tamper.changes() > 0
    tamper.close()
    found = store.check()
    assert any(says in problem for problem in found), found


def overwrite(path: Path, pages: range) -> None:
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * 8192)
            file.write(b"\xa5" * 4000)


def test_a_damaged_file_is_reported_and_named(open_store: Any, fill: Any) -> None:
    store = open_store()
    for i in range(4):
        fill.add(store, *(f"memory {i} {n} " + "x" * 200 for n in range(100)))
    store.close()
    overwrite(store.path / "agentmem.db", range(25, 60))
    store = open_store()
    found = store.check()
    assert found
    assert all(problem.startswith("SQLite: ") for problem in found)
    with (
        store.read() as snapshot,
        pytest.raises(StoreCorruptError, match=r"store.* is damaged.*agentmem check.*backup"),
    ):
        snapshot.load(PartitionKey(None, None))


def test_a_damaged_header_is_named_at_opening(open_store: Any, fill: Any) -> None:
    store = open_store()
    fill.add(store, "a")
    store.close()
    with (store.path / "agentmem.db").open("r+b") as file:
        file.write(b"garbage" * 100)
    with pytest.raises(StoreCorruptError, match="damaged"):
        open_store()


def test_a_torn_log_tail_costs_only_what_was_not_committed(
    store_path: Path, open_store: Any, fill: Any, tmp_path: Path
) -> None:
    """Any prefix of the WAL, and any garbage behind it, is a sound store."""
    store = open_store()
    sizes = []
    wal = store_path / "agentmem.db-wal"
    for i in range(6):
        fill.add(store, f"memory {i}")
        sizes.append(wal.stat().st_size)
    database, log = (store_path / "agentmem.db").read_bytes(), wal.read_bytes()
    for cut in range(0, len(log), 5_000):
        copy = tmp_path / f"copy {cut}"
        copy.mkdir()
        (copy / "agentmem.db").write_bytes(database)
        (copy / "agentmem.db-wal").write_bytes(log[:cut] + b"\x5a" * 3_000)
        if cut < sizes[0]:
            continue  # the schema itself may be in the part that is cut off
        torn = Store(copy)
        whole = sum(size <= cut for size in sizes)
        assert torn.last_seq() == whole
        assert torn.check() == []
        torn.close()
