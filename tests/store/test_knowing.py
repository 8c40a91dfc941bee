"""What the connection that writes remembers from one transaction to the next, and when it must
not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw
import pytest

from agentmem.errors import ConflictError
from agentmem.store import Store, places
from agentmem.types import Record, Scope, VectorSource

ALICE = Scope(user_id="alice")


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """The statements of the connections that are open, by their first two words."""
    found: list[str] = []
    raws = [c.raw for c in [store._writer, *store._readers.all_connections()] if c is not None]
    for raw in raws:
        raw.trace_v2(
            apsw.SQLITE_TRACE_STMT, lambda event: found.append(" ".join(event["sql"].split()[:2]))
        )
    yield found
    for raw in raws:
        raw.trace_v2(0, None)


def vectors_known(store: Store, fill: Any, *texts: str) -> list[bool]:
    with store.glance() as look:
        found = look.known_vectors([ALICE] * len(texts), [fill.hash(text) for text in texts])
    return [vector is not None for vector in found]


def test_adding_one_more_reads_nothing(store: Store, fill: Any) -> None:
    fill.add(store, "first")
    with statements(store) as found:
        assert vectors_known(store, fill, "second") == [False]
        with store.write() as tx:
            fill.insert(tx, [fill.new("second")])
    assert found == [
        "BEGIN IMMEDIATE",
        "PRAGMA data_version",
        "UPDATE scopes",
        "INSERT INTO",  # memories, vectors, terms, events
        "INSERT INTO",
        "INSERT INTO",
        "INSERT INTO",
        "COMMIT",
    ]


def test_two_stores_on_one_folder_take_turns(open_store: Callable[..., Store], fill: Any) -> None:
    one, two = open_store(), open_store()
    records: list[Record] = []
    for i in range(6):
        records += fill.add((one, two)[i // 2 % 2], f"text {i}", f"more {i}")
    assert [record.position for record in records] == list(range(12))
    assert [record.seq for record in records] == list(range(1, 13))
    times = [record.created_at for record in records]
    assert times == sorted(times)


def test_a_store_that_was_reset_by_another_starts_anew(
    open_store: Callable[..., Store], fill: Any
) -> None:
    one, two = open_store(), open_store()
    fill.add(one, "before")
    two.reset()
    [record] = fill.add(one, "after", scope=Scope(user_id="bob"))
    assert record.position == 0
    [record] = fill.add(one, "after")
    assert (record.position, record.scope) == (0, ALICE)
    assert one.check() == []


@pytest.mark.parametrize("wipe", ["purge", "reset"])
def test_a_scope_that_is_gone_is_made_anew(store: Store, fill: Any, wipe: str) -> None:
    [gone] = fill.add(store, "gone")
    if wipe == "purge":
        with store.write() as tx:
            tx.purge([gone.id])
    else:
        store.reset()
    assert vectors_known(store, fill, "gone") == [False]
    [record] = fill.add(store, "there")
    assert (record.position, record.scope) == (0, ALICE)
    assert record.seq > gone.seq
    assert record.created_at >= gone.created_at
    assert store.check() == []


def test_what_was_rolled_back_is_not_remembered(store: Store, fill: Any) -> None:
    [first] = fill.add(store, "first")
    new = Scope(user_id="new")
    with pytest.raises(ConflictError), store.write() as tx:
        fill.insert(tx, [fill.new("a", scope=new), fill.new("b", id=first.id)])
    assert [record.position for record in fill.add(store, "a", "b", scope=new)] == [0, 1]
    [record] = fill.add(store, "second")
    assert (record.position, record.seq) == (1, first.seq + 3)
    assert store.check() == []


def test_nor_is_what_a_savepoint_took_back(store: Store, fill: Any) -> None:
    [first] = fill.add(store, "first")
    new = Scope(user_id="new")
    with store.write() as tx:
        with pytest.raises(ConflictError), tx.savepoint():
            fill.insert(tx, [fill.new("a", scope=new), fill.new("b", id=first.id)])
        keys = fill.insert(tx, [fill.new("a", scope=new), fill.new("second")])
    with store.read() as snapshot:
        found = snapshot.records(keys)
    assert [(found[key].scope, found[key].position) for key in keys] == [(new, 0), (ALICE, 1)]
    assert store.check() == []


def test_a_known_text_is_found_whoever_stored_it(
    open_store: Callable[..., Store], fill: Any
) -> None:
    one, two = open_store(), open_store()
    [mine] = fill.add(one, "mine")
    fill.add(two, "theirs")
    fill.add(one, "mine too")  # notices the other
    assert vectors_known(one, fill, "mine", "theirs", "mine too", "nobody's") == [
        *(True, True, True),
        False,
    ]
    fill.change(one, mine, "mine, changed")
    assert vectors_known(one, fill, "mine", "mine, changed") == [False, True]


def test_the_texts_of_a_scope_are_read_once_it_is_worth_it(
    open_store: Callable[..., Store], fill: Any
) -> None:
    fill.add(open_store(), *(f"text {i}" for i in range(200)))
    store = open_store()
    asked = 0
    for i in range(10):
        with statements(store) as found:
            assert vectors_known(store, fill, f"new {i}") == [False]
        asked += bool(found)
        fill.add(store, f"new {i}")
    assert 200 / places._READ_MEANWHILE <= asked < 10
    assert vectors_known(store, fill, "text 0", "text 199", "new 9", "other") == [True] * 3 + [
        False
    ]


def test_texts_for_which_there_is_no_room_are_not_read(
    open_store: Callable[..., Store], fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scopes = [Scope(user_id=f"user {i}") for i in range(3)]
    for scope in scopes:
        fill.add(open_store(), *(f"text {i}" for i in range(50)), scope=scope)
    monkeypatch.setattr(places, "_MOST_TEXTS", 120)
    store = open_store()
    for i in range(6):
        for scope in scopes:
            with store.glance() as look:
                assert look.known_vectors([scope], [fill.hash(f"new {i}")]) == [None]
            fill.add(store, f"new {i}", scope=scope)
    assert store._writer is not None
    held = [store._writer.places.get(scope) for scope in scopes]
    assert [place is not None and place.texts is not None for place in held] == [True, True, False]


def test_scopes_and_texts_are_forgotten_before_they_are_too_many(
    store: Store, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_MOST_TEXTS", 20)
    monkeypatch.setattr(places, "_MOST_SCOPES", 3)
    assert store._writer is not None
    for i in range(8):
        for user in ("alice", f"user {i}"):
            fill.add(store, *(f"text {i} {j}" for j in range(5)), scope=Scope(user_id=user))
        held = store._writer.places
        assert held._texts <= 25
        assert len(held._known) <= 4
    texts = [f"text {i} {j}" for i in range(8) for j in range(5)]
    assert vectors_known(store, fill, *texts, "other") == [True] * 40 + [False]


def test_a_callers_vector_is_no_known_one(store: Store, fill: Any) -> None:
    with store.write() as tx:
        fill.insert(tx, [fill.new("given")], VectorSource.CALLER)
    assert vectors_known(store, fill, "given") == [False]
