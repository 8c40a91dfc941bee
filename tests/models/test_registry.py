"""Names, paths and ids: known at once, without files and without heavy imports."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentmem.errors import ModelNotFoundError
from agentmem.models import names, registry, resolve
from agentmem.models.architecture import Architecture

HEAVY = ("numpy", "onnx", "onnxruntime", "tokenizers", "safetensors", "huggingface_hub", "rich")


def test_builtin_models() -> None:
    assert names() == ["minilm", "minilm-fp32", "static", "bge-small"]
    dims = {name: resolve(name).dim for name in names()}
    assert dims == {"minilm": 384, "minilm-fp32": 384, "static": 256, "bge-small": 384}
    assert {name: resolve(name).kind for name in names()} == {
        "minilm": "onnx",
        "minilm-fp32": "onnx",
        "static": "static",
        "bge-small": "onnx",
    }


def test_bge_reads_the_first_token_and_prefixes_queries() -> None:
    spec = resolve("bge-small")
    assert spec.pooling == "cls"
    assert spec.query_prefix == "Represent this sentence for searching relevant passages: "
    assert resolve("minilm").query_prefix == ""


def test_ids_are_distinct_and_fixed() -> None:
    """A changed id orphans every stored vector, so it must be meant: raise the recipe's
    version, say so in the changelog, and write the new ids here."""
    ids = {name: resolve(name).model_id for name in names()}
    assert ids == {
        "minilm": "80316e1273037ff609d74ec69699bcd2",
        "minilm-fp32": "12aab60361bab7c6df51bdc759044504",
        "static": "9c40d6b7511406f2f431e2f15ffbd994",
        "bge-small": "042ca293ecce1cbfb76075fe8de95d08",
    }


def test_the_id_follows_everything_a_vector_depends_on() -> None:
    sha = {"model.safetensors": "a" * 64, "tokenizer.json": "b" * 64}
    ids = {
        registry.model_id("fp32", sha),
        registry.model_id("int8", sha),
        registry.model_id("int8", sha, b"ranges"),
        registry.model_id("int8", sha, b"other ranges"),
        registry.model_id("int8", {**sha, "tokenizer.json": "c" * 64}, b"ranges"),
        registry.model_id("int8", {**sha, "model.safetensors": "c" * 64}, b"ranges"),
    }
    assert len(ids) == 6
    assert all(len(i) == 32 for i in ids)


def test_resolving_is_quick_and_imports_nothing_heavy() -> None:
    code = f"""
import sys
from agentmem.models import names, resolve, catalogue
for name in names():
    resolve(name)
loaded = [m for m in {HEAVY!r} if m in sys.modules]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    registry._builtin.cache_clear()
    best = min(_seconds(lambda: resolve("minilm")) for _ in range(5))
    assert best < 0.005


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ModelNotFoundError, match=r"'minlm'.*minilm, minilm-fp32, static"):
        resolve("minlm")


def test_a_builtin_name_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "static").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("static").source is registry.MINILM


@pytest.mark.parametrize("name", ["minilm", "bge-small"])
def test_published_files_are_pinned(name: str) -> None:
    source = resolve(name).source
    assert source is not None
    assert set(source.sha256) == set(source.sizes) == {"model.safetensors", "tokenizer.json"}
    assert all(len(digest) == 64 for digest in source.sha256.values())
    assert isinstance(source.architecture, Architecture)
