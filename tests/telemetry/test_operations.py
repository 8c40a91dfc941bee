"""Every public call of a real store is counted once, under its own name, with its errors."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Memory, NotFoundError, ScopeError
from agentmem.telemetry import Call, JsonFormatter

USER = {"user_id": "ann"}


def calls(memory: Memory) -> dict[str, int]:
    return {name: found["calls"] for name, found in memory.stats()["operations"].items()}


def use_everything(memory: Memory, tmp_path: Path) -> set[str]:
    """Call every public method once; returns their names."""
    import pyarrow as pa

    first = memory.add("Ann likes tea", **USER)["results"][0]["id"]
    memory.add_batch(["Ann plays chess"], **USER)
    memory.add_arrow(pa.table({"content": ["Ann has a dog"]}), **USER)
    memory.update(first, "Ann likes green tea")
    memory.update_batch([{"id": first, "metadata": {"n": 1}}])
    memory.search("tea", **USER)
    memory.search_batch(["tea"], **USER)
    memory.context("tea", max_tokens=50, **USER)
    memory.get(first)
    memory.get_batch([first])
    memory.get_all(**USER)
    memory.count(**USER)
    memory.history(first)
    memory.stats()
    memory.metrics()
    memory.flush()
    memory.warm_up()
    memory.check()
    memory.backup(tmp_path / "copy")
    memory.delete(first)
    memory.delete_batch([memory.add("Ann sings", **USER)["results"][0]["id"]])
    memory.purge(first)
    memory.delete_all(**USER)
    memory.reset()
    unmeasured = {"close", "from_config", "restore"}
    return {
        name
        for name, _ in inspect.getmembers(Memory, callable)
        if not name.startswith("_") and name not in unmeasured
    }


def test_every_call_counts_once_under_its_own_name(memory: Memory, tmp_path: Path) -> None:
    names = use_everything(memory, tmp_path)
    assert calls(memory) == {name: 2 if name == "add" else 1 for name in names}


def test_the_calls_of_async_memory_count_the_same(store_path: Path) -> None:
    async def main() -> dict[str, int]:
        async with AsyncMemory(store_path, embedder="static") as memory:
            made = await asyncio.gather(*(memory.add(f"note {i}", **USER) for i in range(20)))
            one = made[0]["results"][0]["id"]
            await memory.update(one, "another note")
            await memory.search("note", **USER)
            await memory.delete(one)
            await memory.flush()
            return calls(memory._memory)

    assert asyncio.run(main()) == {"add": 20, "update": 1, "search": 1, "delete": 1, "flush": 1}


def test_what_fails_is_counted_by_its_class_and_timed(memory: Memory) -> None:
    for _ in range(3):
        with pytest.raises(ScopeError):
            memory.search("anything")
    with pytest.raises(NotFoundError):
        memory.delete("0192f0c0-0000-7000-8000-000000000000")
    memory.search("anything", **USER)
    found = memory.stats()["operations"]
    assert found["search"]["errors"] == {"ScopeError": 3}
    assert found["search"]["calls"] == 4
    assert found["delete"]["errors"] == {"NotFoundError": 1}


def test_the_times_of_a_call_are_in_order(memory: Memory) -> None:
    memory.add("Ann likes tea", **USER)
    for _ in range(50):
        memory.search("tea", **USER)
    took = memory.stats()["operations"]["search"]
    assert 0 < took["p50_ms"] <= took["p90_ms"] <= took["p99_ms"] <= took["max_ms"]
    assert took["mean_ms"] <= took["max_ms"]


def test_switched_off_nothing_is_counted(store_path: Path) -> None:
    off = {"telemetry": {"enabled": False}}
    with Memory(store_path, embedder="static", config=off) as memory:
        memory.add("Ann likes tea", **USER)
        with pytest.raises(ScopeError):
            memory.search("tea")
        assert memory.stats()["operations"] == {}


def test_a_slow_call_is_logged_without_what_was_said(
    store_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    every = {"telemetry": {"slow_ms": 1e-6}}
    with Memory(store_path, embedder="static", config=every) as memory:
        memory.add_batch(["Ann likes tea", "Ann plays chess"], **USER)
        memory.search("who plays?", top_k=3, mode="keyword", **USER)
        with pytest.raises(ScopeError):
            memory.search("who plays?")
    told = [record.agentmem for record in caplog.records if record.name == "agentmem.slow"]  # type: ignore[attr-defined]
    adding, searching, failing = told
    assert (adding["operation"], adding["items"]) == ("add_batch", 2)
    assert (searching["top_k"], searching["mode"]) == (3, "keyword")
    assert failing["error"] == "ScopeError"
    assert all(one["milliseconds"] > 0 for one in told)
    text = caplog.text + json.dumps(told)
    assert "Ann" not in text
    assert "ann" not in json.dumps(told)
    assert "who plays" not in text


def test_nothing_is_logged_as_slow_by_default(
    memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    memory.add("Ann likes tea", **USER)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_nothing_is_printed_unless_a_handler_is_added(
    store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    every = {"telemetry": {"slow_ms": 1e-6}}
    with Memory(store_path, embedder="static", config=every) as memory:
        memory.add("Ann likes tea", **USER)
    assert capfd.readouterr() == ("", "")


def test_json_lines_have_the_details_as_fields(store_path: Path) -> None:
    lines: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(self.format(record)))

    handler, logger = Keep(), logging.getLogger("agentmem")
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        with Memory(store_path, embedder="static"):
            try:
                raise ValueError("out of tea")
            except ValueError:
                logging.getLogger("agentmem.tests").exception("failed")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    opened, failed, closed = lines
    assert (opened["logger"], opened["level"]) == ("agentmem.store", "INFO")
    assert opened["path"] == closed["path"] == str(store_path)
    assert "out of tea" in failed["exception"]
    assert failed["time"].endswith("+00:00")


def test_listeners_hear_every_call_until_they_are_stopped(memory: Memory) -> None:
    heard: list[Call] = []
    stop = memory._engine.operations.listen(heard.append)
    memory.add("Ann likes tea", **USER)
    with pytest.raises(ScopeError):
        memory.search("tea")
    stop()
    memory.count(**USER)
    assert [(call.operation, type(call.error)) for call in heard] == [
        ("add", type(None)),
        ("search", ScopeError),
    ]
    assert all(call.duration > 0 for call in heard)
