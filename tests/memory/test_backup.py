"""``backup`` and ``Memory.restore``: what callers and projections see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from agentmem import AsyncMemory, ClosedError, InvalidInputError, Memory, StorePathError


def answers(mem: Memory) -> list[object]:
    items = mem.get_all(user_id="ann")["results"]
    found = mem.search("where is the cello?", user_id="ann", explain=True)
    return [items, found, *(mem.history(item["id"]) for item in items)]


def fill(mem: Memory) -> None:
    mem.add_batch(["plays the cello", "keeps the cello in the attic", "likes tea"], user_id="ann")
    last = mem.get_all(user_id="ann")["results"][-1]["id"]
    mem.update(last, "likes rooibos", {"since": 2024}, actor_id="kitchen")


def test_a_backup_answers_as_the_store_did(mem: Memory, tmp_path: Path) -> None:
    fill(mem)
    before = answers(mem)
    assert mem.backup(tmp_path / "copy")["memories"] == 3
    mem.reset()
    for folder in ("copy", "restored"):
        if folder == "restored":
            Memory.restore(tmp_path / "copy", tmp_path / folder)
        with Memory(tmp_path / folder, embedder="static") as copy:
            assert answers(copy) == before
            copy.flush()
            assert copy.check() == {"ok": True, "problems": [], "repaired": []}


def test_projections_of_another_life_are_not_believed(
    mem: Memory, path: Path, tmp_path: Path
) -> None:
    """The same number of events in both lives, so that only the epoch can tell."""
    fill(mem)
    mem.backup(tmp_path / "copy")
    mem.add("the first life", user_id="ann")
    mem.flush()
    stands = mem.stats()["projection"]["seq"]
    hits = mem.search("which life is it?", user_id="ann")["results"]
    assert hits[0]["memory"] == "the first life"
    with pytest.raises(StorePathError, match="holds a store"):
        Memory.restore(tmp_path / "copy", path)
    Memory.restore(tmp_path / "copy", path, overwrite=True)
    mem.add("the second life", user_id="ann")  # the same seq, in the Memory that stayed open
    hits = mem.search("which life is it?", user_id="ann")["results"]
    assert hits[0]["memory"] == "the second life"
    assert "the first life" not in [hit["memory"] for hit in hits]
    assert mem.check() == {"ok": True, "problems": [], "repaired": []}  # behind, not damaged
    mem.flush()
    assert mem.stats()["projection"]["seq"] == stands
    assert mem.check()["ok"]


def test_arguments_are_checked(mem: Memory, tmp_path: Path) -> None:
    with pytest.raises(StorePathError):
        mem.backup("")
    with pytest.raises(InvalidInputError, match="overwrite"):
        Memory.restore(tmp_path, tmp_path / "new", overwrite="yes")  # type: ignore[arg-type]
    mem.close()
    with pytest.raises(ClosedError):
        mem.backup(tmp_path / "copy")


def test_a_throw_away_memory_can_be_kept(tmp_path: Path) -> None:
    with Memory(":memory:", embedder="static") as mem:
        fill(mem)
        before = answers(mem)
        mem.backup(tmp_path / "kept")
    with Memory(tmp_path / "kept", embedder="static") as kept:
        assert answers(kept) == before


def test_the_same_with_await(tmp_path: Path) -> None:
    async def main() -> int:
        async with AsyncMemory(tmp_path / "mem", embedder="static", user_id="ann") as mem:
            await mem.add("plays the cello")
            steps: list[int] = []
            work = mem.backup(tmp_path / "copy", progress=lambda done, total: steps.append(done))
            await asyncio.gather(work, mem.add("likes tea"))
            assert steps
        await AsyncMemory.restore(tmp_path / "copy", tmp_path / "new")
        async with AsyncMemory(tmp_path / "new", embedder="static", user_id="ann") as new:
            return await new.count()

    assert asyncio.run(main()) in (1, 2)


def test_a_backup_into_memory_or_into_the_store_is_refused(mem: Memory, path: Path) -> None:
    mem.add("plays the cello", user_id="ann")
    before = sorted(path.rglob("*"))
    with pytest.raises(StorePathError, match="store in memory"):
        mem.backup(":memory:")
    with pytest.raises(StorePathError, match="store in memory"):
        Memory.restore(path, ":memory:")
    for inside in (path / "copy", path / "deep" / "copy"):
        with pytest.raises(StorePathError, match="lies inside the store"):
            mem.backup(inside)
    assert sorted(path.rglob("*")) == before


def test_a_name_that_no_folder_can_have(mem: Memory, tmp_path: Path) -> None:
    mem.backup(tmp_path / "b1")
    long, link = tmp_path / ("x" * 300), tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    for call in (
        lambda: Memory(long, embedder="static"),
        lambda: Memory.restore(tmp_path / "b1", long),
        lambda: Memory.restore(long, tmp_path / "new"),
        lambda: mem.backup(long),
    ):
        with pytest.raises(StorePathError, match="name too long"):
            call()
    with pytest.raises(StorePathError, match=r"is a link to '.*nowhere', which is not there"):
        Memory(link, embedder="static")


def test_progress_that_cannot_be_called_is_refused_before_anything(
    mem: Memory, tmp_path: Path
) -> None:
    calls: list[Callable[[Any], object]] = [
        lambda it: mem.add_arrow(pa.table({"content": ["x"]}), user_id="u", progress=it),
        lambda it: mem.backup(tmp_path / "copy", progress=it),
        lambda it: mem.check(repair=True, progress=it),
        lambda it: Memory.restore(tmp_path / "kept", tmp_path / "new", progress=it),
    ]
    mem.backup(tmp_path / "kept")
    for call in calls:
        with pytest.raises(InvalidInputError, match="progress is called with"):
            call(3)
    assert mem.count(unscoped=True) == 0
    assert sorted(p.name for p in tmp_path.iterdir() if p.name in ("copy", "new")) == []
