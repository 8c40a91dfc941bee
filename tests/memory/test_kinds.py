"""Values that are not quite of the kind expected: subclasses, enumerations, NumPy's."""

from __future__ import annotations

import enum
from datetime import date
from typing import Any

import numpy as np
import pytest

from agentmem import InvalidInputError, Memory

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
