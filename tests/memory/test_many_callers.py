"""Many threads on one ``Memory``."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


def test_more_searches_than_connections_go_on_while_others_write(path: Path) -> None:
    """Nobody waits for a connection that is held by one who waits for him."""
    config = {"store": {"readers": 2, "lock_timeout": 5.0}, "search": {"answers": 0}}
    with Memory(path, embedder="static", user_id="u", config=config) as mem:
        mem.add_batch([f"memory {i} of tea" for i in range(100)])
        done = threading.Event()

        def search(number: int) -> int:
            searches = 0
            while not done.is_set():
                asked = {"user_id": "u"} if number % 2 else {"user_id": f"other {searches % 9}"}
                mem.search(f"tea {searches}", **asked)
                searches += 1
            return searches

        with ThreadPoolExecutor(8) as pool:
            found = [pool.submit(search, i) for i in range(8)]
            try:
                for i in range(150):
                    mem.add(f"more of tea, {i}", user_id="u" if i % 2 else f"other {i % 9}")
            finally:
                done.set()
        assert all(one.result() for one in found)


def test_a_volume_is_written_though_all_connections_are_lent(path: Path) -> None:
    config = {"store": {"readers": 1, "lock_timeout": 5.0}, "index": {"large_rows": 20}}
    with Memory(path, embedder="static", user_id="u", config=config) as mem:
        mem.add_batch([f"memory {i} of tea" for i in range(100)])
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda i: mem.search(f"memory {i}"), range(8)))
        stats = mem.stats()
    assert all(len(one["results"]) == 10 for one in found)
    assert stats["large"]["written"] == 1
    assert stats["store"]["readers"]["open"] <= 1
