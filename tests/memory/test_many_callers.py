"""Many threads on one ``Memory``."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from agentmem import Memory


def test_threads_share_one_memory(mem: Memory) -> None:
    def work(name: int) -> None:
        for i in range(20):
            [result] = mem.add(f"thread {name} item {i}", user_id=f"t{name}")["results"]
            assert mem.get(result["id"])["memory"] == f"thread {name} item {i}"
            found = mem.search(f"thread {name} item {i}", user_id=f"t{name}", top_k=20)["results"]
            assert result["id"] in [hit["id"] for hit in found]
            if i % 5 == 4:
                mem.delete(result["id"])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert mem.count(unscoped=True) == 8 * 16
    assert mem.check()["problems"] == []


def test_the_same_key_from_many_threads_is_stored_once(mem: Memory) -> None:
    barrier = threading.Barrier(8)

    def work(_: int) -> str:
        barrier.wait()
        return mem.add("only once", user_id="u", idempotency_key="k")["results"][0]["id"]

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(work, range(8)))
    assert len(ids) == 1
    assert mem.count(user_id="u") == 1
