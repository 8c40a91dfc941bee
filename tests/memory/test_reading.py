"""``search``, ``get_all``, ``count``: scopes, filters, pages, expiry."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from agentmem import InvalidInputError, Memory


def names(answer: dict) -> list[str]:
    return [item["memory"] for item in answer["results"]]


def test_a_scope_never_leaks(mem: Memory) -> None:
    for user in ("alice", "bob"):
        for run in ("r1", "r2"):
            mem.add(f"{user} in {run} likes tea", user_id=user, run_id=run)
    mem.add("an agent likes tea", agent_id="helper")
    assert set(names(mem.search("tea", user_id="alice"))) == {
        "alice in r1 likes tea",
        "alice in r2 likes tea",
    }
    assert names(mem.search("tea", user_id="bob", run_id="r2")) == ["bob in r2 likes tea"]
    assert set(names(mem.search("tea", run_id="r1"))) == {
        "alice in r1 likes tea",
        "bob in r1 likes tea",
    }
    assert names(mem.search("tea", agent_id="helper")) == ["an agent likes tea"]
    assert names(mem.search("tea", user_id="nobody")) == []
    assert len(mem.search("tea", unscoped=True)["results"]) == 5


def test_search_finds_by_meaning_and_by_word(mem: Memory) -> None:
    mem.add_batch(
        [
            "My sister bought a puppy last week",
            "The quarterly invoice number is QX-4471",
            "I prefer window seats on long flights",
        ],
        user_id="u",
    )
    assert names(mem.search("Which pet does the family own, a dog?", user_id="u"))[0].endswith(
        "last week"
    )
    assert "QX-4471" in names(mem.search("QX-4471", user_id="u", mode="keyword"))[0]
    assert len(names(mem.search("QX-4471", user_id="u", mode="keyword"))) == 1


def test_explained_parts_add_up(mem: Memory) -> None:
    mem.add_batch([f"note {i} about rain and tea" for i in range(20)], user_id="u")
    for mode in ("hybrid", "dense", "keyword"):
        for hit in mem.search("tea in the rain", user_id="u", mode=mode, explain=True)["results"]:
            assert sum(hit["explain"].values()) == pytest.approx(hit["score"], abs=1e-6)


def test_scores_do_not_depend_on_filters_or_top_k(mem: Memory) -> None:
    mem.add_batch(
        [{"content": f"note {i} on tea", "metadata": {"i": i}} for i in range(30)], user_id="u"
    )
    everything = mem.search("tea note", user_id="u", top_k=30)["results"]
    scores = {hit["id"]: hit["score"] for hit in everything}
    some = mem.search("tea note", user_id="u", filters={"metadata.i": {"gte": 20}}, top_k=5)
    assert len(some["results"]) == 5
    for hit in some["results"]:
        assert hit["score"] == pytest.approx(scores[hit["id"]], abs=1e-6)
        assert hit["metadata"]["i"] >= 20


def test_threshold_cuts(mem: Memory) -> None:
    mem.add_batch(["green tea", "black coffee", "a mountain"], user_id="u")
    full = mem.search("green tea", user_id="u")["results"]
    cut = mem.search("green tea", user_id="u", threshold=full[0]["score"])["results"]
    assert [hit["id"] for hit in cut] == [full[0]["id"]]


def test_search_batch_answers_in_order(mem: Memory) -> None:
    mem.add_batch(["green tea", "black coffee", "a mountain"], user_id="u")
    queries = ["mountain", "tea", "coffee"]
    answers = mem.search_batch(queries, user_id="u", top_k=1)
    assert [names(answer)[0] for answer in answers] == ["a mountain", "green tea", "black coffee"]
    for query, answer in zip(queries, answers, strict=True):
        single = mem.search(query, user_id="u", top_k=1)["results"][0]
        assert single["id"] == answer["results"][0]["id"]
        assert single["score"] == pytest.approx(answer["results"][0]["score"], abs=1e-6)
    assert mem.search_batch([], user_id="u") == []


def test_pages_cover_everything_once(mem: Memory) -> None:
    mem.add_batch([f"note {i:03}" for i in range(57)], user_id="u")
    for order in ("created_at", "-created_at", "timestamp", "-timestamp", "updated_at"):
        seen, cursor = [], None
        while True:
            page = mem.get_all(user_id="u", limit=10, cursor=cursor, order=order)
            seen += names(page)
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert sorted(seen) == [f"note {i:03}" for i in range(57)]
        assert seen == sorted(seen, reverse=order.startswith("-"))


def test_a_cursor_is_for_the_listing_it_came_from(mem: Memory) -> None:
    mem.add_batch([{"content": f"note {i}", "metadata": {"i": i}} for i in range(4)], user_id="u")
    mem.add_batch(["theirs", "theirs too"], user_id="v")
    asked = {"user_id": "u", "filters": {"metadata.i": {"gte": 0}}, "limit": 1}
    page = mem.get_all(**asked)
    cursor = page["next_cursor"]
    others = [
        {"user_id": "v"},
        {"user_id": "u", "agent_id": "a"},
        {"filters": None},
        {"filters": {"metadata.i": {"gte": 1}}},
        {"show_expired": True},
        {"as_of": page["results"][0]["created_at"]},
        {"user_id": None, "unscoped": True},
    ]
    for other in others:
        with pytest.raises(InvalidInputError, match="cursor belongs to another scope"):
            mem.get_all(**{**asked, **other}, cursor=cursor)
    with pytest.raises(InvalidInputError, match="order='created_at', not '-created_at'"):
        mem.get_all(**asked, order="-created_at", cursor=cursor)
    assert names(mem.get_all(**{**asked, "limit": 2}, cursor=cursor)) == ["note 1", "note 2"]


def test_integers_of_any_size_come_back_and_are_compared_exactly(mem: Memory) -> None:
    wide = [2**63 - 1, 2**63, 2**63 + 1, -(2**63) - 1, 10**639, -(10**639)]
    for i, n in enumerate(wide):
        mem.add(f"number {i}", user_id="u", metadata={"n": n, "list": [n, "x"]})

    def found(condition: object, name: str = "metadata.n") -> list[int]:
        items = mem.get_all(user_id="u", filters={name: condition})["results"]
        return [item["metadata"]["n"] for item in items]

    assert found({"exists": True}) == wide
    for n in wide:
        assert found(n) == found({"in": [n, 7]}) == found({"contains": n}, "metadata.list") == [n]
        assert found({"gt": n}) == [one for one in wide if one > n]
        assert found({"lte": n}) == [one for one in wide if one <= n]
    hits = mem.search("number", user_id="u", filters={"metadata.n": 2**63 + 1})["results"]
    assert [hit["metadata"]["n"] for hit in hits] == [2**63 + 1]
    with pytest.raises(InvalidInputError, match="more than 640 digits"):
        mem.add("number", user_id="u", metadata={"n": 10**640})


def test_one_algebra_everywhere(mem: Memory) -> None:
    mem.add_batch(
        [
            {"content": "a", "metadata": {"n": 1, "tags": ["x", "y"], "deep": {"k": "v"}}},
            {"content": "b", "metadata": {"n": 2.5, "tags": []}},
            {"content": "c", "importance": 0.7},
        ],
        user_id="u",
    )
    cases = [
        ({"metadata.n": 1}, {"a"}),
        ({"metadata.n": {"gt": 1}}, {"b"}),
        ({"metadata.tags": {"contains": "x"}}, {"a"}),
        ({"metadata.deep.k": {"in": ["v", "w"]}}, {"a"}),
        ({"metadata.n": {"exists": False}}, {"c"}),
        ({"NOT": [{"metadata.n": 1}]}, {"b", "c"}),
        ({"OR": [{"metadata.n": 1}, {"importance": {"gte": 0.7}}]}, {"a", "c"}),
        ({"AND": [{"content": {"nin": ["a"]}}, {"user_id": "u"}]}, {"b", "c"}),
        ({"metadata.n": {"ne": 1}}, {"b", "c"}),
        ({"metadata.n": "1"}, set()),
    ]
    for filters, expected in cases:
        assert set(names(mem.get_all(user_id="u", filters=filters))) == expected, filters
        assert mem.count(user_id="u", filters=filters) == len(expected)
        assert set(names(mem.search("a b c", user_id="u", filters=filters))) == expected


def test_expired_memories_are_in_no_answer(mem: Memory) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    [short] = mem.add("short lived", user_id="u", expiration_date=soon)["results"]
    mem.add("long lived", user_id="u", expiration_date="2999-01-01")
    assert set(names(mem.search("lived", user_id="u"))) == {"short lived", "long lived"}
    while datetime.now(UTC) <= soon:
        time.sleep(0.02)  # real time has to pass: expiry is by the clock
    assert names(mem.search("lived", user_id="u")) == ["long lived"]
    assert names(mem.get_all(user_id="u")) == ["long lived"]
    assert mem.count(user_id="u") == 1
    assert mem.get(short["id"]) is None
    assert len(names(mem.search("lived", user_id="u", show_expired=True))) == 2
    assert mem.get(short["id"], show_expired=True)["memory"] == "short lived"
    assert mem.count(user_id="u", show_expired=True) == 2


def test_stats_say_what_is_there(mem: Memory) -> None:
    mem.add_batch(["one", "two"], user_id="u")
    mem.search("one", user_id="u")
    stats = mem.stats()
    assert stats["store"]["memories"] == 2
    assert stats["store"]["seq"] == 2
    assert stats["embedder"]["name"] == "static"


def test_a_page_shows_each_memory_as_it_is_now(mem: Memory) -> None:
    mem.add_batch(
        [{"content": f"note {i}", "metadata": {"tags": [i]}} for i in range(5)], user_id="u"
    )
    first = mem.get_all(user_id="u")["results"]
    first[0]["metadata"]["tags"].append("mine")
    first[1]["memory"] = "mine"
    again = mem.get_all(user_id="u")["results"]
    assert [item["memory"] for item in again] == [f"note {i}" for i in range(5)]
    assert again[0]["metadata"] == {"tags": [0]}
    mem.update(again[2]["id"], "changed")
    mem.delete(again[3]["id"])
    third = mem.get_all(user_id="u")["results"]
    assert [item["memory"] for item in third] == ["note 0", "note 1", "changed", "note 4"]
    assert third == [mem.get(item["id"]) for item in third]
    then = mem.get_all(user_id="u", as_of=again[4]["created_at"])["results"]
    assert then == again
