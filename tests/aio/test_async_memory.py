"""``AsyncMemory`` is ``Memory``, awaited: same arguments, same answers, no thread per request."""

from __future__ import annotations

import asyncio
import inspect
import random
import resource
import sys
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from agentmem import (
    AsyncMemory,
    ClosedError,
    InvalidInputError,
    Memory,
    NotFoundError,
    ScopeError,
    StoreTimeoutError,
)

CONVERSATION = [
    {"role": "user", "content": "I moved to Lisbon in March", "name": "Ann"},
    {"role": "assistant", "content": "How do you like it there?"},
    {"role": "user", "content": "The surfing is wonderful"},
]


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_method_is_there_with_the_same_arguments() -> None:
    assert public(AsyncMemory) == public(Memory)
    for name in public(Memory) - {"from_config"}:
        plain, awaited = getattr(Memory, name), getattr(AsyncMemory, name)
        assert inspect.iscoroutinefunction(awaited), name
        assert (
            inspect.signature(plain).parameters.keys()
            == inspect.signature(awaited).parameters.keys()
        )
        if name != "close":
            assert inspect.signature(plain) == inspect.signature(awaited)
            assert awaited.__doc__ == plain.__doc__
    for name in ("__init__", "from_config"):
        plain, awaited = getattr(Memory, name), getattr(AsyncMemory, name)
        assert inspect.signature(plain) == inspect.signature(awaited)


CALLS: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("add", [CONVERSATION], {"user_id": "ann", "run_id": "r1"}),
    ("add", ["Bob likes tea"], {"user_id": "bob", "metadata": {"n": 1}, "idempotency_key": "k"}),
    ("add", ["Bob likes tea"], {"user_id": "bob", "idempotency_key": "k"}),
    ("add_batch", [["one", "two", "one"]], {"user_id": "bob", "dedupe": True}),
    ("add_batch", [[f"number {i}" for i in range(200)]], {"user_id": "carol"}),
    ("add_batch", [[]], {"user_id": "carol"}),
    ("count", [], {"user_id": "carol"}),
    ("search", ["where does Ann live?"], {"user_id": "ann", "top_k": 2}),
    ("search_batch", [["surfing", "tea"]], {"user_id": "ann"}),
    ("get_all", [], {"user_id": "bob"}),
    ("delete_all", [], {"user_id": "carol"}),
    ("check", [], {}),
    ("flush", [], {}),
    ("reset", [], {}),
]


def without_ids(answer: Any) -> Any:
    """The same without what is new each time."""
    if isinstance(answer, dict):
        fresh = {"id", "memory_id", "created_at", "updated_at", "timestamp", "next_cursor"}
        return {k: without_ids(v) for k, v in answer.items() if k not in fresh}
    return [without_ids(one) for one in answer] if isinstance(answer, list) else answer


async def answers(mem: AsyncMemory) -> list[Any]:
    return [without_ids(await getattr(mem, n)(*a, **k)) for n, a, k in CALLS]


def test_every_answer_is_that_of_memory(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with AsyncMemory(tmp_path / "async", embedder="static") as mem:
            return await answers(mem)

    awaited = asyncio.run(main())
    with Memory(tmp_path / "plain", embedder="static") as mem:
        plain = [without_ids(getattr(mem, n)(*a, **k)) for n, a, k in CALLS]
    assert awaited == plain


def test_one_memory_through_its_life(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncMemory(tmp_path / "mem", embedder="static", user_id="u") as mem:
            await mem.warm_up()
            [one] = (await mem.add("first text"))["results"]
            await mem.update(one["id"], "second text")
            assert (await mem.get(one["id"]))["memory"] == "second text"
            assert (await mem.get_batch([one["id"]]))[0]["memory"] == "second text"
            assert len(await mem.history(one["id"])) == 2
            await mem.update_batch([{"id": one["id"], "metadata": {"a": 1}}])
            await mem.delete(one["id"])
            assert await mem.get(one["id"]) is None
            [two] = (await mem.add("third text"))["results"]
            await mem.delete_batch([two["id"]])
            [three] = (await mem.add("fourth text"))["results"]
            assert await mem.purge(three["id"]) == {"purged": 1}
            assert (await mem.stats())["store"]["memories"] == 0

    asyncio.run(main())


def test_errors_are_those_of_memory(tmp_path: Path) -> None:
    async def main() -> None:
        mem = AsyncMemory.from_config({"path": str(tmp_path / "mem"), "embedder": "static"})
        with pytest.raises(ScopeError):
            await mem.add("whose is it?")
        with pytest.raises(InvalidInputError):
            await mem.add("", user_id="u")
        with pytest.raises(TypeError):
            await mem.add("x", user="u")  # type: ignore[call-arg]
        with pytest.raises(NotFoundError):
            await mem.delete("00000000-0000-0000-0000-000000000000")
        with pytest.raises(ScopeError):
            await mem.search("whose is it?")
        await mem.close()
        await mem.close()
        with pytest.raises(ClosedError):
            await mem.add("late", user_id="u")
        with pytest.raises(ClosedError):
            await mem.count(user_id="u")

    asyncio.run(main())


class Gate:
    """A user's embedder that waits until it is opened."""

    dim = 4

    def __init__(self) -> None:
        self.open = threading.Event()
        self.inside = threading.Event()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.inside.set()
        assert self.open.wait(60)
        return np.ones((len(texts), 4), np.float32)


def test_no_room_and_no_movement_is_a_timeout(tmp_path: Path) -> None:
    gate = Gate()
    config = {"write": {"leaders": 1, "queue_calls": 3, "queue_timeout": 0.05}}

    async def main() -> None:
        async with AsyncMemory(tmp_path / "mem", embedder=gate, config=config, user_id="u") as mem:
            calls = [asyncio.create_task(mem.add(f"text {i}")) for i in range(8)]
            done, pending = await asyncio.wait(calls, timeout=60, return_when="FIRST_EXCEPTION")
            while len(done) < 5:
                more, pending = await asyncio.wait(pending, return_when="FIRST_COMPLETED")
                done |= more
            assert {type(call.exception()) for call in done} == {StoreTimeoutError}
            gate.open.set()
            await asyncio.gather(*pending)
            assert await mem.count() == 3

    asyncio.run(main())


def test_who_finds_no_room_waits_for_it(tmp_path: Path) -> None:
    config = {"write": {"leaders": 1, "queue_calls": 5}}

    async def main() -> None:
        async with AsyncMemory(
            tmp_path / "mem", embedder="static", config=config, user_id="u"
        ) as mem:
            await asyncio.gather(*(mem.add(f"text {i}") for i in range(300)))
            assert await mem.count() == 300
            assert (await mem.stats())["writes"]["largest_group"] <= 5

    asyncio.run(main())


def test_cancelled_tasks_leave_the_store_whole(tmp_path: Path) -> None:
    """A storm: most writes are cancelled, before, while and after they are done."""

    async def main() -> None:
        chance = random.Random(11)
        config = {"write": {"queue_calls": 64}}
        async with AsyncMemory(
            tmp_path / "mem", embedder="static", config=config, user_id="u"
        ) as mem:
            returned: list[str] = []

            async def one(text: str) -> None:
                await mem.add_batch([text, f"{text}, twin"])
                returned.append(text)

            tasks = [asyncio.create_task(one(f"text {i}")) for i in range(1500)]
            victims = [task for i, task in enumerate(tasks) if i % 10]  # the others are spared
            for _ in range(100):
                for task in chance.sample(victims, 20):
                    task.cancel()
                await asyncio.sleep(0)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(r) for r in results} == {type(None), asyncio.CancelledError}
            assert all(result is None for result in results[::10])
            await mem.add("still works")
            assert (await mem.stats())["writes"]["waiting"] == 0
            page = await mem.get_all(limit=10_000)
            stored = Counter(item["memory"] for item in page["results"])
            assert set(stored.values()) == {1}
            texts = {text for text in stored if text.startswith("text")}
            assert {text.removesuffix(", twin") for text in texts} >= set(returned)
            assert all(f"{t}, twin" in texts for t in texts if not t.endswith("twin"))
            assert len(texts) % 2 == 0
            assert (await mem.check())["problems"] == []

    asyncio.run(main())


def test_a_cancelled_caller_does_not_hold_up_the_others(tmp_path: Path) -> None:
    gate = Gate()

    async def main() -> None:
        async with AsyncMemory(
            tmp_path / "mem", embedder=gate, config={"write": {"leaders": 1}}, user_id="u"
        ) as mem:
            first = asyncio.create_task(mem.add("leads"))
            await asyncio.to_thread(gate.inside.wait, 60)
            others = [asyncio.create_task(mem.add(f"text {i}")) for i in range(10)]
            while (await mem.stats())["writes"]["waiting"] < 11:
                await asyncio.sleep(0)
            first.cancel()
            others[3].cancel()
            gate.open.set()
            await asyncio.wait(others, timeout=60)
            assert [task.cancelled() for task in others] == [i == 3 for i in range(10)]
            contents = {item["memory"] for item in (await mem.get_all())["results"]}
            assert contents - {"leads"} == {f"text {i}" for i in range(10) if i != 3}

    asyncio.run(main())


class Paused:
    """A ``progress`` that stays in the first step until it is let go."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        self.calls = 0

    def __call__(self, done: int, total: int) -> None:
        self.calls += 1
        self.reached.set()
        assert self.go.wait(60)


async def cancel_in_the_first_step(call: Coroutine[Any, Any, Any], progress: Paused) -> None:
    task = asyncio.create_task(call)
    assert await asyncio.to_thread(progress.reached.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    progress.go.set()


def test_a_cancelled_load_ends_after_the_chunk_under_way(tmp_path: Path) -> None:
    progress = Paused()
    table = pa.table({"content": [f"row {i}" for i in range(100)]})

    async def main() -> None:
        async with AsyncMemory(tmp_path / "mem", embedder="static", user_id="u") as mem:
            load = mem.add_arrow(table, chunk_rows=10, progress=progress)
            await cancel_in_the_first_step(load, progress)
            with pytest.raises(InvalidInputError, match="progress"):
                await mem.add_arrow(table, progress=3)  # type: ignore[arg-type]
            await mem.add("the store goes on")
            await asyncio.to_thread(mem._slow.shutdown)  # until the thread of the load is done
            assert await mem.count() == 21
            mem._memory.close()

    asyncio.run(main())
    assert progress.calls == 1


def test_a_cancelled_copy_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentmem.store.copies._STEP", 1)
    backup, restored = tmp_path / "backup", tmp_path / "restored"

    async def main() -> None:
        async with AsyncMemory(tmp_path / "mem", embedder="static", user_id="u") as mem:
            await mem.add_batch([f"row {i}" for i in range(100)])
            first = Paused()
            await cancel_in_the_first_step(mem.backup(backup, progress=first), first)
            await asyncio.to_thread(mem._slow.shutdown)
            mem._memory.close()
        assert not backup.exists()
        second = Paused()
        await cancel_in_the_first_step(
            AsyncMemory.restore(tmp_path / "mem", restored, progress=second), second
        )

    asyncio.run(main())  # waits for its threads
    assert not list(restored.glob("*.db*"))


def test_several_loops_and_plain_threads_share_one(tmp_path: Path) -> None:
    mem = AsyncMemory(tmp_path / "mem", embedder="static", user_id="u")
    plain = mem._memory

    def loop(name: int) -> None:
        async def main() -> None:
            await asyncio.gather(*(mem.add(f"loop {name} text {i}") for i in range(100)))
            found = await mem.search(f"loop {name} text 5", top_k=300)
            assert len(found["results"]) >= 100

        asyncio.run(main())

    def thread(name: int) -> None:
        for i in range(30):
            plain.add(f"thread {name} text {i}")

    workers = [threading.Thread(target=loop, args=(i,)) for i in range(3)]
    workers += [threading.Thread(target=thread, args=(i,)) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert plain.count() == 390
    assert plain.check()["problems"] == []
    asyncio.run(mem.close())


def test_twenty_thousand_tasks_at_once(tmp_path: Path) -> None:
    """All complete, on a handful of threads, with the memory that the tasks themselves take."""
    config = {"projection": {"enabled": False}}

    async def main() -> None:
        async with AsyncMemory(
            tmp_path / "mem", embedder=Numbers(), config=config, user_id="u"
        ) as mem:
            await mem.add("warm up")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            threads = threading.active_count()
            await asyncio.gather(*(mem.add(f"text {i}") for i in range(20_000)))
            assert threading.active_count() - threads <= 8
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown < 300 * 1024 * (1 if sys.platform != "darwin" else 1024)
            assert await mem.count() == 20_001

    asyncio.run(main())


class Numbers:
    """A quick embedder of a user's own."""

    dim = 4

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[1, 2, 3, len(text)] for text in texts], np.float32)
