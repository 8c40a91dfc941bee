"""A transaction is stored whole or not at all, whatever happens inside it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from agentmem.errors import ConflictError, StoreError
from agentmem.store import Store, filters
from agentmem.types import Scope


class Stop(Exception):
    pass


def contents(store: Store) -> list[str]:
    with store.read() as snapshot:
        page = snapshot.page(filters.EVERYTHING, order="created_at", limit=99, after=None)
        return [record.content for record in page]


def test_an_exception_rolls_everything_back(store: Store, fill: Any) -> None:
    (kept,) = fill.add(store, "kept")
    seq = store.last_seq()
    with suppress(Stop), store.write() as tx:
        fill.insert(tx, [fill.new("a"), fill.new("b", Scope("new"))])
        tx.delete([kept.key])
        tx.put_meta("mark", "1")
        raise Stop
    assert contents(store) == ["kept"]
    assert store.last_seq() == seq
    with store.read() as snapshot:
        assert snapshot.meta("mark") is None
        assert snapshot.stats()["scopes"] == 1
    assert store.check() == []


def test_the_first_model_is_rolled_back_too(store: Store, fill: Any) -> None:
    with suppress(Stop), store.write() as tx:
        fill.insert(tx, [fill.new("a")])
        raise Stop
    with store.read() as snapshot:
        assert (snapshot.model_id, snapshot.dim) == ("", 0)


def test_a_savepoint_undoes_only_its_part(store: Store, fill: Any) -> None:
    with store.write() as tx:
        fill.insert(tx, [fill.new("a")])
        with suppress(Stop), tx.savepoint():
            fill.insert(tx, [fill.new("b", Scope("bob"))])
            with tx.savepoint():
                fill.insert(tx, [fill.new("c")])
            raise Stop
        with suppress(Stop), tx.savepoint():
            with tx.savepoint():
                fill.insert(tx, [fill.new("d")])
            raise Stop
        with tx.savepoint():
            fill.insert(tx, [fill.new("e", Scope("bob"))])
    assert contents(store) == ["a", "e"]
    assert store.last_seq() == 2  # no number was lost
    assert store.check() == []


def test_a_first_insert_undone_by_a_savepoint_leaves_no_model(store: Store, fill: Any) -> None:
    with store.write() as tx:
        with suppress(Stop), tx.savepoint():
            fill.insert(tx, [fill.new("a")])
            raise Stop
        assert tx.view.model_id == ""
        fill.insert(tx, [fill.new("b")])
    assert contents(store) == ["b"]
    assert store.check() == []


def test_a_conflict_in_a_savepoint_spares_the_others(store: Store, fill: Any) -> None:
    with store.write() as tx:
        fill.insert(tx, [fill.new("a")])
        taken = fill.new("b")
        with tx.savepoint():
            fill.insert(tx, [taken])
        with pytest.raises(ConflictError), tx.savepoint():
            fill.insert(tx, [fill.new("c"), fill.new("d", id=taken.id)])
        fill.insert(tx, [fill.new("e")])
    assert contents(store) == ["a", "b", "e"]
    assert store.check() == []


def test_a_swallowed_failure_does_not_commit_half_a_change(store: Store, fill: Any) -> None:
    taken = fill.new("a")

    def swallow() -> None:
        with store.write() as tx:
            fill.insert(tx, [taken])
            with pytest.raises(ConflictError):
                fill.insert(tx, [fill.new("b"), taken])
            with pytest.raises(StoreError, match="an earlier change of this transaction failed"):
                fill.insert(tx, [fill.new("c")])

    with pytest.raises(StoreError, match="cannot commit after a failed change"):
        swallow()
    assert contents(store) == []


def test_a_failure_swallowed_inside_a_savepoint_undoes_it(store: Store, fill: Any) -> None:
    taken = fill.new("a")
    with store.write() as tx:
        fill.insert(tx, [taken])
        undone = pytest.raises(StoreError, match="inside this savepoint")
        with undone, tx.savepoint(), suppress(ConflictError):
            fill.insert(tx, [fill.new("b"), taken])
    assert contents(store) == ["a"]


def test_the_store_serves_on_after_a_failure(store: Store, fill: Any) -> None:
    for _ in range(3):
        with suppress(Stop), store.write() as tx:
            fill.insert(tx, [fill.new("lost")])
            raise Stop
        fill.add(store, "kept")
    assert contents(store) == ["kept"] * 3
