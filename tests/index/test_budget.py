"""What the hot index holds in memory: loaded once, within its bytes."""

from __future__ import annotations

import random
import threading
from typing import Any

from agentmem.config import IndexConfig
from agentmem.index.hot import HotIndex
from agentmem.types import Scope


def test_the_byte_budget_holds_and_the_least_recently_used_leave(bench: Any) -> None:
    vector = bench.vectors(1)[0]
    users = [Scope(f"u{i}") for i in range(12)]
    for user in users:
        bench.add(["cat running", "red house"] * 50, user)
    bench.ask("cat", vector, users[0])
    one = bench.index.stats()["bytes"]
    bench.index = HotIndex(bench.ranking, IndexConfig(max_bytes=4 * one))
    dice = random.Random(1)
    for _ in range(80):
        user = dice.choice(users)
        bench.ask("cat", vector, users[0])  # always in use
        if dice.random() < 0.3:
            bench.add(["piano"], user)
        assert len(bench.ask("cat", vector, user)) == len(bench.partition(user_id=user.user_id))
        assert bench.index.stats()["bytes"] <= 4 * one
    stats = bench.index.stats()
    assert stats["partitions"] <= 4
    assert stats["evictions"] > 20
    loads = stats["loads"]
    bench.ask("cat", vector, users[0])
    assert bench.index.stats()["loads"] == loads


def test_a_partition_larger_than_the_budget_is_searched_all_the_same(bench: Any) -> None:
    bench.index = HotIndex(bench.ranking, IndexConfig(max_bytes=1))
    vector = bench.vectors(1)[0]
    bench.add(["cat"] * 30)
    assert len(bench.ask("cat", vector)) == 30
    assert bench.index.stats()["partitions"] == 1


def test_the_bytes_add_up(bench: Any) -> None:
    vector = bench.vectors(1)[0]
    for step in range(30):
        keys = bench.add(["cat running", "red house", "piano"], Scope(f"u{step % 3}"))
        bench.delete(keys[:1])
        bench.rewrite(keys[1:2], ["guitar"])
        for user in range(3):
            bench.ask("cat", vector, Scope(f"u{user}"))
        held = bench.index._partitions.values()
        assert bench.index.stats()["bytes"] == sum(p.view.nbytes for p in held)


def test_threads_load_a_partition_once(bench: Any) -> None:
    bench.add(["cat running", "red house"] * 500)
    vector = bench.vectors(1)[0]
    start = threading.Barrier(6)

    def search() -> None:
        start.wait()
        found.append(len(bench.ask("cat", vector, mode="keyword")))

    found: list[int] = []
    threads = [threading.Thread(target=search) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [500] * 6
    assert bench.index.stats()["loads"] == 1
