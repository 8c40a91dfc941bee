"""Pages of a listing, in stores where a scope is most of it, some of it, and next to nothing."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agentmem.store import Store, filters
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
