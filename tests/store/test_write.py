"""What a write stores, and what it refuses."""

from __future__ import annotations

import time
import uuid
from typing import Any

import numpy as np
import pytest

from agentmem.errors import ConflictError, NotFoundError, StoreError, VectorError
from agentmem.store import Store, filters
from agentmem.store.access import AccessCounts
from agentmem.types import NEVER, PartitionKey, Scope, VectorSource

WHOLE = PartitionKey(None, None)


def test_every_field_comes_back_as_it_was_given(store: Store, fill: Any) -> None:
    given = {
        "scope": Scope("u", "a", "r", "o"),
        "actor_id": "Ann",
        "role": "user",
        "memory_type": "semantic",
        "level": "high",
        "importance": 0.1,
        "metadata": '{"a":[1,"\\u0000"]}',
        "event_at": -5,
        "expires_at": 7,
        "idempotency_key": "once",
    }
    (record,) = fill.add(store, "naïve \0 café 😀", **given)
    assert record.content == "naïve \0 café 😀"
    assert record.content_hash == fill.hash(record.content)
    for name, value in given.items():
        assert getattr(record, name) == value
    assert record.created_at == record.updated_at
    assert record.seq == record.added_seq == record.key


def test_what_is_not_given_has_its_default(store: Store, fill: Any) -> None:
    (record,) = fill.add(store, "plain")
    assert record.event_at == record.created_at
    assert (record.level, record.importance, record.metadata, record.expires_at) == (None,) * 4
    with store.read() as snapshot:
        rows = snapshot.load(WHOLE)
    assert rows.expires_at.tolist() == [NEVER]
    assert np.isnan(rows.importance).all()


@pytest.mark.parametrize("level", [3, "3", 2**40, "high"])
def test_a_level_keeps_its_type(store: Store, fill: Any, level: Any) -> None:
    (record,) = fill.add(store, "x", level=level)
    assert record.level == level
    assert type(record.level) is type(level)


def test_positions_count_within_the_exact_scope(store: Store, fill: Any) -> None:
    one, two = Scope("u", run_id="1"), Scope("u", run_id="2")
    fill.add(store, "a", "b", scope=one)
    with store.write() as tx:
        fill.insert(tx, [fill.new("c", two), fill.new("d", one), fill.new("e", two)])
    (last,) = fill.add(store, "f", scope=one)
    with store.write() as tx:
        tx.delete([last.key])
    fill.add(store, "g", scope=one)
    with store.read() as snapshot:
        page = snapshot.page(filters.EVERYTHING, order="created_at", limit=9, after=None)
    assert [(r.content, r.position) for r in page] == [
        ("a", 0), ("b", 1), ("c", 0), ("d", 2), ("e", 1), ("g", 4),
    ]  # fmt: skip


def test_keys_are_never_used_again(store: Store, fill: Any) -> None:
    first = fill.add(store, "a", "b")
    with store.write() as tx:
        tx.delete([record.key for record in first])
    (second,) = fill.add(store, "c")
    with store.write() as tx:
        tx.purge([second.id])
    (third,) = fill.add(store, "d")
    store.reset()
    (fourth,) = fill.add(store, "e")
    keys = [record.key for record in (*first, second, third, fourth)]
    assert keys == sorted(set(keys))


def test_a_taken_id_is_named_and_nothing_is_written(store: Store, fill: Any) -> None:
    (old,) = fill.add(store, "old")
    seq = store.last_seq()
    with pytest.raises(ConflictError, match=str(uuid.UUID(bytes=old.id))), store.write() as tx:
        fill.insert(tx, [fill.new("a"), fill.new("b", id=old.id)])
    twice = uuid.UUID(int=77)
    with pytest.raises(ConflictError, match=str(twice)), store.write() as tx:
        fill.insert(tx, [fill.new("a", id=twice.bytes), fill.new("b", id=twice.bytes)])
    with store.read() as snapshot:
        assert snapshot.count(filters.EVERYTHING) == 1
    assert store.last_seq() == seq
    assert store.check() == []


def test_a_deleted_id_may_be_used_again(store: Store, fill: Any) -> None:
    (old,) = fill.add(store, "old")
    with store.write() as tx:
        tx.delete([old.key])
    (new,) = fill.add(store, "new", id=old.id)
    assert new.key > old.key


def test_an_idempotency_key_is_one_per_exact_scope(store: Store, fill: Any) -> None:
    fill.add(store, "a", idempotency_key="k")
    fill.add(store, "b", idempotency_key="k", scope=Scope("bob"))
    with pytest.raises(ConflictError, match="idempotency key 'k'"):
        fill.add(store, "c", idempotency_key="k")
    with pytest.raises(ConflictError, match="idempotency key 'z'"), store.write() as tx:
        fill.insert(tx, [fill.new("d", idempotency_key="z"), fill.new("e", idempotency_key="z")])


def test_model_vectors_are_half_floats_and_a_callers_are_exact(store: Store, fill: Any) -> None:
    texts = ["by model", "by caller", "by model too"]
    vectors = fill.vectors(texts)
    sources = [VectorSource.MODEL, VectorSource.CALLER, VectorSource.MODEL]
    with store.write() as tx:
        keys = tx.insert([fill.new(t) for t in texts], vectors, sources, fill.terms(texts))
    half = vectors.astype(np.float16).astype(np.float32)
    with store.read() as snapshot:
        found, kinds = snapshot.vectors([keys[1], keys[0]])
        np.testing.assert_array_equal(found, np.stack([vectors[1], half[0]]))
        assert kinds.tolist() == [VectorSource.CALLER, VectorSource.MODEL]
        loaded = snapshot.load(WHOLE)
    assert loaded.vectors.dtype == np.float32
    np.testing.assert_array_equal(loaded.vectors, np.stack([half[0], vectors[1], half[2]]))


def test_a_vector_of_another_size_is_refused(store: Store, fill: Any) -> None:
    with pytest.raises(VectorError, match=r"\(1, 5\).*\(1, 4\)"), store.write() as tx:
        tx.insert([fill.new("a")], fill.vectors(["a"], 5), [VectorSource.MODEL], fill.terms(["a"]))
    with store.read() as snapshot:
        assert snapshot.model_id == ""


def test_a_store_without_a_model_takes_no_vectors(open_store: Any, fill: Any) -> None:
    store = open_store(model_id=None)
    with pytest.raises(StoreError, match="without a model"):
        fill.add(store, "a")


def test_an_empty_batch_is_nothing(store: Store, fill: Any) -> None:
    with store.write() as tx:
        assert fill.insert(tx, []) == []
        tx.update([], None, None, None)
        tx.delete([])
        assert tx.purge([]) == 0
    assert store.last_seq() == 0


def test_an_update_of_the_text_replaces_vector_and_terms(store: Store, fill: Any) -> None:
    (record,) = fill.add(store, "old text")
    created = record.created_at
    changed = fill.change(store, record, "new words here")
    assert (changed.content, changed.created_at) == ("new words here", created)
    assert changed.updated_at >= created
    assert changed.seq == store.last_seq() > changed.added_seq == record.key
    with store.read() as snapshot:
        rows = snapshot.load(WHOLE)
    assert rows.terms.lengths.tolist() == [3]
    np.testing.assert_array_equal(rows.terms.terms, fill.terms(["new words here"]).terms)
    np.testing.assert_array_equal(rows.vectors, fill.vectors(["new words here"]).astype("f2"))


def test_an_update_of_fields_leaves_vector_and_terms(store: Store, fill: Any) -> None:
    (record,) = fill.add(store, "text")
    with store.read() as snapshot:
        before = snapshot.load(WHOLE)
    record.metadata, record.importance, record.expires_at = '{"a":1}', 0.5, 99
    with store.write() as tx:
        tx.update([record], None, None, None, actor_id="ann")
    with store.read() as snapshot:
        after = snapshot.load(WHOLE)
        found = snapshot.records([record.key])[record.key]
    assert (found.metadata, found.importance, found.expires_at) == ('{"a":1}', 0.5, 99)
    np.testing.assert_array_equal(before.vectors, after.vectors)
    assert after.expires_at.tolist() == [99]


def test_update_and_delete_of_what_is_gone_name_it(store: Store, fill: Any) -> None:
    kept, gone = fill.add(store, "kept", "gone")
    with store.write() as tx:
        tx.delete([gone.key, gone.key])  # twice is once
    seq = store.last_seq()
    with pytest.raises(NotFoundError, match=f"key {gone.key}"), store.write() as tx:
        tx.update([kept, gone], None, None, None)
    with pytest.raises(NotFoundError, match=f"key {gone.key}"), store.write() as tx:
        tx.delete([kept.key, gone.key])
    assert store.last_seq() == seq
    with store.read() as snapshot:
        assert list(snapshot.records([kept.key, gone.key])) == [kept.key]


def test_the_commit_time_never_goes_back(
    store: Store, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = fill.add(store, "a")
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)  # the clock was set to 1970
    (second,) = fill.add(store, "b")
    assert second.created_at == first.created_at
    with store.write() as tx:
        assert tx.now == first.created_at
        tx.delete([first.key])
    with store.read() as snapshot:
        assert [entry.at for entry in snapshot.history(first.id)] == [first.created_at] * 2
    assert store.check() == []


def test_a_transaction_sees_its_own_changes(store: Store, fill: Any) -> None:
    with store.write() as tx:
        assert tx.view.seq == 0
        (key,) = fill.insert(tx, [fill.new("a", Scope("new"))])
        assert tx.view.seq == 1
        assert tx.view.model_id == "model-a"
        assert tx.view.records([key])[key].scope == Scope("new")
        with store.read() as outside:
            assert outside.seq == 0
            assert outside.records([key]) == {}
        tx.delete([key])
        assert tx.view.records([key]) == {}
        assert [entry.event for entry in tx.view.history(fill.new("").id)] == []
    with store.read() as snapshot:
        assert snapshot.changes(0).gone.tolist() == [key]


def test_wide_and_many_scopes(store: Store, fill: Any) -> None:
    scopes = [Scope(u, a, r, o) for u in ("x", None) for a in ("x", None) for r in ("x", None)
              for o in ("x", None)][:-1]  # fmt: skip
    with store.write() as tx:
        fill.insert(tx, [fill.new("t", scope) for scope in scopes])
        fill.insert(tx, [fill.new("u", scope) for scope in scopes])
    with store.read() as snapshot:
        rows = snapshot.load(WHOLE)
        assert len(rows.scope_table) == len(scopes)
        assert [rows.scope_table[s] for s in rows.scopes.tolist()] == scopes * 2
        for scope in scopes:
            expected = sum(
                all(getattr(other, name) == value for name, value in scope.given().items())
                for other in scopes
            )
            assert snapshot.count(filters.in_scope(scope)) == 2 * expected


def test_no_write_takes_many_access_counts_along(open_store: Any, fill: Any) -> None:
    store = open_store()
    keys = [record.key for record in fill.add(store, *(f"text {i}" for i in range(600)))]
    for i in range(0, 600, 8):
        store.note_access(keys[i : i + 8])
    fill.add(store, "more")
    assert store._access.pending == 600 - AccessCounts.BATCH
    store.close()
    with open_store().read() as snapshot:
        assert snapshot._db.value("SELECT sum(count) FROM access") == 600


def test_a_reader_does_not_wait_for_access_counts_to_be_written(
    open_store: Any, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AccessCounts, "BATCH", 10_000)  # no transaction takes them along
    monkeypatch.setattr(AccessCounts, "MOST", 300)
    monkeypatch.setattr(AccessCounts, "PART", 100)
    store = open_store()
    keys = [record.key for record in fill.add(store, *(f"text {i}" for i in range(350)))]
    with store.write():  # nobody else can write now
        for key in keys:
            store.note_access([key])
        assert store._access.pending >= 300
    written = 0
    deadline = time.monotonic() + 20
    while written < 250 and time.monotonic() < deadline:
        with store.read() as snapshot:
            written = snapshot._db.value("SELECT count(*) FROM access")
    assert written >= 250


def test_access_counts_are_written_in_batches(open_store: Any, fill: Any) -> None:
    store = open_store()
    kept, gone = fill.add(store, "kept", "gone")
    store.note_access([kept.key, gone.key])
    store.note_access([kept.key])
    with store.write() as tx:
        tx.delete([gone.key])
    seq = store.last_seq()
    store.close()
    store = open_store()
    with store.read() as snapshot:
        (row,) = snapshot._db.rows("SELECT key, count, last_at FROM access")
        assert row[:2] == (kept.key, 2)
        assert row[2] >= kept.created_at
        assert snapshot.seq == seq  # reading is no event
