"""Bad input: a clear error that names the value and the remedy, and an untouched store."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agentmem
from agentmem import (
    AsyncMemory,
    ClosedError,
    ConfigError,
    FilterError,
    InvalidInputError,
    LimitError,
    Memory,
    ModelMismatchError,
    ModelNotFoundError,
    NotFoundError,
    ScopeError,
    StorePathError,
    UnsupportedError,
    VectorError,
)
from agentmem.config import Config, RankingConfig

DIM = 256
MISSING = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def full(mem: Memory) -> Iterator[Memory]:
    """A store with one memory, which must be just the same afterwards."""
    mem.add("the only one", user_id="u", metadata={"n": 1})
    before = mem.get_all(unscoped=True)
    seq = mem.stats()["store"]["seq"]
    yield mem
    assert mem.get_all(unscoped=True) == before
    assert mem.stats()["store"]["seq"] == seq
    assert mem.check()["problems"] == []


def vec(value: float) -> np.ndarray:
    vector = np.full(DIM, 0.5)
    vector[7] = value
    return vector


BAD_ADDS: dict[str, tuple[Callable[[Memory], object], type[Exception], str]] = {
    "empty text": (lambda m: m.add("", user_id="u"), InvalidInputError, "empty"),
    "blank text": (lambda m: m.add(" \n\t", user_id="u"), InvalidInputError, "empty"),
    "10 MB text": (lambda m: m.add("word " * 2_000_000, user_id="u"), LimitError, "max_content_b"),
    "lone surrogate": (
        lambda m: m.add("bad \ud800 text", user_id="u"),
        InvalidInputError,
        "surrogate.*position 4",
    ),
    "NUL": (lambda m: m.add("a\0b", user_id="u"), InvalidInputError, "NUL.*position 1"),
    "not a text": (lambda m: m.add(b"bytes", user_id="u"), InvalidInputError, "bytes"),
    "no messages": (lambda m: m.add([], user_id="u"), InvalidInputError, "empty list"),
    "message without content": (
        lambda m: m.add({"role": "user"}, user_id="u"),
        InvalidInputError,
        "no content",
    ),
    "unknown message key": (
        lambda m: m.add({"content": "x", "metadta": {}}, user_id="u"),
        InvalidInputError,
        "metadta",
    ),
    "unknown item key": (
        lambda m: m.add_batch([{"content": "x", "user": "u"}], user_id="u"),
        InvalidInputError,
        r"items\[0\].*'user'",
    ),
    "one bad item of many": (
        lambda m: m.add_batch(["good"] * 20 + [""], user_id="u"),
        InvalidInputError,
        r"items\[20\]",
    ),
    "a string as a batch": (lambda m: m.add_batch("text", user_id="u"), InvalidInputError, "list"),
    "no scope": (lambda m: m.add("text"), ScopeError, "user_id="),
    "no scope in an item": (lambda m: m.add_batch(["text"]), ScopeError, "user_id="),
    "empty scope": (lambda m: m.add("text", user_id=" "), ScopeError, "user_id"),
    "scope of another type": (lambda m: m.add("text", user_id=7), ScopeError, "7"),
    "long scope": (lambda m: m.add("text", user_id="x" * 513), LimitError, "max_scope_bytes"),
    "vector of another size": (
        lambda m: m.add("text", user_id="u", vector=[1.0, 2.0]),
        VectorError,
        r"\(2,\).*256|256",
    ),
    "vectors for fewer texts": (
        lambda m: m.add_batch(["a", "b"], user_id="u", vectors=np.ones((1, DIM))),
        VectorError,
        r"\(2, 256\).*\(1, 256\)",
    ),
    "NaN": (lambda m: m.add("text", user_id="u", vector=vec(math.nan)), VectorError, "nan.*7"),
    "infinity": (lambda m: m.add("text", user_id="u", vector=vec(-math.inf)), VectorError, "inf"),
    "zero vector": (
        lambda m: m.add("text", user_id="u", vector=np.zeros(DIM)),
        VectorError,
        "zero",
    ),
    "vector of words": (
        lambda m: m.add("text", user_id="u", vector=["x"] * DIM),
        VectorError,
        "numbers",
    ),
    "masked vectors": (
        lambda m: m.add_batch(
            ["a"], user_id="u", vectors=np.ma.masked_less(np.full((1, DIM), 0.5), 1.0)
        ),
        VectorError,
        "masked",
    ),
    "a masked vector": (
        lambda m: m.add("a", user_id="u", vector=np.ma.masked_less(np.full(DIM, 0.5), 1.0)),
        VectorError,
        "masked",
    ),
    "ragged vectors": (
        lambda m: m.add_batch(["a", "b"], user_id="u", vectors=[[1.0], [1.0, 2.0]]),
        VectorError,
        "ragged|shape",
    ),
    "memory type": (lambda m: m.add("x", user_id="u", memory_type="big"), InvalidInputError, "big"),
    "importance": (lambda m: m.add("x", user_id="u", importance=2), InvalidInputError, "0 to 1"),
    "timestamp": (lambda m: m.add("x", user_id="u", timestamp="soon"), InvalidInputError, "soon"),
    "far timestamp": (lambda m: m.add("x", user_id="u", timestamp=1e15), InvalidInputError, "year"),
    "early timestamp": (
        lambda m: m.add("x", user_id="u", timestamp="0001-01-01T00:00:00+14:00"),
        InvalidInputError,
        "year",
    ),
    "late expiration": (
        lambda m: m.add("x", user_id="u", expiration_date="9999-12-31T23:59:59-14:00"),
        InvalidInputError,
        "year",
    ),
    "huge timestamp": (
        lambda m: m.add("x", user_id="u", timestamp=10**5000),
        InvalidInputError,
        "",
    ),
    "huge integer": (
        lambda m: m.add("x", user_id="u", metadata={"n": 10**5000}),
        InvalidInputError,
        "640 digits",
    ),
    "huge level": (lambda m: m.add("x", user_id="u", level=2**70), InvalidInputError, "64 bits"),
    "a word for a flag": (
        lambda m: m.add_batch(["x"], user_id="u", dedupe="no"),
        InvalidInputError,
        "dedupe",
    ),
    "an endless batch": (
        lambda m: m.add_batch(iter(lambda: "x", None), user_id="u"),
        LimitError,
        "max_batch",
    ),
    "metadata not a dict": (
        lambda m: m.add("x", user_id="u", metadata=[1]),
        InvalidInputError,
        "dictionary",
    ),
    "metadata NaN": (
        lambda m: m.add("x", user_id="u", metadata={"a": {"b": math.nan}}),
        InvalidInputError,
        r"metadata\.a\.b",
    ),
    "metadata object": (
        lambda m: m.add("x", user_id="u", metadata={"a": object()}),
        InvalidInputError,
        "JSON",
    ),
    "metadata too large": (
        lambda m: m.add("x", user_id="u", metadata={"a": "x" * 300_000}),
        LimitError,
        "max_metadata_bytes",
    ),
    "infer": (lambda m: m.add("x", user_id="u", infer=True), UnsupportedError, "language model"),
    "not a UUID": (
        lambda m: m.add_batch([{"content": "x", "id": "seven"}], user_id="u"),
        InvalidInputError,
        "seven.*UUID",
    ),
    "too many items": (
        lambda m: m.add_batch(["x"] * 100_001, user_id="u"),
        LimitError,
        "max_batch",
    ),
}


@pytest.mark.parametrize("case", BAD_ADDS)
def test_adding(full: Memory, case: str) -> None:
    call, error, words = BAD_ADDS[case]
    with pytest.raises(error, match=f"(?s){words}"):
        call(full)


@pytest.mark.parametrize(
    ("call", "begins"),
    [
        (lambda m: m.add(" "), "messages is empty"),
        (lambda m: m.add({"role": "user", "content": 3}), "messages content must be a string"),
        (lambda m: m.add({"role": " ", "content": "x"}), "role is empty"),
        (lambda m: m.add(["x", {"content": ""}]), "messages[1] content is empty"),
        (lambda m: m.add(["x", {"content": "y", "role": ""}]), "messages[1]: role is empty"),
        (lambda m: m.add("x", vector=[1.0]), "vector must have shape (1, 256), not (1,)"),
        (lambda m: m.add("x", vector=vec(math.nan)), "vector must be finite, and has nan"),
        (lambda m: m.add("x", vector=np.zeros(DIM)), "vector must not be a zero vector"),
        (lambda m: m.add(["x", "y"], vector=[1.0]), "vector must have shape (2, 256), not (1,)"),
        (lambda m: m.add_batch(["x", "y"], vectors=[1.0]), "vectors must have shape (2, 256)"),
        (lambda m: m.add_batch([" "]), "items[0] is empty"),
        (lambda m: m.add_batch([{"content": "x", "vector": [1.0]}]), "items[0]: vector must"),
        (lambda m: m.update(MISSING, " "), "text is empty"),
        (lambda m: m.update(MISSING, importance=7), "importance must be"),
        (lambda m: m.update_batch([{"id": MISSING, "text": " "}]), "items[0]: text is empty"),
    ],
)
def test_an_error_names_what_the_caller_gave(
    tmp_path: Path, call: Callable[[Memory], object], begins: str
) -> None:
    with Memory(tmp_path / "m", embedder="static", user_id="u") as memory:
        with pytest.raises(InvalidInputError) as caught:
            call(memory)
        assert str(caught.value).startswith(begins)


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
    assert issubclass(agentmem.StoreTimeoutError, TimeoutError)
    assert issubclass(StorePathError, OSError)
    assert "id" in str(NotFoundError("no memory has the id x"))


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a store")
    with pytest.raises(StorePathError, match=r"notes\.txt"):
        Memory(file, embedder="static")
    assert file.read_text() == "not a store"


@pytest.mark.parametrize("path", ["", " ", "a\0b", "\ud800", None, 7, b"bytes"])
def test_a_path_that_names_nothing(path: object) -> None:
    with pytest.raises(StorePathError, match="path"):
        Memory(path, embedder="static")


@pytest.mark.parametrize(
    "path", ["s3://bucket/x", "gs://b", "file:///srv/mem", "az://c/x?sig=secret", Path("s3://b/x")]
)
def test_a_uri_is_no_folder(path: object, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorePathError, match=r"is a URI.*'projection': \{'uri'") as caught:
        Memory(path, embedder="static")
    assert "secret" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_config_of_another_type(path: Path) -> None:
    with pytest.raises(ConfigError, match="dictionary"):
        Memory(path, config=3)


def test_a_store_of_another_model(path: Path) -> None:
    class Tiny:
        dim = 4
        model_id = "tiny-4"

        def embed(self, texts: list[str]) -> np.ndarray:
            return np.ones((len(texts), 4), dtype=np.float32)

    with Memory(path, embedder=Tiny()) as mem:
        mem.add("made with another model", user_id="u")
    with pytest.raises(ModelMismatchError, match="agentmem reembed"):
        Memory(path, embedder="static")
    with Memory(path, embedder=Tiny()) as mem:
        assert mem.count(user_id="u") == 1


def test_an_unknown_embedder(path: Path) -> None:
    for name in ("no-such-model", "", " "):
        with pytest.raises(ModelNotFoundError, match=f"{name!r}.*minilm"):
            Memory(path, embedder=name)
    assert not path.exists()


def test_unknown_settings(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"limits\.max_contents"):
        Memory(path, config={"limits": {"max_contents": 1}})
    with pytest.raises(ConfigError, match=r"embedding\.sessions.*256"):
        Memory(path, config={"embedding": {"sessions": 10**9}})
    with pytest.raises(ConfigError, match=r"store\.lock_timeout must be finite"):
        Memory(path, config={"store": {"lock_timeout": math.inf}})
    for section, name in (("store", "lock_timeout"), ("write", "queue_timeout")):
        with pytest.raises(ConfigError, match=rf"{section}\.{name} must be at most 1,000,000 s"):
            Memory(path, config={section: {name: 10**400}})
    Memory(":memory:", config={"ranking": {"recency_days": 10**400}}).close()
    with pytest.raises(ConfigError, match=r"ranking\.k1 must be from 0 to 1,000, not 1e\+30"):
        Memory(path, config={"ranking": {"k1": 1e30}})
    with pytest.raises(ConfigError, match="'path'"):
        Memory.from_config({"embedder": "static"})
    with pytest.raises(ConfigError, match="colour"):
        Memory.from_config({"path": str(path), "colour": "red"})
    assert not path.exists()


def test_a_search_with_the_most_that_ranking_may_be_set_to() -> None:
    most = {name: 1e6 for name in vars(RankingConfig) if name.endswith("_weight")}
    ranking = {**most, "k1": 1000.0, "b": 1.0, "window": 100, "recency_days": 1e-6}
    with Memory(":memory:", embedder="static", config={"ranking": ranking}) as mem:
        mem.add(["I like tea", "tea on 2025-03-14", "nothing"], user_id="u")
        found = mem.search("tea on 2025-03-14", user_id="u")["results"]
    assert found[0]["memory"] == "tea on 2025-03-14"
    assert all(0 <= item["score"] <= 1 for item in found)


def test_limits_can_be_set(path: Path) -> None:
    config = {"limits": {"max_content_bytes": 10}}
    with Memory(path, embedder="static", config=config) as mem:
        mem.add("short", user_id="u")
        with pytest.raises(LimitError, match="10"):
            mem.add("much longer", user_id="u")


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


def test_an_embedder_that_gives_nonsense(path: Path) -> None:
    class Wrong:
        dim = 4

        def embed(self, texts: list[str]) -> np.ndarray:
            return np.full((len(texts), 4), np.nan, dtype=np.float32)

    with Memory(path, embedder=Wrong()) as mem:
        with pytest.raises(VectorError, match="Wrong"):
            mem.add("x", user_id="u")
        assert mem.count(user_id="u") == 0
    with pytest.raises(InvalidInputError, match="embed"):
        Memory(path, embedder=object())


def test_metadata_is_not_kept_by_reference(mem: Memory) -> None:
    given = {"a": [1]}
    [result] = mem.add("x", user_id="u", metadata=given)["results"]
    given["a"].append(2)
    assert mem.get(result["id"])["metadata"] == {"a": [1]}
    assert json.dumps(mem.get(result["id"]))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("batch_rows", 0, "from 1 to 1,000,000,000, not 0"),
        ("batch_rows", 2**63, "from 1 to"),
        ("batch_bytes", 0, "from 1 to"),
        ("batch_bytes", 2**63, "from 1 to"),
        ("index_partitions", 2**32, "from 0 to 1,000,000"),
        ("index_m", 3, "from 4 to 1,000"),
        ("index_m", 2**32, "from 4 to 1,000"),
        ("index_m", 101, r"index_ef must be at least index_m \(101\)"),
        ("index_ef", 15, r"at least index_m \(16\)"),
        ("index_ef", 2**32, "from 4 to 100,000"),
    ],
)
def test_settings_of_the_projection_have_bounds(name: str, value: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Config.from_dict({"projection": {name: value}})


def test_the_largest_batches_can_be_drained(tmp_path: Path) -> None:
    settings = {"batch_rows": 1_000_000_000, "batch_bytes": 1 << 40}
    with Memory(tmp_path, embedder="static", config={"projection": settings}) as memory:
        memory.add("text", user_id="u")
        memory.flush()
        assert memory.stats()["projection"]["tail"] == 0
