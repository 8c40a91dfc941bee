"""What every test finds: clean settings, a store of its own, the models this machine has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agentmem import Memory

#: Settings that say where models are and which kernels run; a test run may choose them.
_KEPT = {"AGENTMEM_CACHE", "AGENTMEM_MODELS", "AGENTMEM_OFFLINE", "AGENTMEM_SIMD"}

# Times on a busy machine say nothing about a property, and a failure must come back the same.
hypothesis.settings.register_profile("agentmem", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("agentmem")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take hours, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes hours; run with --long"))


@pytest.fixture(autouse=True)
def _clean_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's shell must not decide a test."""
    for name in list(os.environ):
        if name.startswith("AGENTMEM_") and name not in _KEPT:
            monkeypatch.delenv(name)


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    """A folder for a store, not made yet."""
    return tmp_path / "store"


@pytest.fixture
def memory(store_path: Path) -> Iterator[Memory]:
    """An empty store with the quickest real embedder."""
    from agentmem import Memory

    with Memory(store_path, embedder="static") as opened:
        yield opened
