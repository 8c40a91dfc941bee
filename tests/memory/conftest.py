"""Fixtures for tests of the public face: real stores, the real static model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmem import Memory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mem"


@pytest.fixture
def mem(path: Path) -> Iterator[Memory]:
    with Memory(path, embedder="static") as memory:
        yield memory


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
