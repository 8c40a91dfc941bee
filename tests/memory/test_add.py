"""What ``add`` and ``add_batch`` store and return."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from agentmem import ConflictError, Memory


def texts(mem: Memory, **scope: str) -> list[str]:
    return [item["memory"] for item in mem.get_all(**scope)["results"]]


def test_a_string_is_one_memory(mem: Memory) -> None:
    answer = mem.add("I moved to Lisbon in March", user_id="alice")
    [result] = answer["results"]
    assert result["event"] == "ADD"
    assert result["memory"] == "I moved to Lisbon in March"
    assert uuid.UUID(result["id"]).version == 7
    assert mem.get(result["id"])["memory"] == "I moved to Lisbon in March"


def test_messages_keep_role_name_and_order(mem: Memory) -> None:
    answer = mem.add(
        [
            {"role": "user", "content": "hello", "name": "Ann"},
            {"role": "assistant", "content": "hi there"},
            "and a plain string",
        ],
        user_id="ann",
        run_id="r1",
    )
    assert [r["role"] for r in answer["results"]] == ["user", "assistant", None]
    assert answer["results"][0]["actor_id"] == "Ann"
    assert texts(mem, user_id="ann", run_id="r1") == ["hello", "hi there", "and a plain string"]


def test_an_items_own_values_go_before_the_calls(mem: Memory) -> None:
    mem.add_batch(
        [
            "plain",
            {"content": "own", "metadata": {"src": "crm"}, "user_id": "bob", "importance": 0.9},
        ],
        user_id="alice",
        metadata={"src": "call"},
        importance=0.1,
    )
    [plain] = mem.get_all(user_id="alice")["results"]
    [own] = mem.get_all(user_id="bob")["results"]
    assert (plain["metadata"], plain["importance"]) == ({"src": "call"}, 0.1)
    assert (own["metadata"], own["importance"]) == ({"src": "crm"}, 0.9)


def test_every_field_comes_back(mem: Memory) -> None:
    given = {
        "actor_id": "Ann",
        "metadata": {"a": {"b": [1, 2.5, None, True, "ü"]}},
        "memory_type": "semantic",
        "level": "tactical",
        "importance": 0.25,
        "timestamp": "2024-03-09T14:00:00+02:00",
        "expiration_date": "2999-01-01",
    }
    scope = {"user_id": "u", "agent_id": "a", "run_id": "r", "org_id": "o"}
    [result] = mem.add({"role": "user", "content": "text"}, **scope, **given)["results"]
    item = mem.get(result["id"])
    for name in ("actor_id", "metadata", "memory_type", "level", "importance"):
        assert item[name] == given[name]
    assert {name: item[name] for name in scope} == scope
    assert item["role"] == "user"
    assert datetime.fromisoformat(item["timestamp"]) == datetime(2024, 3, 9, 12, tzinfo=UTC)
    assert item["expiration_date"] == "2999-01-01T00:00:00+00:00"
    assert len(item["hash"]) == 32


@pytest.mark.parametrize(
    "when",
    [
        "2024-03-09T14:00:00Z",
        "2024-03-09 14:00",
        datetime(2024, 3, 9, 14),
        datetime(2024, 3, 9, 16, tzinfo=timezone(timedelta(hours=2))),
        1709992800,
        1709992800.0,
    ],
)
def test_timestamps_in_every_form(mem: Memory, when: object) -> None:
    [result] = mem.add("then", user_id="u", timestamp=when)["results"]
    assert mem.get(result["id"])["timestamp"] == "2024-03-09T14:00:00+00:00"


def test_results_come_in_input_order(mem: Memory) -> None:
    given = [f"note number {i}" + " and more" * (i % 7) for i in range(200)]
    answer = mem.add_batch(given, user_id="u")
    assert [r["memory"] for r in answer["results"]] == given
    assert len({r["id"] for r in answer["results"]}) == 200
    assert mem.count(user_id="u") == 200


def test_an_empty_batch_is_nothing(mem: Memory) -> None:
    assert mem.add_batch([], user_id="u") == {"results": []}


def test_a_generator_is_a_batch(mem: Memory) -> None:
    assert len(mem.add_batch((f"text {i}" for i in range(3)), user_id="u")["results"]) == 3


def test_an_idempotency_key_stores_once(mem: Memory) -> None:
    first = mem.add("pay rent", user_id="u", idempotency_key="k")["results"][0]
    again = mem.add("pay rent", user_id="u", idempotency_key="k")["results"][0]
    assert again == {**first, "event": "NONE"}
    assert mem.count(user_id="u") == 1
    other = mem.add("pay rent", user_id="other", idempotency_key="k")["results"][0]
    assert other["event"] == "ADD"


def test_a_batch_is_idempotent_as_a_whole(mem: Memory) -> None:
    first = mem.add_batch(["a b", "c d"], user_id="u", idempotency_key="import-7")["results"]
    again = mem.add_batch(["a b", "c d"], user_id="u", idempotency_key="import-7")["results"]
    assert [r["id"] for r in again] == [r["id"] for r in first]
    assert [r["event"] for r in again] == ["NONE", "NONE"]


def test_a_key_twice_in_one_batch_stores_once(mem: Memory) -> None:
    item = {"content": "once", "idempotency_key": "k"}
    one, two = mem.add_batch([item, item], user_id="u")["results"]
    assert (one["event"], two["event"]) == ("ADD", "NONE")
    assert one["id"] == two["id"]
    assert mem.count(user_id="u") == 1


def test_a_chosen_id_is_kept_and_stores_once(mem: Memory) -> None:
    chosen = str(uuid.uuid4())
    item = {"content": "mine", "id": chosen}
    assert mem.add_batch([item], user_id="u")["results"][0]["id"] == chosen
    assert mem.add_batch([item], user_id="u")["results"][0]["event"] == "NONE"
    with pytest.raises(ConflictError, match=chosen):
        mem.add_batch(["new", {"content": "not mine", "id": chosen}], user_id="u")
    assert mem.count(user_id="u") == 1


def test_dedupe_skips_exact_duplicates_of_the_scope(mem: Memory) -> None:
    mem.add("same text", user_id="u")
    results = mem.add_batch(["same text", "new text", "new text"], user_id="u", dedupe=True)[
        "results"
    ]
    assert [r["event"] for r in results] == ["NONE", "ADD", "NONE"]
    assert results[1]["id"] == results[2]["id"]
    assert mem.count(user_id="u") == 2
    mem.add_batch(["same text"], user_id="v", dedupe=True)
    assert mem.count(user_id="v") == 1


def test_what_has_expired_is_no_copy(mem: Memory) -> None:
    past = {"content": "tea", "user_id": "u", "expiration_date": "2020-01-01"}
    both = [past, {"content": "tea", "user_id": "u"}, {"content": "tea", "user_id": "u"}]

    def events(count: int = 3) -> list[str]:
        return [r["event"] for r in mem.add_batch(both[:count], dedupe=True)["results"]]

    assert events(1) == ["ADD"]
    assert events() == ["ADD", "ADD", "NONE"]
    assert events() == ["NONE", "NONE", "NONE"]
    (found,) = mem.get_all(user_id="u")["results"]
    assert found["memory"] == "tea"
    mem.delete(found["id"])
    assert events() == ["ADD", "ADD", "NONE"]


def test_a_key_stays_with_what_has_expired_and_goes_with_what_is_deleted(mem: Memory) -> None:
    keyed = {"user_id": "u", "idempotency_key": "k"}
    (first,) = mem.add("tea", expiration_date="2020-01-01", **keyed)["results"]
    assert mem.add("tea", **keyed)["results"][0]["event"] == "NONE"
    mem.delete(first["id"])
    assert mem.add("tea", **keyed)["results"][0]["event"] == "ADD"


def test_given_vectors_are_used(mem: Memory) -> None:
    rng = np.random.default_rng(1)
    dim = 256
    vectors = rng.standard_normal((3, dim))
    mem.add_batch(["one", "two", "three"], user_id="u", vectors=vectors)
    hit = mem.search("x", user_id="u", vector=vectors[1], mode="dense", top_k=1)["results"][0]
    assert hit["memory"] == "two"
    assert hit["score"] == pytest.approx(1.0, abs=1e-6)
    mem.add("four", user_id="u", vector=vectors[0] * 1e30)
    hits = mem.search("x", user_id="u", vector=vectors[0], mode="dense", top_k=2)["results"]
    assert {hit["memory"] for hit in hits} == {"one", "four"}


def test_star_is_an_ordinary_id(mem: Memory) -> None:
    mem.add("of the star", user_id="*")
    mem.add("of alice", user_id="alice")
    assert texts(mem, user_id="*") == ["of the star"]
    assert [h["memory"] for h in mem.search("of", user_id="*")["results"]] == ["of the star"]


@pytest.mark.parametrize(
    "text",
    ["שלום עולם", "مرحبا بالعالم", "🦊🌧️ 👩‍👩‍👧‍👦", "東京に住んでいます", "a\tb\r\nc", "  spaced  "],
)
def test_texts_come_back_as_they_were(mem: Memory, text: str) -> None:
    [result] = mem.add(text, user_id="u")["results"]
    assert mem.get(result["id"])["memory"] == text
    assert mem.search(text, user_id="u")["results"][0]["memory"] == text


def test_default_scope_of_the_memory(path: object) -> None:
    with Memory(path, embedder="static", user_id="alice") as mem:
        mem.add("hers", run_id="r1")
        mem.add("his", user_id="bob")
        assert texts(mem) == ["hers"]
        assert texts(mem, user_id="bob") == ["his"]
        assert mem.count(run_id="r1") == 1
        assert mem.count(unscoped=True) == 2
