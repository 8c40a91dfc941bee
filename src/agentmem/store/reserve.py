"""Space put aside, so that a full disk can be freed from inside.

Deleting from SQLite writes first: to the log, and when the log is copied, to a database that may
still have to grow for what was added last.  On a full disk neither is possible.  A file that is
only there to be removed then makes room for it; the last of it is kept for a reset, which gives
everything back.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import apsw

from agentmem.errors import StoreFullError
from agentmem.store.connection import PAGE_SIZE, Connection

__all__ = ["NAME", "Reserve"]

NAME = "reserve"
_LAST = 1 << 20
_SMALL = 4 << 20  # of a store: clearing it would free next to nothing
_STEP = _SMALL // PAGE_SIZE  # pages of the WAL between two looks


class Reserve:
    """The file ``reserve`` in a store's folder: as large as the database, within bounds, and at
    most half of what is left of the disk.  A small store has none."""

    def __init__(self, database: Path, most: int) -> None:
        """``most``: bytes; 0 for none.  A log of 16 MiB is copied before it grows further."""
        self._database = database
        self._file = database.parent / NAME
        self._most = most if hasattr(os, "statvfs") else 0
        self._steps = 0  # of the WAL when this was last looked at

    def keep(self) -> None:
        """Put space aside, or more of it, if it is not needed for anything better."""
        if not self._most:
            return
        with suppress(OSError):  # nothing depends on it until the disk is full
            size = self._database.stat().st_size
            with suppress(FileNotFoundError):
                size += os.stat(f"{self._database}-wal").st_size
            if size < _SMALL:
                return
            wanted = min(self._most, _LAST + size)
            held = self._file.stat().st_size if self._file.exists() else 0
            more = min(wanted - held, self._free() // 2)
            if more > 0:
                _allocate(self._file, held, held + more)

    def after_commit(self, pages: int) -> None:
        """``keep`` whenever the WAL, now of so many pages, has grown by as much as makes a store
        worth it: until the WAL is copied, all of the store may be there."""
        steps = pages // _STEP
        if steps != self._steps:
            self._steps = steps
            if steps:
                self.keep()

    def make_room(self, *, last: bool = False) -> None:
        """Give the space back if the disk is nearly full; before anything that frees more.
        ``last``: all of it, for what surely does."""
        with suppress(OSError):
            if self.has_room(self._most) or not self._file.exists():
                return
            if last:
                self._file.unlink()
            elif self._file.stat().st_size > _LAST:
                os.truncate(self._file, _LAST)

    def has_room(self, size: int) -> bool:
        """Whether the disk has as many bytes left; yes, where that cannot be told."""
        try:
            return not self._most or self._free() >= size
        except OSError:
            return True

    def may_grow(self, connection: Connection) -> bool:
        """Whether the disk has room for the database with all that is still in the WAL."""
        _, whole = _sizes(connection)
        try:
            return self.has_room(whole - self._database.stat().st_size)
        except OSError:  # it was removed: whoever writes next says so
            return False

    def make_room_to_rewrite(self, writer: Connection) -> None:
        """Before the database is written anew, to the WAL.

        Raises:
            StoreFullError: there is too little room; none of it is taken in vain.
        """
        self.make_room()
        needed, _ = _sizes(writer)
        if not self.has_room(needed) and self.may_grow(writer):
            writer.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)  # what the WAL had is free then
        if not self.has_room(needed):
            raise StoreFullError

    def _free(self) -> int:
        found = os.statvfs(self._database.parent)
        return found.f_bavail * found.f_frsize


def _allocate(path: Path, begin: int, end: int) -> None:
    with path.open("ab") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), begin, end - begin)
        else:
            file.write(bytes(end - begin))


def _sizes(connection: Connection) -> tuple[int, int]:
    """Bytes of the pages that hold something, and of all, those in the WAL included."""
    pages, free, size = (
        int(connection.value(f"PRAGMA {name}"))
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size, pages * size
