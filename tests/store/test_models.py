"""A store belongs to one embedding model, until it is moved to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agentmem.errors import ModelMismatchError, SchemaVersionError, StoreError, VectorError
from agentmem.store import Store, filters
from agentmem.types import PartitionKey, VectorSource

WHOLE = PartitionKey(None, None)


def test_the_first_vector_decides_the_model(open_store: Any, fill: Any) -> None:
    store = open_store()
    with store.read() as snapshot:
        assert (snapshot.model_id, snapshot.dim, snapshot.analyzer) == ("", 0, "")
    other = open_store(model_id="model-b", dim=8)  # still free
    fill.add(store, "a")
    with store.read() as snapshot:
        assert (snapshot.model_id, snapshot.dim, snapshot.analyzer) == ("model-a", 4, "words-1")
    for use in (other.read, other.write):
        with pytest.raises(ModelMismatchError, match=r"'model-a'.*'model-b'.*agentmem reembed"):
            use().__enter__()


def test_another_model_is_refused_at_opening(open_store: Any, fill: Any) -> None:
    fill.add(open_store(), "a")
    with pytest.raises(ModelMismatchError, match=r"'model-a' \(dim 4\).*'model-b' \(dim 8\)"):
        open_store(model_id="model-b", dim=8)
    with open_store(model_id=None).read() as snapshot:  # reading needs no model
        assert snapshot.count(filters.EVERYTHING) == 1


def move(store: Store, fill: Any, *, chunk: int = 3, stop_after: int = 1_000) -> None:
    """What ``agentmem reembed`` does, to 8 dimensions, up to ``stop_after`` chunks."""
    with store.write() as tx:
        tx.begin_reembed("model-b", 8)
    for _ in range(stop_after):
        with store.read() as snapshot:
            rows = snapshot.reembed_pending(0, chunk)
        if not rows:
            break
        with store.write() as tx:
            tx.put_next_vectors(
                [(key, seq) for key, seq, _ in rows], fill.vectors([text for *_, text in rows], 8)
            )


def test_a_store_moves_to_another_model_while_it_serves(open_store: Any, fill: Any) -> None:
    serving, mover = open_store(), open_store(model_id=None)
    texts = [f"text {i}" for i in range(10)]
    fill.add(serving, *texts)
    with serving.write() as tx:
        fill.insert(tx, [fill.new("given")], VectorSource.CALLER)
    with serving.read() as snapshot:
        epoch, before = snapshot.epoch, snapshot.load(WHOLE)
    move(mover, fill, stop_after=2)
    with serving.read() as snapshot:  # half-way: as before
        np.testing.assert_array_equal(snapshot.load(WHOLE).vectors, before.vectors)
        assert snapshot.reembed_target == ("model-b", 8)
        records = snapshot.page(filters.EVERYTHING, order="created_at", limit=99, after=None)
    # What has moved already changes, something goes, something comes.
    fill.change(serving, records[0], "changed")
    with serving.write() as tx:
        tx.delete([records[1].key])
    fill.add(serving, "late")
    move(mover, fill)  # resumes
    with mover.write() as tx:
        tx.finish_reembed()
        assert tx.view.model_id == "model-b"
    expected = ["changed", *texts[2:], "given", "late"]
    with mover.read() as snapshot:
        assert (snapshot.model_id, snapshot.dim) == ("model-b", 8)
        assert snapshot.epoch != epoch
        assert snapshot.reembed_target is None
        rows = snapshot.load(WHOLE)
    np.testing.assert_array_equal(rows.vectors, fill.vectors(expected, 8).astype(np.float16))
    assert mover.check() == []
    for use in (serving.read, serving.write):  # the other process learns of it
        with pytest.raises(ModelMismatchError, match="agentmem reembed"):
            use().__enter__()
    serving.close()
    after = open_store(model_id="model-b", dim=8)
    with after.read() as snapshot:
        assert snapshot.count(filters.EVERYTHING) == len(expected)


def test_the_swap_waits_for_every_memory(open_store: Any, fill: Any) -> None:
    store = open_store()
    fill.add(store, "a", "b")
    move(store, fill, chunk=1, stop_after=1)
    with pytest.raises(StoreError, match="pending"), store.write() as tx:
        tx.finish_reembed()
    with store.read() as snapshot:
        assert snapshot.model_id == "model-a"
        assert len(snapshot.reembed_pending(0, 9)) == 1


def test_a_vector_of_a_text_that_changed_meanwhile_is_not_taken(open_store: Any, fill: Any) -> None:
    store = open_store()
    record, _ = fill.add(store, "old", "other")
    with store.write() as tx:
        tx.begin_reembed("model-b", 8)
    with store.read() as snapshot:
        rows = snapshot.reembed_pending(0, 9)
    fill.change(store, record, "new")
    with store.write() as tx:
        taken = tx.put_next_vectors(
            [(key, seq) for key, seq, _ in rows], fill.vectors(["old", "other"], 8)
        )
    assert taken == 1
    with store.read() as snapshot:
        assert [text for *_, text in snapshot.reembed_pending(0, 9)] == ["new"]


def test_another_target_starts_over(open_store: Any, fill: Any) -> None:
    store = open_store()
    fill.add(store, "a", "b")
    move(store, fill)
    with store.write() as tx:
        tx.begin_reembed("model-c", 8)
    with store.read() as snapshot:
        assert len(snapshot.reembed_pending(0, 9)) == 2
    with pytest.raises(VectorError, match=r"\(1, 4\)"), store.write() as tx:
        tx.put_next_vectors([(1, 1)], fill.vectors(["a"], 4))


def test_terms_by_another_analyzer_end_every_projection(open_store: Any, fill: Any) -> None:
    store = open_store()
    records = fill.add(store, "one two", "three")
    with store.read() as snapshot:
        epoch = snapshot.epoch
    mover = open_store(model_id=None)
    with mover.write() as tx:
        assert tx.begin_terms("words-2") == 0
        tx.replace_terms([records[0].key], fill.terms(["a b c"]))
    for attempt in (store.read, store.write, open_store, lambda: open_store(analyzer="words-2")):
        with pytest.raises(SchemaVersionError, match=r"being made anew.*agentmem migrate"):
            attempt().__enter__()
    with mover.write() as tx:
        assert tx.begin_terms("words-2") == records[0].key  # an interrupted one goes on
        tx.replace_terms([records[1].key], fill.terms(["d"]))
        tx.finish_terms("words-2")
    with mover.read() as snapshot:
        assert snapshot.epoch != epoch
        assert snapshot.analyzer == "words-2"
        assert snapshot.load(WHOLE).terms.lengths.tolist() == [3, 1]
    with pytest.raises(SchemaVersionError, match=r"'words-2'.*'words-1'.*agentmem migrate"):
        fill.add(store, "more")
    fill.add(open_store(analyzer="words-2"), "more")
