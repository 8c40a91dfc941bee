"""The benchmarks can be loaded, and their data is the same everywhere."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Load = Callable[[str], Any]

FOLDER = Path(__file__).parents[1] / "asv_benchmarks"
NAMES = sorted(p.stem for p in (FOLDER / "benchmarks").glob("*.py") if p.stem != "__init__")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """The package of benchmarks, importable for one test."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "benchmarks":
            del sys.modules[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_file_defines_benchmarks(load: Load, name: str) -> None:
    module = load(f"benchmarks.{name}")
    if name == "common":
        return
    prefixes = ("time_", "track_", "peakmem_", "mem_", "timeraw_")
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    found = [n for owner in (module, *classes) for n in vars(owner) if n.startswith(prefixes)]
    assert found, f"asv finds nothing to run in {name}.py"


def test_the_texts_are_many_real_and_repeatable(load: Load) -> None:
    common = load("benchmarks.common")
    texts = common.texts(2000)
    assert texts == common.texts(2000)
    assert len(set(texts)) == 2000
    assert len(common.sentences()) > 300
    assert all(any(sentence in text for sentence in common.sentences()) for text in texts[:20])


def test_the_vectors_are_unit_vectors(load: Load) -> None:
    import numpy as np

    made = load("benchmarks.common").vectors(100, 64)
    assert made.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
