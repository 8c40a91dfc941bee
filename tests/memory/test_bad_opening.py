"""A path, a setting or an embedder that cannot be used: a clear error, and nothing is made."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import (
    ConfigError,
    InvalidInputError,
    LimitError,
    Memory,
    ModelMismatchError,
    ModelNotFoundError,
    StorePathError,
    VectorError,
)
from agentmem.config import Config, RankingConfig


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


def test_a_table_in_memory_is_none(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'memory://x' .* ends with its process"):
        Memory(path, embedder="static", config={"projection": {"uri": "memory://x"}})
    assert not path.exists()


def test_the_largest_batches_can_be_drained(tmp_path: Path) -> None:
    settings = {"batch_rows": 1_000_000_000, "batch_bytes": 1 << 40}
    with Memory(tmp_path, embedder="static", config={"projection": settings}) as memory:
        memory.add("text", user_id="u")
        memory.flush()
        assert memory.stats()["projection"]["tail"] == 0
