"""A store of any released version opens; one of a newer version says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from agentmem.errors import SchemaVersionError, StoreError
from agentmem.store import Store, filters, schema
from agentmem.store.schema import MIGRATIONS, Migration
from agentmem.types import PartitionKey

RELEASED = sorted((Path(__file__).parent / "released").glob("*.sql"))
NEXT = Migration("9998-next", "ALTER TABLE memories ADD COLUMN mood TEXT DEFAULT 'calm'")
BROKEN = Migration("9999-broken", "CREATE TABLE half(a); INSERT INTO nowhere VALUES (1)")


@pytest.mark.parametrize("dump", RELEASED, ids=lambda path: path.stem)
def test_a_released_store_opens_and_serves(
    store_path: Path, open_store: Any, fill: Any, dump: Path
) -> None:
    """Dumps are never edited; each release that migrates adds one."""
    store_path.mkdir()
    old = apsw.Connection(str(store_path / "agentmem.db"))
    old.execute(dump.read_text(encoding="utf-8"))
    old.close()
    store = open_store()
    assert store.check() == []
    with store.read() as snapshot:
        records = snapshot.page(filters.EVERYTHING, order="created_at", limit=9, after=None)
        assert [record.content for record in records] == ["Ann likes tea", "Ann moved to Porto"]
        assert records[0].metadata == '{"src": "chat"}'
        told = [(e.event.name, e.new_content) for e in snapshot.history(records[1].id)]
        assert told == [("ADD", "Ann lives in Lisbon"), ("UPDATE", "Ann moved to Porto")]
        rows = snapshot.load(PartitionKey("user_id", "ann"))
        then = snapshot.back_to(4, fill.remake)
        assert [r.content for r in then.records([1, 2, 3]).values()] == [
            "Ann likes tea",
            "Ann moved to Porto",
            "forgotten",
        ]
        assert then.load(PartitionKey("user_id", "ann")).keys.tolist() == [1, 2, 3]
    assert (
        rows.vectors.tobytes() == fill.vectors([r.content for r in records]).astype("f2").tobytes()
    )
    fill.add(store, "something new", id=b"\xff" * 16)
    assert store.check() == []


def test_there_is_a_dump_of_every_released_schema() -> None:
    assert {path.stem for path in RELEASED} == {migration.name for migration in MIGRATIONS}


def test_an_older_store_is_migrated_on_opening(
    open_store: Any, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_store()
    (record,) = fill.add(old, "kept")
    old.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, NEXT))
    store = open_store()
    assert store.migrate() == []  # opening did it
    with store.read() as snapshot:
        assert snapshot._db.rows("SELECT mood FROM memories") == [("calm",)]
        names = snapshot._db.values("SELECT name FROM migrations ORDER BY name")
        assert names == [migration.name for migration in (*MIGRATIONS, NEXT)]
        assert snapshot.records([record.key]) == {record.key: record}


def test_a_migration_that_fails_leaves_the_store_as_it_was(
    open_store: Any, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_store()
    fill.add(old, "kept")
    old.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, NEXT, BROKEN))
    with pytest.raises(StoreError, match="nowhere"):
        open_store()
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, NEXT))  # the first was whole
    with open_store().read() as snapshot:
        tables = snapshot._db.values("SELECT name FROM sqlite_schema")
        assert "half" not in tables
        assert snapshot.count(filters.EVERYTHING) == 1


def test_a_store_of_a_newer_version_names_both_and_the_remedy(
    open_store: Any, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, NEXT))
    new = open_store()
    fill.add(new, "from the future")
    new.close()
    monkeypatch.setattr(schema, "MIGRATIONS", MIGRATIONS)
    with pytest.raises(
        SchemaVersionError, match=r"'9998-next'.*'0002-past-vectors'.*pip install -U agentmem"
    ):
        open_store()


def test_an_open_store_notices_that_another_process_migrated(
    open_store: Any, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = open_store()
    fill.add(mine, "a")
    assert mine.last_seq() == 1
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, NEXT))
        open_store().close()
    for use in (mine.read, mine.write, mine.read):
        with pytest.raises(SchemaVersionError, match="pip install -U agentmem"):
            use().__enter__()


def test_two_processes_may_open_an_older_store_at_once(
    store_path: Path, open_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second finds the first's work done, under the write lock."""
    open_store().close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, NEXT))
    first = open_store()
    assert Store(store_path).migrate() == []
    assert first.check() == []
