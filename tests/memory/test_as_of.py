"""``as_of=``: what the store held at a time, compared with a store that was stopped there."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import Memory
from agentmem.engine import reembed
from agentmem.errors import InvalidInputError
from agentmem.store import Store
from agentmem.times import from_micros, now_micros

QUESTIONS = ["Where does Ann live?", "tea in Porto", "the green boat of Ben"]
WORDS = ["Ann", "Ben", "lives", "moved", "Porto", "tea", "boat", "green", "cello", "likes", "sea"]


def now() -> str:
    """A time after all that was written, and before all that will be."""
    time.sleep(0.002)
    shown = from_micros(now_micros())
    assert shown is not None
    time.sleep(0.002)
    return shown


def everything(memory: Memory, **asked: Any) -> dict[str, Any]:
    """What the reading calls answer, but for counts of use."""
    scopes: list[dict[str, Any]] = [{"user_id": "ann"}, {"run_id": "r1"}, {"unscoped": True}]
    told: dict[str, Any] = {}
    for scope in scopes:
        for mode in ("hybrid", "dense", "keyword"):
            for filters in (None, {"metadata.n": {"gte": 5}}):
                told[f"{scope} {mode} {filters}"] = memory.search_batch(
                    QUESTIONS, mode=mode, filters=filters, **scope, **asked
                )
        for order in ("created_at", "-updated_at"):
            told[f"{scope} {order}"] = memory.get_all(order=order, **scope, **asked)
        told[f"{scope} count"] = memory.count(**scope, **asked)
    ids = [item["id"] for item in memory.get_all(unscoped=True)["results"]]
    told["got"] = [item for item in memory.get_batch(ids, **asked) if item]
    told["context"] = memory.context(QUESTIONS[0], max_tokens=60, user_id="ann", **asked)
    return told


def scramble(memory: Memory, chance: random.Random, ids: list[str]) -> None:
    """A few changes of any kind."""

    def vector() -> Any:
        return np.random.default_rng(chance.randrange(1 << 30)).standard_normal(256)

    for _ in range(chance.randint(3, 8)):
        text = " ".join(chance.choices(WORDS, k=chance.randint(2, 7)))
        own = {"vector": vector()} if chance.random() < 0.3 else {}
        one = chance.choice(ids) if ids else ""
        kind = chance.choice(["add", "add", "text", "text", "fields", "vector", "delete"])
        if kind == "add" or not ids:
            scope = chance.choice([{"user_id": "ann", "run_id": "r1"}, {"user_id": "ann"}])
            meta = {"n": chance.randint(0, 9)}
            added = memory.add(text, metadata=meta, actor_id="Ann", **scope, **own)
            ids.append(added["results"][0]["id"])
        elif kind == "text":
            memory.update(one, text, **own)
        elif kind == "fields":
            memory.update(one, metadata={"n": chance.randint(0, 9)})
        elif kind == "vector":
            memory.update(one, vector=vector())
        else:
            ids.remove(one)
            memory.delete(one)


@pytest.mark.parametrize("seed", range(3))
def test_the_past_answers_like_a_store_that_was_stopped_there(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    ids: list[str] = []
    stopped: list[tuple[str, dict[str, Any]]] = []
    with Memory(tmp_path / "a", embedder="static") as memory:
        for step in range(6):
            scramble(memory, chance, ids)
            when = now()
            copy = shutil.copytree(tmp_path / "a", tmp_path / str(step))
            with Memory(copy, embedder="static") as still:
                stopped.append((when, everything(still)))
        for when, expected in stopped:
            found = everything(memory, as_of=when)
            # Ids that are deleted by now cannot be listed there; those that can must be as then.
            known = {item["id"]: item for item in expected.pop("got")}
            assert all(item == known.get(item["id"]) for item in found.pop("got"))
            assert found == expected
        assert everything(memory, as_of=now()) == everything(memory)
    assert len({str(told) for _, told in stopped}) >= 4


def test_a_memory_as_it_was(memory: Memory) -> None:
    before = now()
    one = memory.add("Ann lives in Porto", user_id="ann")["results"][0]["id"]
    added = now()
    memory.update(one, "Ann lives in Lisbon", metadata={"sure": True})
    changed = now()
    memory.delete(one)
    told = [memory.get(one, as_of=when) for when in (before, added, changed)]
    assert [item and item["memory"] for item in told] == [
        None,
        "Ann lives in Porto",
        "Ann lives in Lisbon",
    ]
    assert memory.get(one) is None
    assert [memory.count(user_id="ann", as_of=t) for t in (before, added, changed)] == [0, 1, 1]
    assert memory.search("Porto", user_id="ann", as_of=before) == {"results": []}
    found = memory.search("Porto", user_id="ann", as_of=added)["results"]
    assert [item["memory"] for item in found] == ["Ann lives in Porto"]
    # A write is there from its own time on.
    assert told[1] is not None
    assert told[2] is not None
    assert memory.get(one, as_of=told[1]["created_at"]) == told[1]
    assert memory.get(one, as_of=told[2]["updated_at"]) == told[2]


def test_any_kind_of_time_will_do(memory: Memory) -> None:
    memory.add("tea", user_id="ann")
    later = datetime.now(UTC)
    memory.add("coffee", user_id="ann")
    for when in (later, later.isoformat(), later.timestamp()):
        assert memory.count(user_id="ann", as_of=when) == 1
    assert memory.count(user_id="ann", as_of=0) == 0
    for bad in ("yesterday", True, float("nan")):
        with pytest.raises(InvalidInputError, match="as_of"):
            memory.search("tea", user_id="ann", as_of=bad)


def test_the_future_is_not_known(memory: Memory) -> None:
    memory.add("tea", user_id="ann")
    calls: list[Callable[..., Any]] = [
        lambda **asked: memory.search("tea", user_id="ann", **asked),
        lambda **asked: memory.get_all(user_id="ann", **asked),
        lambda **asked: memory.count(user_id="ann", **asked),
        lambda **asked: memory.context("tea", max_tokens=9, user_id="ann", **asked),
        lambda **asked: memory.get("00000000-0000-0000-0000-000000000001", **asked),
    ]
    for call in calls:
        with pytest.raises(InvalidInputError, match="lies in the future"):
            call(as_of=datetime.now(UTC) + timedelta(hours=1))


def test_what_had_expired_then_is_not_shown(memory: Memory) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    memory.add("tea at five", user_id="ann", expiration_date=soon)
    memory.add("coffee at six", user_id="ann")
    valid = now()
    while datetime.now(UTC) <= soon:
        time.sleep(0.02)
    over = now()
    memory.add("later", user_id="ann")
    assert memory.count(user_id="ann", as_of=valid) == 2
    assert memory.count(user_id="ann", as_of=over) == 1
    for when, shown in ((valid, 2), (over, 1)):
        assert len(memory.search("tea", user_id="ann", as_of=when)["results"]) == shown
        assert len(memory.get_all(user_id="ann", as_of=when)["results"]) == shown
    assert memory.count(user_id="ann", as_of=over, show_expired=True) == 2


def test_what_was_purged_stays_gone(memory: Memory) -> None:
    one = memory.add("Ann lives in Porto", user_id="ann")["results"][0]["id"]
    memory.add("Ann sails", user_id="ann")
    memory.update(one, "Ann lives in Lisbon", vector=np.ones(256))
    both = now()
    memory.update(one, "Ann lives in Faro", vector=np.ones(256))
    assert memory.count(user_id="ann", as_of=both) == 2
    memory.purge(one)
    assert memory.get(one, as_of=both) is None
    assert memory.count(user_id="ann", as_of=both) == 1
    found = memory.search("Where does Ann live?", user_id="ann", as_of=both)["results"]
    assert [item["memory"] for item in found] == ["Ann sails"]
    with memory._engine.store.read() as snapshot:
        assert snapshot._db.value("SELECT count(*) FROM past_vectors") == 0
    memory.reset()
    assert memory.get_all(unscoped=True, as_of=both)["results"] == []


def test_the_past_of_a_store_with_another_model(tmp_path: Path) -> None:
    """The texts are those of then; they are ranked by the model of now."""

    class Letters:
        dim = 26
        model_id = "letters"

        def embed(self, texts: list[str]) -> np.ndarray[Any, Any]:
            rows = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
            return np.array(rows, np.float32) + 0.01

    with Memory(tmp_path / "a", embedder="static") as memory:
        one = memory.add("zoo and zebra", user_id="ann", vector=np.ones(256))["results"][0]["id"]
        memory.add("a boat", user_id="ann")
        when = now()
        memory.update(one, "a house", vector=np.arange(256.0))
        memory.delete(one)
    reembed(tmp_path / "a", Letters())
    with (
        Memory(tmp_path / "a", embedder=Letters()) as memory,
        Memory(tmp_path / "b", embedder=Letters()) as other,
    ):
        other.add_batch(["zoo and zebra", "a boat"], user_id="ann")
        found, expected = (
            m.search("zz", user_id="ann", mode="dense", **asked)["results"]
            for m, asked in ((memory, {"as_of": when}), (other, {}))
        )
    shown = [(item["memory"], item["score"]) for item in found]
    assert shown == [(item["memory"], pytest.approx(item["score"])) for item in expected]
    assert shown[0][0] == "zoo and zebra"


def test_the_same_time_asked_again_is_not_read_again(memory: Memory) -> None:
    """Nor shown once something in it was purged, nor confused with another scope or time."""
    ids = [r["id"] for r in memory.add_batch(["tea", "tea leaf", "boat"], user_id="ann")["results"]]
    memory.add("tea", user_id="ben")
    then = now()
    memory.delete(ids[2])
    later = now()
    memory.update(ids[0], "coffee")
    asked: dict[str, Any] = {"user_id": "ann", "top_k": 9}
    first = memory.search("tea", as_of=then, **asked)
    held = memory._engine.index._past._held
    assert held is not None
    assert memory.search("tea", as_of=then, **asked) == first
    assert memory._engine.index._past._held is held
    assert len(memory.search("tea", as_of=later, **asked)["results"]) == 2
    assert len(memory.search("tea", as_of=then, user_id="ben")["results"]) == 1
    assert memory.search("tea", as_of=then, **asked) == first
    memory.purge(ids[1])
    left = {item["memory"] for item in memory.search("tea", as_of=then, **asked)["results"]}
    assert left == {"tea", "boat"}
    assert memory.stats()["index"]["bytes"] > 0


def test_a_moment_ago_is_the_same_whenever_it_is_asked(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write has its time before others see it: who asks in between waits for it."""
    started, go = threading.Event(), threading.Event()
    commit = Store._commit

    def slowly(self: Store, transaction: Any) -> None:
        started.set()
        assert go.wait(30)
        commit(self, transaction)

    earlier = now()
    memory.add("before", user_id="ann")
    monkeypatch.setattr(Store, "_commit", slowly)
    writer = threading.Thread(target=memory.add, args=("under way",), kwargs={"user_id": "ann"})
    writer.start()
    assert started.wait(30)
    at = now()
    assert memory.count(user_id="ann", as_of=earlier) == 0  # what is under way is not that old
    counts: list[int] = []
    reader = threading.Thread(target=lambda: counts.append(memory.count(user_id="ann", as_of=at)))
    reader.start()
    deadline = time.monotonic() + 30
    while not memory._engine.store._lock._turns._waiting:
        assert reader.is_alive(), "it did not wait"
        assert time.monotonic() < deadline
    go.set()
    for thread in (writer, reader):
        thread.join(30)
    assert counts == [2]
    assert memory.count(user_id="ann", as_of=at) == 2
