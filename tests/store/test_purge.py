"""What is purged is in no answer and in no file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem.errors import StoreTimeoutError
from agentmem.store import Store, filters
from agentmem.types import PartitionKey, Scope

SECRET = "the passphrase is periwinkle-octopus-7391"


def bytes_on_disk(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def where_found(folder: Path, *needles: bytes) -> list[str]:
    return [
        name
        for name, data in bytes_on_disk(folder).items()
        if any(needle in data for needle in needles)
    ]


def traces(fill: Any, text: str) -> list[bytes]:
    """The text whole and in parts, its hash, its vector and its terms."""
    raw = text.encode()
    vector = fill.vectors([text]).astype(np.float16).tobytes()
    return [raw, raw[5:17], raw[-12:], fill.hash(text), vector, fill.terms([text]).terms.tobytes()]


def surround(store: Store, fill: Any) -> None:
    """Enough neighbours that trees split and cells move."""
    for i in range(8):
        fill.add(store, *(f"neighbour {i} {n} " + "x" * (37 * n % 400) for n in range(60)))


def test_purge_leaves_no_byte_in_any_file(store: Store, store_path: Path, fill: Any) -> None:
    surround(store, fill)
    (record,) = fill.add(store, SECRET, scope=Scope("secret-user"), metadata='{"pin":"80418041"}')
    surround(store, fill)
    record = fill.change(store, record, SECRET + " or is it")
    with store.write() as tx:
        tx.delete([record.key])
    (again,) = fill.add(store, SECRET, scope=Scope("secret-user"), id=record.id)
    needles = [*traces(fill, SECRET), b"80418041", b"secret-user"]
    assert where_found(store_path, *needles)
    with store.write() as tx:
        assert tx.purge([record.id, b"\1" * 16]) == 1
    store.scrub()
    assert where_found(store_path, *needles) == []
    with store.read() as snapshot:
        assert snapshot.history(record.id) == []
        assert snapshot.by_ids([record.id]) == {}
        assert snapshot.count(filters.EVERYTHING) == 960
        gone = snapshot.changes(0).gone.tolist()
    assert {record.key, again.key} <= set(gone)  # projections hear of it
    assert store.check() == []
    store.close()
    assert where_found(store_path, *needles) == []


def test_projections_hear_of_a_purge_after_they_saw_the_delete(store: Store, fill: Any) -> None:
    (record,) = fill.add(store, "a")
    with store.write() as tx:
        tx.delete([record.key])
    seq = store.last_seq()
    with store.write() as tx:
        tx.purge([record.id])
    with store.read() as snapshot:
        changes = snapshot.changes(seq)
    assert changes.gone.tolist() == [record.key]
    assert changes.seq == seq + 1


def test_all_ids_of_a_scope_live_or_past(store: Store, fill: Any) -> None:
    wide, narrow = Scope("u"), Scope("u", run_id="r")
    kept = fill.add(store, "a", scope=Scope("v"))
    mine = [*fill.add(store, "b", "c", scope=wide), *fill.add(store, "d", scope=narrow)]
    with store.write() as tx:
        tx.delete([mine[0].key])
    with store.write() as tx:
        assert sorted(tx.ids_of(wide)) == sorted(record.id for record in mine)
        assert tx.ids_of(narrow) == [mine[2].id]
        assert tx.ids_of(Scope("nobody")) == []
        assert tx.purge(tx.ids_of(wide)) == 3
    with store.read() as snapshot:
        assert snapshot.load(PartitionKey(None, None)).keys.tolist() == [kept[0].key]
        assert snapshot.stats()["scopes"] == 1
    assert store.check() == []


def test_a_purged_scope_starts_afresh(store: Store, fill: Any) -> None:
    (record,) = fill.add(store, "a", scope=Scope("u"))
    with store.write() as tx:
        tx.purge([record.id])
        (key,) = fill.insert(tx, [fill.new("b", Scope("u"))])
        assert tx.view.records([key])[key].position == 0
    with store.read() as snapshot:
        assert snapshot.records([key])[key].scope == Scope("u")
    assert store.check() == []


def test_scrub_says_when_a_reader_holds_the_old_pages(open_store: Any, fill: Any) -> None:
    store = open_store(config={"lock_timeout": 0.2})
    (record,) = fill.add(store, SECRET)
    with store.read():
        with store.write() as tx:
            tx.purge([record.id])
        with pytest.raises(StoreTimeoutError, match="agentmem check --repair"):
            store.scrub()
    store.scrub()
    assert where_found(store.path, *traces(fill, SECRET)) == []


def test_scrub_waits_for_a_short_reader(store: Store, fill: Any) -> None:
    (record,) = fill.add(store, SECRET)
    reading, done = threading.Event(), threading.Event()

    def read() -> None:
        with store.read() as snapshot:
            reading.set()
            done.wait(0.3)
            snapshot.count(filters.EVERYTHING)

    reader = threading.Thread(target=read)
    reader.start()
    reading.wait()
    with store.write() as tx:
        tx.purge([record.id])
    store.scrub()
    reader.join()
    assert where_found(store.path, *traces(fill, SECRET)) == []


def test_reset_erases_everything_under_a_new_epoch(open_store: Any, fill: Any) -> None:
    store = open_store()
    (record,) = fill.add(store, SECRET, scope=Scope("secret-user"))
    fill.change(store, record, SECRET + "!")
    store.note_access([record.key])
    other = open_store()
    with other.read() as snapshot:
        epoch, seq = snapshot.epoch, snapshot.seq
    store.reset()
    assert where_found(store.path, *traces(fill, SECRET), b"secret-user") == []
    for one in (store, other):
        with one.read() as snapshot:
            assert snapshot.epoch != epoch
            assert snapshot.seq == seq  # numbers go on
            assert snapshot.count(filters.EVERYTHING) == 0
            assert snapshot.model_id == ""
    (new,) = fill.add(other, "new life", scope=Scope("other-user"))
    assert new.key == seq + 1
    with store.read() as snapshot:
        assert snapshot.records([new.key])[new.key].scope == Scope("other-user")
    assert store.check() == []
