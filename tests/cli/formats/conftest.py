"""Readers run on files made by each test."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmem.cli.formats import Entry, ReadOptions, Source, read

Write = Callable[..., str]
Read = Callable[..., list[Entry]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(content, name="file")``: text as it is, bytes as they are, anything else as JSON;
    gzip if the name says so.  Returns the path."""

    def write(content: Any, name: str = "file.txt") -> str:
        if not isinstance(content, str | bytes):
            content = json.dumps(content, indent=1)
        data = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return str(path)

    return write


@pytest.fixture
def entries(write: Write) -> Read:
    """``entries(format, content, **options)``: everything that the reader yields."""

    def entries(layout: str, content: Any, name: str = "file.txt", **options: Any) -> list[Entry]:
        return list(read(Source(write(content, name)), layout, ReadOptions(**options)))

    return entries


@pytest.fixture
def items(entries: Read) -> Callable[..., list[dict[str, Any]]]:
    """The items among them."""

    def items(*args: Any, **options: Any) -> list[dict[str, Any]]:
        return [entry.item for entry in entries(*args, **options) if entry.item is not None]

    return items
