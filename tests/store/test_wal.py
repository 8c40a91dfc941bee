"""The write-ahead log: readers and writers together, and a log that does not grow for ever."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from agentmem.errors import StoreError
from agentmem.store import Store, filters
from agentmem.store.checkpoint import Checkpointer
from agentmem.types import PartitionKey


def wal_size(store: Store) -> int:
    path = store.path / "agentmem.db-wal"
    return path.stat().st_size if path.exists() else 0


def test_a_reader_does_not_hold_up_a_writer_nor_see_its_commit(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    with store.read() as snapshot:
        fill.add(store, "b")
        assert snapshot.count(filters.EVERYTHING) == 1
    with store.read() as snapshot:
        assert snapshot.count(filters.EVERYTHING) == 2


def test_a_half_read_answer_in_one_place_hides_no_commit_from_another(
    open_store: Any, fill: Any
) -> None:
    mine, other = open_store(), open_store()
    fill.add(mine, *(f"memory {i}" for i in range(50)))
    with mine.read() as held:
        cursor = held._db.raw.execute("SELECT key FROM memories")
        next(cursor)
        for i in range(20):
            (record,) = fill.add(other, f"new {i}")
            with mine.read() as snapshot:
                assert snapshot.records([record.key])[record.key].content == f"new {i}"
                assert snapshot.load(PartitionKey("user_id", "alice")).keys[-1] == record.key
        cursor.close()


def test_an_answer_left_half_read_hides_no_later_commit(store: Store, fill: Any) -> None:
    cursors = []
    for i in range(20):
        fill.add(store, f"memory {i}")
        with store.read() as snapshot:
            assert snapshot.count(filters.EVERYTHING) == i + 1
            cursors.append(snapshot._db.raw.execute("SELECT m.name FROM meta m, sqlite_schema"))
    assert store._readers.open_count <= 1


def test_closing_empties_the_log(open_store: Any, fill: Any) -> None:
    store = open_store()
    fill.add(store, "a")
    assert wal_size(store) > 0
    other = open_store()
    fill.add(other, "b")
    store.close()
    assert wal_size(other) == 0
    assert other.last_seq() == 2


def test_the_log_is_copied_beside_the_writers(
    open_store: Any, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpointer, "SOFT", 50)
    store = open_store()
    database: Path = store.path / "agentmem.db"
    before = database.stat().st_size
    deadline = time.monotonic() + 20
    added = 0
    while database.stat().st_size < before + 50 * 8192:
        assert time.monotonic() < deadline
        fill.add(store, *("x" * 1_000 for _ in range(50)))
        added += 50
    names = {thread.name for thread in threading.enumerate()}
    assert "agentmem-checkpoint" in names
    store.close()
    assert "agentmem-checkpoint" not in {thread.name for thread in threading.enumerate()}
    with open_store().read() as snapshot:
        assert snapshot.count(filters.EVERYTHING) == added


def test_the_log_starts_over_under_a_writer_that_never_pauses(
    open_store: Any, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before anybody waits for it, and with a copy every ``SOFT`` pages, not every commit."""
    monkeypatch.setattr(Checkpointer, "SOFT", 100)
    copies: list[int] = []
    copy = Checkpointer._copy

    def counted(self: Checkpointer, connection: Any) -> None:
        copies.append(self.pages)
        copy(self, connection)

    monkeypatch.setattr(Checkpointer, "_copy", counted)
    store = open_store()
    begun_again = before = added = 0
    deadline = time.monotonic() + 20
    while begun_again < 3:
        assert time.monotonic() < deadline
        fill.add(store, f"memory {added}")
        added += 1
        begun_again += store._checkpoints.pages < before
        before = store._checkpoints.pages
    store.close()
    assert 3 <= len(copies) < added / 5
    with open_store().read() as snapshot:
        assert snapshot.count(filters.EVERYTHING) == added
    assert open_store().check() == []


def test_the_next_commit_copies_what_little_the_thread_has_left(
    open_store: Any, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []  # what the thread would do is done by hand
    monkeypatch.setattr(Checkpointer, "SOFT", 100)
    monkeypatch.setattr(Checkpointer, "_call_thread", lambda self: called.append(self.pages))
    store = open_store()
    log = store._checkpoints
    while not called:
        fill.add(store, "a memory")
    with store.read() as snapshot:  # or the log would start over before anything is left
        assert snapshot.count(filters.EVERYTHING)
        copied, _ = store._writer.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        fill.add(store, "written meanwhile")
    log._copied, log._next = copied, 0
    fill.add(store, "copies the rest")
    assert log.pages > copied
    fill.add(store, "starts over")
    assert log.pages < copied / 2
    assert len(called) == 1
    log._copied, log._next = log.pages, 0
    fill.add(store, *(f"more than a commit should copy {i} " + "x" * 5_000 for i in range(600)))
    assert len(called) == 2


def test_a_fault_of_a_copy_is_none_of_the_commit_before_it(
    open_store: Any, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()

    def fails(*_: object) -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(store._checkpoints, "_may_copy", fails)
    for most in (1_000_000, 0):
        monkeypatch.setattr(store._checkpoints, "_most", most)
        store._checkpoints._copied, store._checkpoints._next = store._checkpoints.pages + 1, 0
        (record,) = fill.add(store, "a memory")
        with store.read() as snapshot:
            assert record.key in snapshot.records([record.key])


def test_the_log_stays_short_while_writers_never_pause(
    open_store: Any, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several writers and readers at once; the log is started over all the same."""
    monkeypatch.setattr(Checkpointer, "SOFT", 50)
    monkeypatch.setattr(Checkpointer, "HARD", 400)
    store = open_store()
    stop = threading.Event()
    largest = 0

    def write(number: int) -> None:
        for i in range(80):
            fill.add(store, *(f"{number} {i} {n} " + "x" * 2_000 for n in range(20)))

    def read() -> None:
        while not stop.is_set():
            with store.read() as snapshot:
                snapshot.count(filters.EVERYTHING)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    while any(thread.is_alive() for thread in writers):
        largest = max(largest, wal_size(store))
        writers[0].join(0.01)
    stop.set()
    reader.join()
    with store.read() as snapshot:
        assert snapshot.count(filters.EVERYTHING) == 4_800
    total = 4_800 * 2_000
    # A writer may be half-way through a batch, and a reader in the way, when the limit is met.
    assert largest < 3 * 400 * 8192 < total * 1.5
    assert store.check() == []


def test_a_long_reader_only_delays_the_shortening(
    open_store: Any, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpointer, "SOFT", 20)
    monkeypatch.setattr(Checkpointer, "HARD", 20)
    store = open_store()
    fill.add(store, "first")
    with store.read() as snapshot:
        for i in range(30):
            fill.add(store, *(f"{i} {n} " + "x" * 500 for n in range(20)))
        grown = wal_size(store)
        assert snapshot.count(filters.EVERYTHING) == 1
    for i in range(60):  # twice as much again, into a log that starts over
        fill.add(store, *(f"{i} {n} " + "y" * 500 for n in range(20)))
    assert wal_size(store) <= grown + 60 * 8192
    with store.read() as snapshot:
        assert snapshot.count(filters.EVERYTHING) == 1_801
