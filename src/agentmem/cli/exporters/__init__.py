"""What ``agentmem export`` writes: rows of a store, and one module per layout."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import PurePath
from typing import IO

from agentmem.cli.exporters.rows import Export, open_export
from agentmem.cli.exporters.target import target
from agentmem.errors import InvalidInputError

__all__ = ["Export", "layout_of", "open_export", "target", "write"]


#: Layouts by the endings of names.
_LAYOUTS = {
    "": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".archive": "archive",
}


def layout_of(file: str) -> str:
    """The layout that the name of a file says; JSONL where it has no ending.

    Raises:
        InvalidInputError: its ending is that of something else.
    """
    ending = PurePath(file).suffix.lower()
    if ending not in _LAYOUTS:
        known = ", ".join(filter(None, _LAYOUTS))
        raise InvalidInputError(
            f"{file}: there is no layout for names in {ending}, but for {known}; with --format any"
            " name will do"
        )
    return _LAYOUTS[ending]


def write(layout: str, export: Export, stream: IO[bytes], progress: Callable[[int], None]) -> int:
    """Write all rows; returns how many.  ``progress`` hears the number after each page."""
    module = import_module(f"agentmem.cli.exporters.{layout}")
    written: int = module.write(export, stream, progress)
    return written
