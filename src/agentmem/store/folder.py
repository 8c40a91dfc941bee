"""The folder of a store: made, looked at, and refused when it cannot be one."""

from __future__ import annotations

import os
from pathlib import Path

from agentmem.disk import sync_path
from agentmem.errors import StorePathError
from agentmem.store.faults import path_error
from agentmem.store.lock import WriteLock

__all__ = ["is_made", "make_folder", "open_lock"]

#: Bytes 18 and 19 of a database file are 2 once it has a write-ahead log (SQLite file format).
_WAL_MARK = slice(18, 20)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, absolute (so that a later chdir does not move the store).

    Raises:
        StorePathError: it is a file, or cannot be made.
    """
    folder = Path(os.path.abspath(os.fspath(path)))
    if folder.exists() and not folder.is_dir():
        raise StorePathError(
            f"{str(folder)!r} is a file; a store is a folder: give the path of one, or of "
            "nothing yet"
        )
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:  # SQLite syncs what is in the folder, nobody else the folder's name
            sync_path(made.parent)
    except OSError as error:
        raise path_error(error, folder) from error
    return folder


def open_lock(folder: Path) -> WriteLock:
    """
    Raises:
        StorePathError: the lock files cannot be made in ``folder``.
    """
    try:
        return WriteLock(folder)
    except OSError as error:
        raise path_error(error, folder) from error


def is_made(database: Path) -> bool:
    """Whether the file is past the steps that only one process may take at a time.

    Switching a new database to a write-ahead log needs it alone, and SQLite does not wait then.
    """
    try:
        with database.open("rb") as file:
            return file.read(20)[_WAL_MARK] != b"\1\1" and database.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise path_error(error, database.parent) from error
