"""Partitions and the log's tail, which every projection lives on."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from agentmem.store import Store, filters
from agentmem.store.snapshot import Snapshot
from agentmem.types import SCOPE_FIELDS, IndexRows, PartitionKey, Record, Scope, VectorSource

WHOLE = PartitionKey(None, None)
SCOPES = [Scope("u1", run_id="r1"), Scope("u1", run_id="r2"), Scope("u2", "a"), Scope(None, "a")]


def assert_rows(rows: IndexRows, records: list[Record], snapshot: Snapshot, fill: Any) -> None:
    """Every column is that of the records, in key order."""
    records = sorted(records, key=lambda record: record.key)
    texts = [record.content for record in records]
    assert rows.keys.tolist() == [record.key for record in records]
    assert rows.seqs.tolist() == [record.seq for record in records]
    assert rows.event_at.tolist() == [record.event_at for record in records]
    assert [rows.scope_table[s] for s in rows.scopes.tolist()] == [r.scope for r in records]
    assert set(rows.scope_table) == set(rows.scopes.tolist())
    expected = fill.terms(texts)
    for name in ("offsets", "terms", "counts", "lengths"):
        got, want = getattr(rows.terms, name), getattr(expected, name)
        assert got.dtype == want.dtype, name
        np.testing.assert_array_equal(got, want)
    assert rows.vectors.shape == (len(records), fill.dim)
    np.testing.assert_array_equal(rows.vectors, fill.vectors(texts).astype(np.float16))


def everything(snapshot: Snapshot) -> list[Record]:
    return snapshot.page(filters.EVERYTHING, order="created_at", limit=10_000, after=None)


def churn(store: Store, fill: Any, rounds: int, seed: int = 5) -> None:
    """Adds, updates and deletes over a few scopes."""
    dice = random.Random(seed)
    for round_ in range(rounds):
        with store.write() as tx:
            fill.insert(
                tx,
                [
                    fill.new(f"text {round_} {i} {dice.random()}", dice.choice(SCOPES))
                    for i in range(dice.randrange(6))
                ],
            )
            live = everything(tx.view)
            for record in dice.sample(live, min(len(live), 2)):
                record.content = f"changed {dice.random()}"
                record.content_hash = fill.hash(record.content)
                tx.update(
                    [record],
                    fill.vectors([record.content]),
                    [VectorSource.MODEL],
                    fill.terms([record.content]),
                )
            live = everything(tx.view)
            tx.delete([record.key for record in dice.sample(live, min(len(live), 2))])


def test_an_empty_store_has_empty_columns(store: Store) -> None:
    with store.read() as snapshot:
        rows = snapshot.load(WHOLE)
        assert rows.keys.tolist() == []
        assert rows.vectors.shape == (0, 0)
        assert rows.terms.offsets.tolist() == [0]
        changes = snapshot.changes(0)
    assert (changes.seq, changes.gone.tolist(), changes.rows.keys.tolist()) == (0, [], [])


def test_a_partition_is_the_rows_of_its_value(store: Store, fill: Any) -> None:
    churn(store, fill, 12)
    with store.read() as snapshot:
        records = everything(snapshot)
        assert_rows(snapshot.load(WHOLE), records, snapshot, fill)
        for column in SCOPE_FIELDS:
            for value in {getattr(scope, column) for scope in SCOPES} - {None} | {"nobody", "*"}:
                mine = [r for r in records if getattr(r.scope, column) == value]
                rows = snapshot.load(PartitionKey(column, value))
                assert_rows(rows, mine, snapshot, fill)
        with pytest.raises(ValueError, match="no scope column"):
            snapshot.load(PartitionKey("content", "x"))


def test_large_partitions_are_read_in_parts(
    store: Store, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    churn(store, fill, 30)
    with store.write() as tx:
        fill.insert(tx, [fill.new("by a caller", SCOPES[0])], VectorSource.CALLER)
    for size in (1, 7, 1_000):
        monkeypatch.setattr("agentmem.store.snapshot._CHUNK", size)
        with store.read() as snapshot:
            for partition in (WHOLE, PartitionKey("user_id", "u1")):
                rows = snapshot.load(partition)
                records = snapshot.records(rows.keys.tolist())
                expected, _ = snapshot.vectors(rows.keys.tolist())
                assert rows.vectors.dtype == np.float32
                np.testing.assert_array_equal(rows.vectors, expected)
                rows.vectors = fill.vectors([r.content for r in records.values()]).astype("f2")
                assert_rows(rows, list(records.values()), snapshot, fill)


@pytest.mark.parametrize("limit", [0, 1, 7])
def test_following_the_log_ends_at_the_truth(store: Store, fill: Any, limit: int) -> None:
    """A follower that only applies changes holds exactly what a load holds."""
    held: dict[int, int] = {}  # key -> seq
    seq = 0
    for seed in range(6):
        churn(store, fill, 4, seed)
        with store.read() as snapshot:
            while seq < snapshot.seq:
                changes = snapshot.changes(seq, limit=limit)
                assert changes.seq > seq
                if limit:
                    assert changes.seq - seq <= limit
                seq = changes.seq
                held.update(
                    zip(changes.rows.keys.tolist(), changes.rows.seqs.tolist(), strict=True)
                )
                for key in changes.gone.tolist():
                    held.pop(key, None)
            rows = snapshot.load(WHOLE)
            assert held == dict(zip(rows.keys.tolist(), rows.seqs.tolist(), strict=True))


def test_a_change_carries_the_row_as_it_is_now(store: Store, fill: Any) -> None:
    churn(store, fill, 8)
    with store.read() as snapshot:
        records = {record.key: record for record in everything(snapshot)}
        changes = snapshot.changes(3)
        named = [records[key] for key in changes.rows.keys.tolist()]
        assert_rows(changes.rows, named, snapshot, fill)
        assert not set(changes.gone.tolist()) & set(records)
        assert changes.seq == snapshot.seq
        assert snapshot.changes(snapshot.seq).rows.keys.tolist() == []


def test_a_snapshot_stays_as_it_was(store: Store, fill: Any) -> None:
    (a,) = fill.add(store, "a")
    with store.read() as snapshot:
        fill.add(store, "b")
        with store.write() as tx:
            tx.delete([a.key])
        assert snapshot.seq == 1
        assert snapshot.load(WHOLE).keys.tolist() == [a.key]
        assert [record.content for record in everything(snapshot)] == ["a"]
        assert store.last_seq() == 3
    with store.read() as snapshot:
        assert snapshot.seq == 3


def test_matching_keys_ascend_within_the_partition(store: Store, fill: Any) -> None:
    churn(store, fill, 30)
    where = filters.parse({"content": {"contains": "1"}})
    with store.read() as snapshot:
        records = [record for record in everything(snapshot) if "1" in record.content]
        assert len(records) > 3
        for column, value in ((None, None), ("user_id", "u1"), ("agent_id", "a")):
            found = snapshot.matching_keys(PartitionKey(column, value), where)
            expected = [
                r.key for r in records if column is None or getattr(r.scope, column) == value
            ]
            assert found.dtype == np.int64
            assert found.tolist() == sorted(expected)


@pytest.mark.parametrize("order", ["created_at", "updated_at", "timestamp"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_pages_cover_everything_once_in_order(
    store: Store, fill: Any, order: str, sign: str
) -> None:
    dice = random.Random(3)
    for i in range(9):
        fill.add(store, *(f"{i} {n}" for n in range(4)), event_at=dice.randrange(3))
    with store.read() as snapshot:
        live = everything(snapshot)
    for record in dice.sample(live, 5):
        with store.write() as tx:
            tx.update([record], None, None, None)
    attribute = {"timestamp": "event_at"}.get(order, order)
    seen: list[Record] = []
    after: tuple[int, int] | None = None
    with store.read() as snapshot:
        while page := snapshot.page(filters.EVERYTHING, order=sign + order, limit=5, after=after):
            seen.extend(page)
            after = (getattr(page[-1], attribute), page[-1].key)
        expected = sorted(
            everything(snapshot),
            key=lambda record: (getattr(record, attribute), record.key),
            reverse=sign == "-",
        )
    assert [record.key for record in seen] == [record.key for record in expected]


def test_an_unknown_order_is_refused(store: Store) -> None:
    with store.read() as snapshot, pytest.raises(ValueError, match=r"unknown order 'id'; use one"):
        snapshot.page(filters.EVERYTHING, order="id", limit=5, after=None)
