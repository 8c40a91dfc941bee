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
        """``most``: bytes; 0 for none.  Unless somebody reads on and on, the log has some 4 MiB."""
        self._database = database
        self._file = database.parent / NAME
        self._most = most if hasattr(os, "statvfs") else 0
        self._steps = 0  # of the WAL when this was last looked at
        self._given = False  # by ``make_room``, and not yet taken back

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
            wanted = min(self._most, _LAST + size + _SMALL)  # it grows so far until the next look
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

    def take_back(self) -> None:
        """``keep`` once more, if ``make_room`` has given anything since: what was not needed."""
        if self._given:
            self._given = False
            self.keep()

    def make_room(self, *, last: bool = False) -> bool:
        """Give the space back if the disk is nearly full; before anything that frees more.
        ``last``: all of it, for what surely does.  Returns whether the disk is nearly full."""
        if self.has_room(self._most):
            return False
        self._given = True
        with suppress(OSError):  # there is none, or somebody else has just given it back
            if last:
                self._file.unlink()
            elif self._file.stat().st_size > _LAST:
                os.truncate(self._file, _LAST)
        return True

    def has_room(self, size: int) -> bool:
        """Whether the disk has as many bytes left; yes, where that cannot be told."""
        try:
            return not self._most or self._free() >= size
        except OSError:
            return True

    def may_grow(self, connection: Connection) -> bool:
        """Whether the disk has room for the database with all that is still in the WAL."""
        _, whole = _sizes(connection)
        return self._may_copy(whole)

    def make_room_to_rewrite(self, writer: Connection, patience_ms: int) -> None:
        """Before the database is written anew, to the WAL, and copied from there: so it must
        have room in both, or a WAL would be left that can never be copied.

        Raises:
            StoreFullError: there is too little room; none of it is taken in vain.
        """
        self.make_room()
        if not self._may_rewrite(writer) and self.may_grow(writer):
            # What the WAL has is free then, and the database no longer grows.
            writer.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE, patience_ms)
        if not self._may_rewrite(writer):
            raise StoreFullError

    def _may_rewrite(self, writer: Connection) -> bool:
        used, _ = _sizes(writer)
        return self._may_copy(used, logged=used)

    def _may_copy(self, size: int, logged: int = 0) -> bool:
        """Whether the disk has room for a database of ``size``, and ``logged`` in the WAL."""
        try:
            return self.has_room(logged + max(0, size - self._database.stat().st_size))
        except OSError:  # it was removed: whoever writes next says so
            return False

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
