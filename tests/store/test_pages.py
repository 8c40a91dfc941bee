"""Pages of a listing, in stores where a scope is most of it, some of it, and next to nothing."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agentmem.store import Store, filters, pages
from agentmem.store.schema import shelf_of
from agentmem.types import Record, Scope

ORDERS = ["created_at", "-created_at", "updated_at", "-updated_at", "timestamp", "-timestamp"]
FEW, SOME, MOST = (Scope(user_id=name) for name in ("few", "some", "most"))


@pytest.fixture
def filled(store: Store, fill: Any) -> Store:
    """400 memories with gaps between their keys; one scope's stand together, far from the ends."""
    dice = random.Random(11)
    for round_ in range(20):
        scopes = [SOME if dice.random() < 0.2 else MOST for _ in range(20)]
        if round_ == 9:
            scopes = [FEW] * 20
        with store.write() as tx:
            fill.insert(
                tx,
                [
                    fill.new(f"{round_} {i}", scope, event_at=dice.randrange(9))
                    for i, scope in enumerate(scopes)
                ],
            )
            live = tx.view.page(filters.EVERYTHING, order="created_at", limit=999, after=None)
            chosen = dice.sample(live, 6)
            tx.update(chosen[:3], None, None, None)
            tx.delete([record.key for record in chosen[3:]])
    return store


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("limit", [1, 7, 20, 1000])
def test_pages_are_the_sorted_matches(filled: Store, order: str, limit: int) -> None:
    attribute = {"timestamp": "event_at"}.get(order.removeprefix("-"), order.removeprefix("-"))

    def place(record: Record) -> tuple[int, int]:
        return getattr(record, attribute), record.key

    with filled.read() as snapshot:
        live = snapshot.page(filters.EVERYTHING, order="created_at", limit=999, after=None)
        for scope in (FEW, SOME, MOST, Scope(user_id="nobody")):
            expected = sorted(
                (record for record in live if record.scope == scope and "1" in record.content),
                key=place,
                reverse=order.startswith("-"),
            )
            where = filters.all_of(
                filters.in_scope(scope), filters.parse({"memory": {"contains": "1"}})
            )
            seen: list[Record] = []
            after = None
            while page := snapshot.page(where, order=order, limit=limit, after=after):
                assert len(page) == min(limit, len(expected) - len(seen))
                seen += page
                after = place(page[-1])
            assert seen == expected


@pytest.fixture
def ann(store: Store, fill: Any) -> Scope:
    """A user with three runs of 60 to 300 memories, of which one shelf is empty and others have
    gaps, among four times as many of another."""
    dice = random.Random(12)
    for round_ in range(25):
        memories = []
        for i in range(80):
            run = dice.choices(["a", "b", "c"], [10, 4, 2])[0]
            scope = Scope(user_id="ann", run_id=run) if dice.random() < 0.2 else MOST
            memories.append(fill.new(f"{round_} {i}", scope))
        with store.write() as tx:
            fill.insert(tx, memories)
    ann = Scope(user_id="ann")
    with store.write() as tx:
        live = tx.view.page(filters.in_scope(ann), order="created_at", limit=999, after=None)
        gone = [r.key for r in live if r.scope.run_id == "a" and shelf_of(r.position) == 2]
        assert len(gone) > 50
        tx.delete(list({*gone, *(r.key for r in dice.sample(live, 60))}))
    return ann


@pytest.mark.parametrize("large", [1, 1_000_000])
@pytest.mark.parametrize("order", ["created_at", "-created_at"])
@pytest.mark.parametrize("limit", [1, 10, 77])
def test_pages_of_a_large_scope_are_read_by_its_shelves(
    store: Store, ann: Scope, monkeypatch: pytest.MonkeyPatch, order: str, limit: int, large: int
) -> None:
    monkeypatch.setattr(pages, "_LARGE", large)
    monkeypatch.setattr(pages, "_STRETCH", 1)
    text = filters.parse({"memory": {"contains": "1"}})
    with store.read() as snapshot:
        live = snapshot.page(filters.EVERYTHING, order=order, limit=9_999, after=None)
        for where in (filters.in_scope(ann), filters.all_of(filters.in_scope(ann), text)):
            wanted = [
                record
                for record in live
                if record.scope.user_id == "ann"
                and ("1" in record.content or where.sql() == filters.in_scope(ann).sql())
            ]
            assert len(wanted) > 100
            seen: list[Record] = []
            after = None
            while page := snapshot.page(where, order=order, limit=limit, after=after):
                seen += page
                after = (page[-1].created_at, page[-1].key)
            assert seen == wanted


def test_a_page_of_a_large_scope_reads_no_more_than_it_needs(
    store: Store, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SQLite's own count of the steps of its machine."""
    with store.write() as tx:
        fill.insert(tx, [fill.new(str(i), SOME) for i in range(3_000)])
        fill.insert(tx, [fill.new(f"other {i}", MOST) for i in range(100)])
    where = filters.in_scope(SOME)

    def steps(large: int) -> int:
        monkeypatch.setattr(pages, "_LARGE", large)
        counted = 0

        def count() -> bool:
            nonlocal counted
            counted += 10
            return False

        with store.read() as snapshot:
            snapshot.page(where, order="-created_at", limit=10, after=None)  # prepared now
            raw = snapshot._db.raw
            raw.set_progress_handler(count, 10)
            snapshot.page(where, order="-created_at", limit=10, after=None)
            raw.set_progress_handler(None)
        return counted

    by_shelf, sorted_whole = steps(1_000), steps(1_000_000)
    assert by_shelf < sorted_whole / 3


def test_a_place_is_a_version(filled: Store) -> None:
    with filled.read() as snapshot:
        where = filters.in_scope(FEW)
        records = snapshot.page(where, order="timestamp", limit=50, after=None)
        places = snapshot.places(where, order="timestamp", limit=50, after=None)
    assert places == [(record.key, record.seq, record.event_at) for record in records]
    assert len(places) > 10


def test_a_transaction_pages_through_what_it_has_inserted(store: Store, fill: Any) -> None:
    fill.add(store, "before")
    with store.write() as tx:
        fill.insert(tx, [fill.new(f"new {i}") for i in range(30)])
        for order in ("created_at", "-created_at"):
            page = tx.view.page(filters.EVERYTHING, order=order, limit=99, after=None)
            assert len(page) == 31
