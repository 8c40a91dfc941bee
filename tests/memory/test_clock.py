"""A clock that goes back: nothing is lost, nothing changes its order."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agentmem import Memory


def test_a_clock_set_back_by_years_reorders_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Memory(path, embedder="static", user_id="ann") as mem:
        first = mem.add("plays the cello")["results"][0]["id"]
        mem.flush()
        ahead = time.time_ns()
        monkeypatch.setattr("time.time_ns", lambda: ahead - 10**18)  # 31 years
        second = mem.add("plays the harp")["results"][0]["id"]
        mem.update(first, "played the cello")
        third = mem.add("plays the lute", timestamp="2001-01-01")["results"][0]["id"]
        mem.delete(second)
    with Memory(path, embedder="static", user_id="ann") as mem:  # and again after a restart
        fourth = mem.add("plays the drum")["results"][0]["id"]
        items = mem.get_all()["results"]
        assert [item["id"] for item in items] == [first, third, fourth]
        assert sorted(item["created_at"] for item in items) == [i["created_at"] for i in items]
        page = mem.get_all(order="-created_at", limit=2)
        rest = mem.get_all(order="-created_at", limit=2, cursor=page["next_cursor"])
        assert [i["id"] for i in (*page["results"], *rest["results"])] == [fourth, third, first]
        for memory_id, events in ((first, ["ADD", "UPDATE"]), (second, ["ADD", "DELETE"])):
            told = mem.history(memory_id)
            assert [entry["event"] for entry in told] == events
            assert told[0]["created_at"] <= told[1]["updated_at"]
        hits = mem.search("who played the cello?", top_k=1)["results"]
        assert hits[0]["memory"] == "played the cello"
        mem.flush()
        assert mem.check() == {"ok": True, "problems": [], "repaired": []}
        mem.backup(path.with_name("copy"))
    monkeypatch.undo()
    with Memory(path.with_name("copy"), embedder="static", user_id="ann") as copy:
        copy.add("and on")
        assert copy.check()["ok"]
