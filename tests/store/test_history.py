"""History says what happened, from a log that keeps no second copy of an ADD."""

from __future__ import annotations

import json
from typing import Any

from agentmem.store import Store
from agentmem.store.schema import MEMORY_COLUMNS
from agentmem.types import Event, Scope


def told(store: Store, memory_id: bytes) -> list[tuple[Any, ...]]:
    with store.read() as snapshot:
        return [
            (entry.event.name, entry.old_content, entry.new_content, entry.actor_id)
            for entry in snapshot.history(memory_id)
        ]


def test_an_add_is_told_from_the_live_row(store: Store, fill: Any) -> None:
    (record,) = fill.add(store, "one", actor_id="ann", role="user")
    with store.read() as snapshot:
        (entry,) = snapshot.history(record.id)
    assert (entry.event, entry.old_content, entry.new_content) == (Event.ADD, None, "one")
    assert (entry.actor_id, entry.role) == ("ann", "user")
    assert entry.at == entry.created_at == record.created_at
    assert entry.updated_at is None
    assert entry.seq == record.added_seq


def test_every_text_is_told_in_order(store: Store, fill: Any) -> None:
    (record,) = fill.add(store, "one", actor_id="ann")
    record = fill.change(store, record, "two", actor_id="bob")
    record = fill.change(store, record, "three")
    with store.write() as tx:
        tx.delete([record.key], actor_id="cid")
    expected = [
        ("ADD", None, "one", "ann"),
        ("UPDATE", "one", "two", "bob"),
        ("UPDATE", "two", "three", None),
        ("DELETE", "three", None, "cid"),
    ]
    assert told(store, record.id) == expected
    with store.read() as snapshot:
        seqs = [entry.seq for entry in snapshot.history(record.id)]
        assert {entry.created_at for entry in snapshot.history(record.id)} == {record.created_at}
    assert seqs == sorted(seqs)


def test_a_change_of_fields_keeps_the_text(store: Store, fill: Any) -> None:
    (record,) = fill.add(store, "one", role="user")
    record.role = "assistant"
    with store.write() as tx:
        tx.update([record], None, None, None)
    with store.read() as snapshot:
        add, update = snapshot.history(record.id)
    assert (add.role, update.role) == ("user", "assistant")
    assert (update.old_content, update.new_content) == ("one", "one")


def test_several_changes_in_one_transaction(store: Store, fill: Any) -> None:
    new = fill.new("one")
    with store.write() as tx:
        (key,) = fill.insert(tx, [new])
        record = tx.view.records([key])[key]
        record.role = "user"
        tx.update([record], None, None, None)
        tx.delete([key])
    assert [entry[0] for entry in told(store, new.id)] == ["ADD", "UPDATE", "DELETE"]
    assert store.check() == []


def test_an_id_used_again_tells_both_lives(store: Store, fill: Any) -> None:
    (first,) = fill.add(store, "first")
    with store.write() as tx:
        tx.delete([first.key])
    (second,) = fill.add(store, "second", id=first.id)
    fill.change(store, second, "changed")
    assert [entry[:3] for entry in told(store, first.id)] == [
        ("ADD", None, "first"),
        ("DELETE", "first", None),
        ("ADD", None, "second"),
        ("UPDATE", "second", "changed"),
    ]


def test_an_unknown_id_has_no_history(store: Store, fill: Any) -> None:
    fill.add(store, "other")
    assert told(store, b"\7" * 16) == []


def test_a_version_is_the_whole_previous_row(store: Store, fill: Any) -> None:
    given = {
        "scope": Scope("u", "a", "r", "o"),
        "actor_id": "ann",
        "role": "user",
        "memory_type": "semantic",
        "level": 2,
        "importance": 0.5,
        "metadata": json.dumps({"a": 1}),
        "event_at": 11,
        "expires_at": 12,
        "idempotency_key": "k",
    }
    (record,) = fill.add(store, "one", **given)
    with store.read() as snapshot:
        before = snapshot._db.rows(f"SELECT {', '.join(MEMORY_COLUMNS)} FROM memories")
    with store.write() as tx:
        tx.delete([record.key])
    with store.read() as snapshot:
        (version,) = snapshot._db.rows("SELECT * FROM versions")
    assert version == (2, *before[0])
