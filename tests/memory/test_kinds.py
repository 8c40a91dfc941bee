"""Values that are not quite of the kind expected: subclasses, enumerations, NumPy's."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import AgentMemError, InvalidInputError, Memory

DIM = 256


class Role(str, enum.Enum):  # noqa: UP042 - ``str()`` of it is its name, not its value
    USER = "user"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    pass


def test_of_an_enumeration_the_value_is_stored(mem: Memory) -> None:
    added = mem.add(
        {"role": Role.USER, "content": Text("Plays the cello")},
        user_id=Role.USER,
        level=Role.USER,
        idempotency_key=Text("k"),
        metadata={"role": Role.USER, Role.USER: Level.HIGH, "x": np.float64(0.5)},
    )
    item = mem.get(added["results"][0]["id"])
    assert item is not None
    texts = (item["memory"], item["role"], item["user_id"], item["level"])
    assert texts == ("Plays the cello", "user", "user", "user")
    assert {type(text) for text in texts} == {str}
    assert item["metadata"] == {"role": "user", "user": 3, "x": 0.5}
    for filters in ({"role": Role.USER}, {"metadata.role": {"in": [Role.USER]}}):
        assert mem.count(user_id=Text("user"), filters=filters) == 1
    assert mem.count(user_id="user", filters={"metadata.user": Level.HIGH}) == 1
    assert len(mem.search(np.str_("cello"), user_id="user")["results"]) == 1


@pytest.mark.parametrize("value", [np.int64(3), np.float32(0.5), np.bool_(True), np.ones(2)])
def test_what_numpy_has_besides_is_refused_with_the_way_out(mem: Memory, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"metadata\.n is a .*tolist\(\)"):
        mem.add("x", user_id="u", metadata={"n": value})
    mem.add("x", user_id="u", metadata={"n": value.tolist()})


def test_a_date_is_its_beginning(mem: Memory) -> None:
    added = mem.add("x", user_id="u", timestamp=date(2024, 2, 29))
    item = mem.get(added["results"][0]["id"])
    assert item is not None
    assert item["timestamp"] == "2024-02-29T00:00:00+00:00"
    assert mem.count(user_id="u", filters={"timestamp": {"gte": date(2024, 2, 29)}}) == 1
    assert mem.count(user_id="u", filters={"timestamp": {"gt": date(2024, 2, 29)}}) == 0
    assert mem.count(user_id="u", as_of=date(2024, 1, 1)) == 0


@pytest.mark.parametrize(
    "vector",
    [
        np.arange(1, DIM + 1, dtype=np.float16),
        np.arange(1, DIM + 1, dtype=">f4"),
        np.arange(1, DIM + 1, dtype=np.longdouble),
        np.repeat(np.arange(1, DIM + 1, dtype=np.float32), 2)[::2],
        np.arange(DIM, 0, -1, dtype=np.float64)[::-1],
        memoryview(np.arange(1, DIM + 1, dtype=np.float32)),
        list(range(1, DIM + 1)),
    ],
    ids=["f16", "big-endian", "long", "strided", "reversed", "memoryview", "list"],
)
def test_a_vector_however_it_lies_in_memory(mem: Memory, vector: Any) -> None:
    mem.add("x", user_id="u", vector=vector)
    plain = np.arange(1, DIM + 1, dtype=np.float32)
    [hit] = mem.search(vector=plain, mode="dense", user_id="u")["results"]
    assert hit["score"] == pytest.approx(1.0, abs=1e-6)


@pytest.fixture
def mine(path: Path) -> Iterator[Memory]:
    with Memory(path, embedder="static", user_id="u") as memory:
        yield memory


class Mute:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise LookupError("never shown")

    __str__ = __repr__


def deep() -> dict[str, Any]:
    """Deeper than Python shows."""
    made: dict[str, Any] = {}
    for _ in range(5_000):
        made = {"a": made}
    return made


WRONG = {
    "an array": np.arange(3),
    "an array without a dimension": np.array("x"),
    "a deep dictionary": deep(),
    "mute": Mute(),
    "long": "L" * 100_000,
    "long bytes": b"L" * 100_000,
    "a number": 10**6_000,
}

#: Calls that a value of another kind, or a text as long as that, is never right for.
CALLS: dict[str, Callable[[Memory, Any], object]] = {
    "search as_of": lambda m, x: m.search("tea", as_of=x),
    "search asked_at": lambda m, x: m.search("tea", asked_at=x),
    "search mode": lambda m, x: m.search("tea", mode=x),
    "search mode, explained": lambda m, x: m.search("tea", mode=x, explain=True),
    "search cursor": lambda m, x: m.search("tea", cursor=x),
    "search top_k": lambda m, x: m.search("tea", top_k=x),
    "search threshold": lambda m, x: m.search("tea", threshold=x),
    "search vector": lambda m, x: m.search("tea", vector=x),
    "search filters": lambda m, x: m.search("tea", filters=x),
    "search scope": lambda m, x: m.search("tea", user_id=x),
    "search unscoped": lambda m, x: m.search("tea", unscoped=x),
    "search_batch cursors": lambda m, x: m.search_batch(["tea"], cursors=x),
    "search_batch cursor": lambda m, x: m.search_batch(["tea"], cursors=[x]),
    "context order": lambda m, x: m.context("tea", max_tokens=9, order=x),
    "context max_tokens": lambda m, x: m.context("tea", max_tokens=x),
    "context template": lambda m, x: m.context("tea", max_tokens=9, template=x),
    "context template part": lambda m, x: m.context("tea", max_tokens=9, template={"x": x, "y": x}),
    "context tokenizer": lambda m, x: m.context("tea", max_tokens=9, tokenizer=x),
    "get_all order": lambda m, x: m.get_all(order=x),
    "get_all cursor": lambda m, x: m.get_all(cursor=x),
    "get_all limit": lambda m, x: m.get_all(limit=x),
    "get_batch": lambda m, x: m.get_batch(x),
    "delete": lambda m, x: m.delete(x),
    "delete_batch": lambda m, x: m.delete_batch(x),
    "purge": lambda m, x: m.purge(x),
    "update": lambda m, x: m.update(x, text="t"),
    "update expiration_date": lambda m, x: m.update(ID, expiration_date=x),
    "update timestamp": lambda m, x: m.update(ID, timestamp=x),
    "update metadata": lambda m, x: m.update(ID, metadata=x),
    "update_batch": lambda m, x: m.update_batch(x),
    "update_batch item": lambda m, x: m.update_batch([x]),
    "update_batch id": lambda m, x: m.update_batch([{"id": x}]),
    "add expiration_date": lambda m, x: m.add("t", expiration_date=x),
    "add timestamp": lambda m, x: m.add("t", timestamp=x),
    "add memory_type": lambda m, x: m.add("t", memory_type=x),
    "add importance": lambda m, x: m.add("t", importance=x),
    "add level": lambda m, x: m.add("t", level=x),
    "add role": lambda m, x: m.add({"content": "t", "role": x}),
    "add key": lambda m, x: m.add("t", idempotency_key=x),
    "add scope": lambda m, x: m.add("t", run_id=x),
    "add infer": lambda m, x: m.add("t", infer=x),
    "add metadata": lambda m, x: m.add("t", metadata={"a": {"b": x}}),
    "add_batch": lambda m, x: m.add_batch(x),
    "add_batch expiration_date": lambda m, x: m.add_batch([{"content": "t", "expiration_date": x}]),
    "add_batch id": lambda m, x: m.add_batch([{"content": "t", "id": x}]),
    "add_batch dedupe": lambda m, x: m.add_batch(["t"], dedupe=x),
    "add_batch vectors": lambda m, x: m.add_batch(["t", "u"], vectors=x),
    "filter": lambda m, x: m.count(filters={"timestamp": x}),
    "filter operand": lambda m, x: m.count(filters={"id": {"in": [x]}}),
    "filter list": lambda m, x: m.count(filters={"role": {"in": x}}),
    "filter exists": lambda m, x: m.count(filters={"metadata.x": {"exists": x}}),
    "filter nodes": lambda m, x: m.count(filters={"AND": x}),
    "filter node": lambda m, x: m.count(filters={"AND": [x]}),
    "config": lambda _, x: Memory(":memory:", config=x),
    "config section": lambda _, x: Memory(":memory:", config={"store": x}),
    "config choice": lambda _, x: Memory(":memory:", config={"store": {"durability": x}}),
    "config number": lambda _, x: Memory(":memory:", config={"ranking": {"window": x}}),
    "config flag": lambda _, x: Memory(":memory:", config={"telemetry": {"enabled": x}}),
    "path": lambda _, x: Memory(x),
    "backup": lambda m, x: m.backup(x),
}

RIGHT = {("add metadata", "long"), ("context max_tokens", "a number")}
ID = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_kind_is_named_in_few_words(mine: Memory, call: str) -> None:
    for name, value in WRONG.items():
        if (call, name) in RIGHT:
            continue
        with pytest.raises(AgentMemError) as caught:
            CALLS[call](mine, value)
        assert len(str(caught.value)) < 700, name


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_an_id_that_only_reads(mine: Memory, value: Any) -> None:
    if isinstance(value, str):
        assert mine.get(value) is None
        return
    for call in (mine.get, mine.history):
        with pytest.raises(InvalidInputError, match="a memory id is a string, not") as caught:
            call(value)
        assert len(str(caught.value)) < 200


def test_a_name_of_the_callers_own_is_not_shown_in_full(mine: Memory) -> None:
    name = "n" * 100_000
    calls: list[Callable[[], object]] = [
        lambda: mine.count(filters={name: 1}),
        lambda: mine.count(filters={f"metadata.{name}": [1]}),
        lambda: mine.count(filters={"role": {name: 1}}),
        lambda: mine.add("t", metadata={name: {name: math.nan}}),
        lambda: mine.add_batch([{"content": "t", name: 1}]),
        lambda: mine.update_batch([{"id": ID, name: 1}]),
        lambda: mine.context("t", max_tokens=9, template={name: "x"}),
        lambda: mine.context("t", max_tokens=9, template={"line": "{" + name + "}"}),
        lambda: Memory(":memory:", config={name: 1}),
        lambda: Memory(":memory:", config={"store": {name: 1}}),
        lambda: Memory(":memory:", embedder=name),
        lambda: Memory(":memory:", embedder="~nobody-of-this-name/model"),
    ]
    for i, call in enumerate(calls):
        with pytest.raises(AgentMemError) as caught:
            call()
        assert len(str(caught.value)) < 700, i
