"""Questions that a write asks first: of many items at once, each in its exact scope."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

from agentmem.store import Store, filters, lookups
from agentmem.store.schema import shelf_of
from agentmem.types import Scope, VectorSource


def everything(store: Store) -> list[Any]:
    with store.read() as snapshot:
        return snapshot.page(filters.EVERYTHING, order="created_at", limit=10_000, after=None)


def test_lookups_answer_per_item_and_by_exact_scope(store: Store, fill: Any) -> None:
    wide, narrow = Scope("u"), Scope("u", run_id="r")
    texts = ["one", "two", "three"]
    first = fill.add(store, *texts, scope=wide)
    fill.add(store, "one", scope=wide)  # a duplicate
    fill.add(store, "keyed", scope=narrow, idempotency_key="k")
    with store.write() as tx:
        fill.insert(tx, [fill.new("given", wide)], VectorSource.CALLER)
    asked = [(wide, "two"), (narrow, "two"), (wide, "none"), (wide, "one"), (wide, "given"),
             (Scope("x"), "one"), (wide, "two")]  # fmt: skip
    scopes = [scope for scope, _ in asked]
    hashes = [fill.hash(text) for _, text in asked]
    with store.read() as snapshot:
        last = everything(store)[-1].key
        assert snapshot.duplicates(scopes, hashes) == [
            first[1].key, None, None, first[0].key, last, None, first[1].key,
        ]  # fmt: skip
        vectors = snapshot.known_vectors(scopes, hashes)
        two = fill.vectors(["two"]).astype(np.float16).tobytes()
        one = fill.vectors(["one"]).astype(np.float16).tobytes()
        assert vectors == [two, None, None, one, None, None, two]  # never a caller's
        (keyed,) = [record for record in everything(store) if record.idempotency_key]
        assert snapshot.idempotent([wide, narrow, narrow], ["k", "k", None]) == [
            None, keyed.key, None,
        ]  # fmt: skip
        found = snapshot.by_ids([first[2].id, b"\0" * 16, first[0].id])
        assert found == {first[0].id: first[0], first[2].id: first[2]}
        assert snapshot.by_ids([]) == {}
        assert snapshot.records([]) == {}


def test_lookups_of_more_items_than_one_statement_takes(store: Store, fill: Any) -> None:
    texts = [f"t{i}" for i in range(2_500)]
    records = fill.add(store, *texts)
    scopes, hashes = [fill.alice] * 2_500, [fill.hash(text) for text in texts]
    with store.read() as snapshot:
        assert snapshot.duplicates(scopes, hashes) == [record.key for record in records]
        assert len(snapshot.by_ids([record.id for record in records])) == 2_500
        assert None not in snapshot.known_vectors(scopes, hashes)


@pytest.mark.parametrize("cost", [0, 6, 10**9])  # always seek, what is faster, always scan
def test_every_way_finds_the_oldest_of_a_text(
    store: Store, fill: Any, monkeypatch: pytest.MonkeyPatch, cost: int
) -> None:
    monkeypatch.setattr(lookups, "_SEEK_COST", cost)
    dice = random.Random(4)
    scopes = [Scope("large"), Scope("small"), Scope("tiny")]
    for _ in range(8):
        with store.write() as tx:
            fill.insert(
                tx,
                [
                    fill.new(
                        f"text {dice.randrange(400)}",
                        dice.choices(scopes, (50, 5, 1))[0],
                        expires_at=dice.choice((None, 10, 20)),
                    )
                    for _ in range(200)
                ],
                dice.choice([VectorSource.MODEL, VectorSource.CALLER]),
            )
            live = tx.view.page(filters.EVERYTHING, order="created_at", limit=9_999, after=None)
            tx.delete([record.key for record in dice.sample(live, 20)])
    records = everything(store)
    with store.read() as snapshot:
        _, kinds = snapshot.vectors([record.key for record in records])
        by_model = {
            (record.scope, record.content)
            for record, kind in zip(records, kinds.tolist(), strict=True)
            if kind == VectorSource.MODEL
        }
        for count in (1, 3, 30, 900):
            asked = [
                (dice.choice([*scopes, Scope("nobody")]), f"text {dice.randrange(420)}")
                for _ in range(count)
            ]
            places = [scope for scope, _ in asked]
            hashes = [fill.hash(text) for _, text in asked]
            assert snapshot.duplicates(places, hashes) == [
                min((r.key for r in records if (r.scope, r.content) == one), default=None)
                for one in asked
            ]
            # Some have expired by then: each text is found by its first other copy.
            assert snapshot.duplicates(places, hashes, 10) == [
                min(
                    (
                        r.key
                        for r in records
                        if (r.scope, r.content) == one and (r.expires_at or 11) > 10
                    ),
                    default=None,
                )
                for one in asked
            ]
            assert snapshot.known_vectors(places, hashes) == [
                fill.vectors([text]).astype(np.float16).tobytes()
                if (scope, text) in by_model
                else None
                for scope, text in asked
            ]


def test_shelves_follow_one_another_and_grow() -> None:
    shelves = [shelf_of(position) for position in range(20_000)]
    assert shelves[:17] == [0] * 16 + [1]
    assert all(b - a in (0, 1) for a, b in itertools.pairwise(shelves))
    assert shelf_of(1_000_000) == 250


def test_a_lookup_reads_the_index_alone(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    with store.read() as snapshot:
        for sql, values in (
            (lookups._ONE + lookups._FIRST, (1, 0, b"x")),
            (lookups._SEEK + lookups._EACH, (1, None, None)),
            (lookups._SCAN + lookups._EACH, (1, None)),
        ):
            plan = [row[3] for row in snapshot._db.rows(f"EXPLAIN QUERY PLAN {sql}", values)]
            assert any("COVERING INDEX memories_text" in step for step in plan), plan
