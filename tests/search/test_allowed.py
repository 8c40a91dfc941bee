"""What filters leave over is remembered, and always what the store would say."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from agentmem import Memory
from agentmem.search import allowed
from agentmem.search.allowed import Allowed
from agentmem.store import filters
from agentmem.types import PartitionKey

ANN = PartitionKey("user_id", "ann")
GIVEN: list[dict[str, Any]] = [
    {"metadata.n": {"gte": 5}},
    {"OR": [{"role": "user"}, {"metadata.n": 3}]},
    {"NOT": {"metadata.n": {"exists": True}}},
    {"user_id": "ann", "position": {"lt": 40}},
]


def scramble(memory: Memory, chance: random.Random) -> None:
    ids = [item["id"] for item in memory.get_all(unscoped=True)["results"]]
    for _ in range(chance.randint(1, 4)):
        kind = chance.choice(["add", "add", "update", "delete", "purge"]) if ids else "add"
        meta = {"n": chance.randint(0, 9)} if chance.random() < 0.8 else {}
        if kind == "add":
            role = chance.choice(["user", "assistant"])
            message = {"role": role, "content": "a word"}
            memory.add(message, user_id=chance.choice(["ann", "ben"]), metadata=meta)
        elif kind == "update":
            memory.update(chance.choice(ids), metadata=meta)
        else:
            one = ids.pop(chance.randrange(len(ids)))
            (memory.delete if kind == "delete" else memory.purge)(one)


def check(kept: Allowed, memory: Memory) -> None:
    for given in GIVEN:
        for partition in (ANN, PartitionKey("user_id", "ben"), PartitionKey(None, None)):
            where = filters.parse(given)
            with memory._engine.store.read() as snapshot:
                found = kept.keys(snapshot, partition, where).tolist()
                assert found == snapshot.matching_keys(partition, where).tolist()


@pytest.mark.parametrize("tail", [1_000, 2])
def test_it_follows_the_log(memory: Memory, monkeypatch: pytest.MonkeyPatch, tail: int) -> None:
    """Also where the log has gone on so far that the store is asked anew."""
    monkeypatch.setattr(allowed, "_TAIL", tail)
    chance = random.Random(tail)
    kept = Allowed()
    for _ in range(25):
        scramble(memory, chance)
        check(kept, memory)
    memory.reset()
    memory.add("a word", user_id="ann", metadata={"n": 7})
    check(kept, memory)


def test_nothing_is_read_while_nothing_is_written(memory: Memory) -> None:
    memory.add_batch([{"content": "a", "metadata": {"n": i}} for i in range(9)], user_id="ann")
    kept = Allowed()
    where = filters.parse(GIVEN[0])
    with memory._engine.store.read() as snapshot:
        first = kept.keys(snapshot, ANN, where)
    with memory._engine.store.read() as snapshot:
        snapshot.end()  # whoever reads from it now is refused
        assert kept.keys(snapshot, ANN, filters.parse(GIVEN[0])) is first
    assert first.tolist() == [6, 7, 8, 9]


def test_an_older_snapshot_gets_its_own(memory: Memory) -> None:
    memory.add("a", user_id="ann", metadata={"n": 7})
    kept = Allowed()
    where = filters.parse(GIVEN[0])
    with memory._engine.store.read() as older:
        memory.add("b", user_id="ann", metadata={"n": 8})
        with memory._engine.store.read() as newer:
            assert kept.keys(newer, ANN, where).tolist() == [1, 2]
        assert kept.keys(older, ANN, where).tolist() == [1]
    with memory._engine.store.read() as newer:
        assert kept.keys(newer, ANN, where).tolist() == [1, 2]


def test_it_stays_within_its_bytes(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowed, "_MAX_BYTES", 400)
    memory.add_batch([{"content": "a", "metadata": {"n": i}} for i in range(40)], user_id="ann")
    kept = Allowed()
    for i in range(20, 40):
        with memory._engine.store.read() as snapshot:
            where = filters.parse({"metadata.n": {"gte": i}})
            assert len(kept.keys(snapshot, ANN, where)) == 40 - i
            assert kept._bytes <= 400
            assert kept._bytes == sum(a.keys.nbytes for a in kept._answers.values())
    with memory._engine.store.read() as snapshot:
        assert len(kept.keys(snapshot, ANN, filters.EVERYTHING)) == 40  # too large to keep
    assert (ANN, "1", ()) not in kept._answers


def test_searches_filter_while_others_write(memory: Memory) -> None:
    memory.add("word", user_id="ann", metadata={"n": 0})
    wrong: list[object] = []
    counts: list[int] = []

    def write() -> None:
        for i in range(40):
            memory.add("word", user_id="ann", metadata={"n": i % 2})

    def search() -> None:
        last = 0
        for _ in range(40):
            found = memory.search(
                "word", user_id="ann", top_k=99, filters={"metadata.n": 1}, support=True
            )["results"]
            numbers = {item["metadata"]["n"] for item in found}
            if not numbers <= {1} or len(found) < last:
                wrong.append((numbers, last, len(found)))
            last = len(found)
        counts.append(last)

    threads = [threading.Thread(target=write), *(threading.Thread(target=search) for _ in "ab")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(counts) == 2
    found = memory.search("word", user_id="ann", top_k=99, filters={"metadata.n": 1})["results"]
    assert len(found) == 20
