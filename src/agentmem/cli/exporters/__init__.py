"""What ``agentmem export`` writes: rows of a store, and one module per layout."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO

from agentmem.cli.exporters.rows import Export, open_export
from agentmem.errors import InvalidInputError

__all__ = ["Export", "layout_of", "open_export", "target", "write"]


def layout_of(file: str) -> str:
    """The layout that the name of a file suggests."""
    name = file.lower()
    if name.endswith((".parquet", ".pq")):
        return "parquet"
    return "archive" if name.endswith(".archive") else "jsonl"


def write(layout: str, export: Export, stream: IO[bytes], progress: Callable[[int], None]) -> int:
    """Write all rows; returns how many.  ``progress`` hears the number after each page."""
    module = import_module(f"agentmem.cli.exporters.{layout}")
    written: int = module.write(export, stream, progress)
    return written


@contextmanager
def target(file: str, *, force: bool) -> Iterator[IO[bytes]]:
    """The stream to write to.  A file is written beside its name and moved there when whole.

    Raises:
        InvalidInputError: the file exists or is a folder, or its folder does not exist.
    """
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file).resolve()  # a link stays a link: what it points to is written
    if path.is_dir():
        raise InvalidInputError(f"{file} is a folder; name a file in it")
    if path.exists() and not path.is_file():  # a pipe or device is written to, never replaced
        with path.open("wb") as stream:
            yield stream
        return
    if path.exists() and not force:
        raise InvalidInputError(f"{file} exists; give --force to write over it")
    if not path.parent.is_dir():
        raise InvalidInputError(f"{path.parent} is no folder; make it first")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:  # Ctrl-C, too, must leave no half-written file; it is raised again
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
