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
