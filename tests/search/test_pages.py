"""Pages of search results: one ranking, cut into pieces, whatever is written meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agentmem import Memory, errors

QUERY = "green tea in Porto"


@pytest.fixture
def tea(memory: Memory) -> Memory:
    texts = [f"{a} {b} number {i}" for i, (a, b) in enumerate(zip("abcab" * 5, ["tea", "Porto",
             "green boat", "house", "tea in Porto"] * 5, strict=True))]  # fmt: skip
    memory.add_batch([{"content": t, "run_id": f"r{i % 3}"} for i, t in enumerate(texts)],
                     user_id="ann")  # fmt: skip
    return memory


def pages(memory: Memory, top_k: int, between: Any = lambda: None, **asked: Any) -> list[Any]:
    found, cursor = [], ""
    while cursor is not None:
        page = memory.search(QUERY, top_k=top_k, cursor=cursor, **asked)
        assert len(page["results"]) == top_k or page["next_cursor"] is None
        found += page["results"]
        cursor = page["next_cursor"]
        between()
    return found


@pytest.mark.parametrize("mode", ["hybrid", "dense", "keyword"])
@pytest.mark.parametrize("top_k", [1, 4, 5, 25, 30])
def test_pages_together_are_the_whole_ranking(tea: Memory, mode: Any, top_k: int) -> None:
    whole = tea.search(QUERY, user_id="ann", top_k=1000, mode=mode)
    assert set(whole) == {"results"}  # nobody who does not ask gets a cursor
    assert pages(tea, top_k, user_id="ann", mode=mode) == whole["results"]


def test_filters_threshold_and_explanations_hold_on_every_page(tea: Memory) -> None:
    whole = tea.search(QUERY, user_id="ann", top_k=1000)["results"]
    asked: dict[str, Any] = {
        "filters": {"run_id": {"ne": "r1"}},
        "threshold": whole[15]["score"],
        "explain": True,
    }
    expected = tea.search(QUERY, user_id="ann", top_k=1000, **asked)["results"]
    assert 5 < len(expected) < 16
    assert pages(tea, 3, user_id="ann", **asked) == expected


def test_writes_in_between_change_no_page(tea: Memory) -> None:
    whole = tea.search(QUERY, user_id="ann", top_k=1000)["results"]
    ids = [item["id"] for item in whole]

    def disturb() -> None:
        tea.add("green tea in Porto, best of all", user_id="ann", run_id="r0")
        if ids:
            tea.update(ids.pop(), QUERY, vector=np.ones(256))
            tea.delete(ids.pop(0))

    assert pages(tea, 4, disturb, user_id="ann") == whole


def test_a_page_of_the_past(tea: Memory) -> None:
    whole = tea.search(QUERY, user_id="ann", top_k=1000)["results"]
    when = max(item["created_at"] for item in whole)
    tea.add_batch(["green tea", "Porto"], user_id="ann")
    assert pages(tea, 7, user_id="ann", as_of=when) == whole
    first = tea.search(QUERY, user_id="ann", top_k=7, cursor="", as_of=when)
    rest = tea.search(QUERY, user_id="ann", top_k=100, cursor=first["next_cursor"])
    assert first["results"] + rest["results"] == whole  # the cursor knows the time
    with pytest.raises(errors.InvalidInputError, match="another as_of"):
        tea.search(QUERY, user_id="ann", cursor=first["next_cursor"], as_of=0)


def test_a_batch_turns_all_its_pages(tea: Memory) -> None:
    queries = [QUERY, "boat", "house by the sea"]
    asked: dict[str, Any] = {"user_id": "ann", "mode": "keyword"}
    expected = [a["results"] for a in tea.search_batch(queries, top_k=1000, **asked)]
    found: list[list[Any]] = [[], [], []]
    cursors: list[str | None] = [""] * 3
    while any(cursor is not None for cursor in cursors):
        answers = tea.search_batch(queries, top_k=4, cursors=cursors, **asked)
        for got, answer in zip(found, answers, strict=True):
            got += answer["results"]
        cursors = [answer["next_cursor"] for answer in answers]
        tea.add("boat and house", user_id="ann")
    assert found == expected


def test_a_cursor_that_is_no_longer_good_says_so(tea: Memory) -> None:
    asked: dict[str, Any] = {"user_id": "ann", "top_k": 4}
    first = tea.search(QUERY, cursor="", **asked)
    good = first["next_cursor"]
    for bad in ("x", good[:-3], good + "0", good.replace("-", "+"), 7, f"{good}-1"):
        with pytest.raises(errors.InvalidInputError, match="cursor"):
            tea.search(QUERY, cursor=bad, **asked)
    others: list[dict[str, Any]] = [
        {"query": "a boat"},
        {"mode": "dense"},
        {"filters": {"run_id": "r1"}},
        {"threshold": 0.0},
        {"run_id": "r1"},
    ]
    for other in others:
        with pytest.raises(errors.InvalidInputError, match="another query"):
            tea.search(**{"query": QUERY, "cursor": good, **asked, **other})
    dim = tea.stats()["embedder"]["dim"]
    up, down = [1.0] * dim, [-1.0] * dim
    other_page = tea.search(QUERY, cursor="", vector=up, **asked)["next_cursor"]
    assert tea.search(QUERY, cursor=other_page, vector=np.float32(up), **asked)["results"]
    for vector, cursor in ((down, other_page), (None, other_page), (up, good)):
        with pytest.raises(errors.InvalidInputError, match="another query"):
            tea.search(QUERY, cursor=cursor, vector=vector, **asked)
    for cursors in (good, 5, [good], [good, good, good]):
        with pytest.raises(errors.InvalidInputError, match="one cursor per query"):
            tea.search_batch([QUERY, "boat"], cursors=cursors, **asked)
    tea.add("tea", user_id="ann")
    second = tea.search(QUERY, cursor="", **asked)["next_cursor"]
    with pytest.raises(errors.InvalidInputError, match="different answers"):
        tea.search_batch([QUERY, QUERY], cursors=[good, second], **asked)
    tea.purge(first["results"][1]["id"])
    shown = {item["memory"] for item in first["results"]}
    rest = tea.search(QUERY, cursor=good, user_id="ann", top_k=99)["results"]
    assert len(rest) == 21
    assert shown.isdisjoint(item["memory"] for item in rest)
    tea.purge(first["results"][3]["id"])
    with pytest.raises(errors.InvalidInputError, match=r"purged.*begin again"):
        tea.search(QUERY, cursor=good, **asked)
    tea.reset()
    with pytest.raises(errors.InvalidInputError, match=r"reset.*begin again"):
        tea.search(QUERY, cursor=good, **asked)


@pytest.mark.parametrize("queries", [None, 5, b"tea", {"tea": 1}, "tea"])
def test_queries_that_are_no_list_are_refused(tea: Memory, queries: Any) -> None:
    with pytest.raises(errors.InvalidInputError, match="queries must be a list of strings"):
        tea.search_batch(queries, user_id="ann")
