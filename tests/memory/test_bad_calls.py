"""Bad input to the other calls: a clear error that names the value, and an untouched store."""

from __future__ import annotations

import asyncio
import itertools
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmem import (
    AsyncMemory,
    ClosedError,
    FilterError,
    InvalidInputError,
    LimitError,
    Memory,
    NotFoundError,
    ScopeError,
    StorePathError,
    StoreTimeoutError,
    VectorError,
)

DIM = 256
MISSING = "01890a5d-ac96-774b-bcce-b302099a8057"


BAD_CALLS: dict[str, tuple[Callable[[Memory], object], type[Exception], str]] = {
    "search without scope": (lambda m: m.search("x"), ScopeError, "unscoped=True"),
    "get_all without scope": (lambda m: m.get_all(), ScopeError, "unscoped=True"),
    "count without scope": (lambda m: m.count(), ScopeError, "unscoped=True"),
    "delete_all without scope": (lambda m: m.delete_all(), ScopeError, "user_id="),
    "purge without scope": (lambda m: m.purge(), ScopeError, "user_id="),
    "scoped and unscoped": (
        lambda m: m.search("x", user_id="u", unscoped=True),
        ScopeError,
        "unscoped",
    ),
    "purge of None": (lambda m: m.purge(None, user_id="u"), ScopeError, "not both"),
    "purge of a lost id": (lambda m: m.purge({}.get("id")), InvalidInputError, "None"),
    "a word for unscoped": (
        lambda m: m.search("x", unscoped="no"),
        InvalidInputError,
        "True or False",
    ),
    "a word for explain": (
        lambda m: m.search("x", user_id="u", explain="no"),
        InvalidInputError,
        "explain",
    ),
    "endless ids": (lambda m: m.get_batch(iter(lambda: MISSING, 0)), LimitError, "max_batch"),
    "huge top_k": (lambda m: m.search("x", user_id="u", top_k=10**5000), LimitError, "max_top_k"),
    "empty query": (lambda m: m.search("", user_id="u"), InvalidInputError, "the query is"),
    "surrogate query": (lambda m: m.search("\udfff", user_id="u"), InvalidInputError, "surrogate"),
    "mode": (lambda m: m.search("x", user_id="u", mode="fuzzy"), InvalidInputError, "fuzzy"),
    "top_k of 0": (lambda m: m.search("x", user_id="u", top_k=0), InvalidInputError, "top_k"),
    "top_k too large": (lambda m: m.search("x", user_id="u", top_k=10**6), LimitError, "max_top_k"),
    "threshold": (
        lambda m: m.search("x", user_id="u", threshold=math.nan),
        InvalidInputError,
        "threshold",
    ),
    "query vector": (
        lambda m: m.search("x", user_id="u", vector=[0.0] * DIM),
        VectorError,
        "zero",
    ),
    "unknown operator": (
        lambda m: m.search("x", user_id="u", filters={"importance": {"gtt": 1}}),
        FilterError,
        "gtt",
    ),
    "unknown operator in get_all": (
        lambda m: m.get_all(user_id="u", filters={"metadata.a": {"like": 1}}),
        FilterError,
        "like",
    ),
    "unknown field": (
        lambda m: m.count(user_id="u", filters={"colour": "red"}),
        FilterError,
        r"metadata\.colour",
    ),
    "filters of another type": (
        lambda m: m.count(user_id="u", filters="x = 1"),
        FilterError,
        "dictionary",
    ),
    "limit": (lambda m: m.get_all(user_id="u", limit=0), InvalidInputError, "limit"),
    "order": (lambda m: m.get_all(user_id="u", order="size"), InvalidInputError, "size"),
    "cursor": (lambda m: m.get_all(user_id="u", cursor="rubbish"), InvalidInputError, "rubbish"),
    "a list as a cursor": (
        lambda m: m.get_all(user_id="u", cursor=[]),
        InvalidInputError,
        "cursor",
    ),
    "bytes as cursor": (
        lambda m: m.search("x", user_id="u", cursor=b"x"),
        InvalidInputError,
        "cursor b'x'",
    ),
    "a threshold beyond all": (
        lambda m: m.search("x", user_id="u", threshold=10**400),
        InvalidInputError,
        "finite number",
    ),
    "a surrogate in a filter's key": (
        lambda m: m.count(user_id="u", filters={"metadata.\ud800": 1}),
        FilterError,
        r"'metadata\.\\ud800'.*lone surrogate",
    ),
    "update a missing id": (lambda m: m.update(MISSING, "x"), NotFoundError, MISSING),
    "update nothing": (lambda m: m.update(MISSING), InvalidInputError, "nothing to change"),
    "update to nothing": (lambda m: m.update(MISSING, ""), InvalidInputError, "empty"),
    "delete a missing id": (lambda m: m.delete(MISSING), NotFoundError, MISSING),
    "delete an odd id": (lambda m: m.delete("nonsense"), NotFoundError, "nonsense"),
    "delete one missing of two": (
        lambda m: m.delete_batch([m.get_all(user_id="u")["results"][0]["id"], MISSING]),
        NotFoundError,
        MISSING,
    ),
    "purge a missing id": (lambda m: m.purge(MISSING), NotFoundError, MISSING),
    "ids as a string": (lambda m: m.delete_batch(MISSING), InvalidInputError, "list"),
    "id of another type": (lambda m: m.get(7), InvalidInputError, "7"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_other_calls(full: Memory, case: str) -> None:
    call, error, words = BAD_CALLS[case]
    with pytest.raises(error, match=f"(?s){words}"):
        call(full)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.add("x", user_id="u", usr="v"),
        lambda m: m.search("x", user_id="u", topk=3),
        lambda m: m.get_all(user_id="u", filter={}),
        lambda m: m.count(user="u"),
        lambda m: m.add_batch(["x"], user_id="u", limit=3),
    ],
)
def test_an_unknown_keyword_is_a_type_error(full: Memory, call: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"^Memory\.\w+\(\) got an unexpected keyword"):
        call(full)


def test_missing_ids_that_only_read(full: Memory) -> None:
    assert full.get(MISSING) is None
    assert full.get("nonsense") is None
    assert full.get_batch([MISSING, "nonsense"]) == [None, None]
    assert full.history(MISSING) == []


def test_errors_are_also_builtins() -> None:
    assert issubclass(NotFoundError, KeyError)
    assert issubclass(ScopeError, ValueError)
    assert issubclass(StoreTimeoutError, TimeoutError)
    assert issubclass(StorePathError, OSError)
    assert "id" in str(NotFoundError("no memory has the id x"))


def test_what_cannot_be_pickled_or_is_endless(mem: Memory) -> None:
    with pytest.raises(TypeError, match=r"Memory is open files.*open the folder again"):
        pickle.dumps(mem)
    endless = itertools.repeat("x")
    with pytest.raises(LimitError, match="max_batch"):
        mem.search_batch(endless, user_id="u")
    with pytest.raises(LimitError, match="max_batch"):
        mem.get_batch(endless)


def test_a_closed_memory(path: Path) -> None:
    mem = Memory(path, embedder="static")
    mem.close()
    mem.close()
    with pytest.raises(ClosedError, match="closed"):
        mem.add("x", user_id="u")
    with pytest.raises(ClosedError, match="closed"):
        mem.search("x", user_id="u")
    with pytest.raises(ClosedError, match="closed"), mem:
        pass
    with pytest.raises(ClosedError, match="closed"):
        asyncio.run(_enter(AsyncMemory(path, embedder="static")))


async def _enter(closed: AsyncMemory) -> None:
    await closed.close()
    async with closed:
        pass
