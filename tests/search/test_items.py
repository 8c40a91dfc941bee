"""Items that were found lately: never of another version, never shared, never more than allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agentmem import Memory
from agentmem.search.items import Items
from agentmem.search.results import item_of
from agentmem.types import Hit, Record

from .test_results import RECORD

if TYPE_CHECKING:
    from pathlib import Path


class Rows:
    """A snapshot of these records that notes what is read from it."""

    def __init__(self, *records: Record) -> None:
        self._records = {record.key: record for record in records}
        self.read: list[int] = []

    def records(self, keys: Sequence[int]) -> dict[int, Record]:
        self.read += keys
        return {key: self._records[key] for key in keys}


def answer(items: Items, rows: Any, *hits: Hit) -> list[dict[str, Any]]:
    return items.answer([hits], rows, items.life)[0]


def test_a_result_is_an_item_with_its_score() -> None:
    items, rows = Items(1 << 20), Rows(RECORD)
    plain = answer(items, rows, Hit(7, 0.25, None, 9))[0]
    assert plain == {**item_of(RECORD), "score": 0.25}
    explained = answer(items, rows, Hit(7, 0.5, {"dense": 0.2, "keyword": 0.3}, 9))[0]
    assert explained == {**plain, "score": 0.5, "explain": {"dense": 0.2, "keyword": 0.3}}
    assert rows.read == [7]


def test_another_version_is_read_again() -> None:
    items = Items(1 << 20)
    answer(items, Rows(RECORD), Hit(7, 1.0, None, 9))
    later = Rows(replace(RECORD, content="I moved to Porto", seq=12))
    assert answer(items, later, Hit(7, 1.0, None, 12))[0]["memory"] == "I moved to Porto"
    assert answer(items, later, Hit(7, 1.0, None, 12))[0]["memory"] == "I moved to Porto"
    assert later.read == [7]
    unknown = Rows(RECORD)
    answer(items, unknown, Hit(7, 1.0))  # a hit of unknown version
    assert unknown.read == [7]


def test_results_are_the_callers_own() -> None:
    for metadata in ('{"src":"crm"}', '{"src":"crm","tags":["a"]}'):
        items, rows = Items(1 << 20), Rows(replace(RECORD, metadata=metadata))
        first = answer(items, rows, Hit(7, 1.0, None, 9))[0]
        first["memory"] = "mine"
        first["metadata"]["src"] = "mine"
        first["metadata"].setdefault("tags", []).append("mine")
        again = answer(items, rows, Hit(7, 1.0, None, 9))[0]
        assert again == {**item_of(replace(RECORD, metadata=metadata)), "score": 1.0}


def test_no_more_is_kept_than_allowed() -> None:
    records = [replace(RECORD, key=i, content="x" * 500) for i in range(200)]
    items, rows = Items(100_000), Rows(*records)
    for i in range(200):
        answer(items, rows, Hit(i, 1.0, None, 9))
        stats = items.stats()
        assert stats["bytes"] <= 100_000
    assert 10 < stats["entries"] < 40
    answer(items, rows, Hit(199, 1.0, None, 9))
    assert rows.read == list(range(200))  # the last one was there
    nothing = Items(0)
    answer(nothing, rows, Hit(1, 1.0, None, 9))
    assert nothing.stats()["bytes"] == nothing.stats()["entries"] == 0


def test_what_was_forgotten_is_not_there_and_does_not_come_back() -> None:
    items, rows = Items(1 << 20), Rows(RECORD, replace(RECORD, key=8))
    hits = (Hit(7, 1.0, None, 9), Hit(8, 1.0, None, 9))
    answer(items, rows, *hits)
    items.forget([7])
    assert list(items._young) == [8]
    before = items.life
    items.forget()
    assert items.stats()["bytes"] == items.stats()["entries"] == 0
    items.answer([hits], rows, before)  # a search that had begun before
    assert items.stats()["entries"] == 0


def test_a_purged_text_is_in_no_cache(tmp_path: Path) -> None:
    with (
        Memory(tmp_path, embedder="static", user_id="a") as one,
        Memory(tmp_path, embedder="static", user_id="a") as other,
    ):
        added = one.add_batch(["a secret word", "another text"])["results"]
        for mem in (one, other):
            assert len(mem.search("secret")["results"]) == 2
        one.purge(added[0]["id"])
        for mem in (one, other):
            assert [r["memory"] for r in mem.search("secret")["results"]] == ["another text"]
            items = mem._engine.items
            held = [*items._young.values(), *items._old.values()]
            assert {item["memory"] for _, item, _, _ in held} <= {"another text"}
