"""Loading ahead of time: the model, and what a search in a scope needs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentmem import AsyncMemory, Memory, ScopeError


@pytest.fixture(autouse=True)
def stored(path: Path) -> None:
    with Memory(path, embedder="static") as memory:
        for user in ("alice", "bob"):
            memory.add_batch([f"{user} likes tea", f"{user} has a dog"], user_id=user)


def loads(memory: Memory) -> int:
    count: int = memory.stats()["index"]["loads"]
    return count


def test_the_first_search_in_a_warm_scope_loads_nothing(mem: Memory) -> None:
    mem.warm_up(user_id="alice")
    assert loads(mem) == 1
    assert len(mem.search("tea", user_id="alice")["results"]) == 2
    assert loads(mem) == 1
    mem.search("tea", user_id="bob")
    assert loads(mem) == 2


def test_without_a_scope_only_the_model_is_loaded(mem: Memory) -> None:
    mem.warm_up()
    assert loads(mem) == 0


def test_the_default_scope_counts(path: Path) -> None:
    with Memory(path, embedder="static", user_id="alice") as memory:
        memory.warm_up()
        assert loads(memory) == 1
        memory.search("tea")
        assert loads(memory) == 1


def test_a_scope_that_is_none_is_refused(mem: Memory) -> None:
    with pytest.raises(ScopeError, match="user_id"):
        mem.warm_up(user_id=" ")


def test_warming_up_reads_no_memory(mem: Memory) -> None:
    mem.warm_up(user_id="alice")
    assert mem._engine.store._access.pending == 0


def test_tasks_can_warm_up_a_scope(path: Path) -> None:
    async def main() -> None:
        async with AsyncMemory(path, embedder="static") as memory:
            await memory.warm_up(user_id="alice")
            assert (await memory.stats())["index"]["loads"] == 1

    asyncio.run(main())
