"""How far a table has followed the log, and of which life of the store.

The watermark lies beside the table in a small JSON file, replaced atomically after each commit
of the table and readable without lancedb.  It may be behind the table (a crash between the two:
the batch is applied again, which changes nothing), never ahead of it.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from agentmem.disk import sync_path
from agentmem.errors import StoreFullError, StorePathError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FORMAT", "Watermark", "load", "remove", "save"]

#: Layout of the table; a projection of another layout is rebuilt.
FORMAT = 2


@dataclass(frozen=True, slots=True)
class Watermark:
    """``(epoch, seq)`` and what is needed to tell that the table is still the one meant."""

    epoch: str  # of the store when the table was made
    uri: str  # the LanceDB database, as configured
    model_id: str  # of the vectors in it
    table: str  # its name; empty while no memory has ever been drained
    seq: int  # the last event applied
    version: int  # the table's own version after that event
    rows: int  # how many it then had
    dim: int  # of the vectors; 0 while there is no table
    erased: int = 0  # the event up to which nothing that was purged is in any file of it
    commits: int = 0  # of the table since it was last compacted
    format: int = FORMAT

    def at(self, **changes: int | str) -> Watermark:
        """A copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


def load(path: Path) -> Watermark | None:
    """The watermark stored at ``path``; None where there is none that can be understood.

    Raises:
        StorePathError: the file exists and cannot be read.
    """
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorePathError(
            f"cannot read {path}: {error.strerror}; check the permissions of the folder"
        ) from error
    try:
        values = json.loads(text)
    except ValueError:
        return None
    names = Watermark.__slots__
    if not isinstance(values, dict) or set(values) != set(names):
        return None
    if any(type(values[name]) is not (str if name in _TEXTS else int) for name in names):
        return None
    return Watermark(**values) if values["format"] == FORMAT else None


def save(path: Path, mark: Watermark) -> None:
    """Replace the watermark at ``path``: the old one or the new one survives a power cut.

    Raises:
        StoreFullError: the disk is full.
        StorePathError: the folder is gone or cannot be written.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(exist_ok=True)
        with open(fresh, "wb") as file:
            file.write(json.dumps(asdict(mark)).encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
        sync_path(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error


def remove(path: Path) -> None:
    """Delete the watermark at ``path``, if there is one.

    Raises:
        StorePathError: it cannot be deleted.
    """
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        return
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> StoreFullError | StorePathError:
    """The error of our tree for a failed write to ``path``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFullError(
            f"the disk is full: cannot write {path}; free some space and try again,"
            " nothing committed was lost"
        )
    return StorePathError(
        f"cannot write {path}: {error.strerror or error}; check that the folder exists and is"
        " writable"
    )


_TEXTS = ("epoch", "uri", "model_id", "table")
