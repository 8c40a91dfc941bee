"""The folder of a store: made, looked at, and refused when it cannot be one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentmem.disk import sync_path
from agentmem.errors import StoreCorruptError, StorePathError
from agentmem.store.faults import path_error
from agentmem.store.lock import WriteLock

__all__ = ["FileIdentity", "is_made", "make_folder", "open_lock", "require_nothing_lost", "usable"]

#: Bytes 18 and 19 of a database file are 2 once it has a write-ahead log (SQLite file format).
_WAL_MARK = slice(18, 20)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, absolute (so that a later chdir does not move the store).

    Raises:
        StorePathError: it is a file, or cannot be made.
    """
    folder = Path(os.path.abspath(os.fspath(path)))
    with usable(folder):
        if folder.exists() and not folder.is_dir():
            raise StorePathError(
                f"{str(folder)!r} is a file; a store is a folder: give the path of one, or of "
                "nothing yet"
            )
        if folder.is_symlink() and not folder.exists():
            raise StorePathError(
                f"{str(folder)!r} is a link to {os.readlink(folder)!r}, which is not there; make"
                " that folder, or give the path of another"
            )
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:  # SQLite syncs what is in the folder, nobody else the folder's name
            sync_path(made.parent)
    return folder


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """
    Raises:
        StorePathError, StoreFullError: in place of any OSError of the block.
    """
    try:
        yield
    except OSError as error:
        raise path_error(error, folder) from error


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


#: What follows a database, by the names that it has in the folder (see ``vector``, ``index``).
_FOLLOWERS = ("vectors.lance", "projection.json", "volumes")
_WAL_HEADER = 32  # bytes before the first frame of a write-ahead log


def require_nothing_lost(database: Path) -> None:
    """Before a database is made: that none was there.  Whatever lies beside a database is made
    after it, so where there is something, the database is lost.

    Raises:
        StoreCorruptError: it is.
    """
    folder = database.parent
    try:
        beside = [name for name in _FOLLOWERS if _has_content(folder / name)]
        log = folder / f"{database.name}-wal"
        if log.exists() and log.stat().st_size > _WAL_HEADER:
            beside.append(log.name)
    except OSError as error:
        raise path_error(error, folder) from error
    if beside:
        state = "is empty" if database.exists() else "is missing"
        raise StoreCorruptError(
            f"the database {str(database)!r} {state}, and {beside[0]} beside it belonged to one;"
            f" restore a backup (agentmem restore), or remove {' and '.join(beside)} to start"
            " afresh"
        )


def _has_content(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


class FileIdentity:
    """Which file a path named when it was opened.

    A removed file can still be read and written by those who have it open; what they write is
    lost without a word.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        found = os.stat(path)
        self._file = (found.st_dev, found.st_ino)

    def require_same(self) -> None:
        """
        Raises:
            StorePathError: the path names another file now, or none.
        """
        try:
            found = os.stat(self._path)
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._file:
            raise StorePathError(
                f"{self._path!r} was removed or replaced while it was open; "
                "nothing was written: close this store and open it again"
            )
