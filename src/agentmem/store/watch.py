"""Whether anybody has committed since, without asking SQLite.

Beginning and ending a read transaction costs 5 us or more, most of what a search of a small scope
that is in memory would otherwise take.  In WAL mode the processes that use a database share a
mapped file, the WAL index, whose header every commit of any of them changes: as long as it has not
changed, a new read transaction would see what the last one saw.  SQLite documents the header
(https://sqlite.org/walformat.html) and uses it for the same purpose.

The index is reached through the VFS of an open connection.  Opening the file here would be wrong:
on POSIX systems, closing any descriptor of a file gives up all locks of the process on it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import apsw

from agentmem.errors import AgentMemError
from agentmem.store.connection import Connection

if TYPE_CHECKING:
    from agentmem._native.watching import WalIndex
    from agentmem.store.state import State

__all__ = ["Watch"]

_SHM_PAGE = 32768  # SQLite maps the index in pieces of this size (WALINDEX_PGSZ)
_SHM_MAP = 13  # place of xShmMap among the methods of a sqlite3_io_methods, after iVersion
_SHM_VERSION = 2  # from which on a sqlite3_io_methods has it


class Watch:
    """The last state that a read transaction saw, while it is still the newest.  Any thread."""

    def __init__(self, opener: Callable[[], Connection] | None) -> None:
        """``opener`` makes a connection of its own; None: the VFS is not SQLite's, and nothing
        is ever known."""
        self._open = opener
        self._making = threading.Lock()
        self._connection: Connection | None = None  # keeps the index mapped
        self._index: WalIndex | None = None
        # Header, state, whether a reader has seen it; replaced whole: threads share it.
        self._known: tuple[bytes, State, bool] | None = None

    def state(self) -> State | None:
        """What a read transaction begun now would see; None where only one can tell."""
        known, index = self._known, self._index
        if known is None or index is None or not index.holds(known[0]):
            return None
        return known[1]

    def quiet(self) -> State | None:
        """The same, if it has been read since the last commit: the next may be some time off."""
        state, known = self.state(), self._known
        return state if known is not None and known[2] and known[1] is state else None

    def header(self) -> bytes | None:
        """To be taken before a read transaction begins, and given to ``learn`` with its state."""
        index = self._index
        if index is None:
            index = self._begin()
        return None if index is None else index.header()

    def learn(self, header: bytes | None, state: State) -> None:
        """If nobody has committed since ``header``, then ``state`` belongs to it."""
        index = self._index
        if header is not None and index is not None and index.holds(header):
            self._known = (header, state, True)

    def committed(self, state: State) -> None:
        """This process has just committed, and still holds the lock that keeps all others from
        doing so: whoever reads next need not ask what the store has come to."""
        index = self._index
        header = None if index is None else index.header()
        if header is not None:
            self._known = (header, state, False)

    def rest(self, deadline: float) -> bool:
        """Keep the connection from being made before ``wake``."""
        return self._making.acquire(timeout=max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        self._making.release()

    def connections(self) -> list[Connection]:
        """For a forked child, which must abandon them."""
        return [] if self._connection is None else [self._connection]

    def close(self) -> None:
        with self._making:
            self._open = self._known = None
            if self._index is not None:
                self._index.close()  # first: the memory goes with the last connection
            if self._connection is not None:
                self._connection.close()

    def _begin(self) -> WalIndex | None:
        with self._making:
            if self._index is None and self._open is not None:
                opener, self._open = self._open, None  # one attempt
                try:
                    self._connection = opener()
                    address = _address(self._connection.raw)
                except (AgentMemError, apsw.Error):
                    address = 0  # whoever reads next is told what is wrong
                if address:
                    from agentmem._native.watching import WalIndex

                    self._index = WalIndex(address)
            return self._index


def _address(raw: apsw.Connection) -> int:
    """Where the WAL index of this database is mapped; 0 where the VFS cannot tell."""
    from ctypes import CFUNCTYPE, POINTER, addressof, byref, c_int, c_void_p, sizeof

    raw.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # the index is mapped by a read
    file = c_void_p()
    if not raw.file_control("main", apsw.SQLITE_FCNTL_FILE_POINTER, addressof(file)):
        return 0
    methods = c_void_p.from_address(file.value).value if file.value else None
    if not methods or c_int.from_address(methods).value < _SHM_VERSION:
        return 0
    entry = c_void_p.from_address(methods + _SHM_MAP * sizeof(c_void_p)).value
    if not entry:
        return 0
    # int xShmMap(sqlite3_file *, int page, int size, int extend, void volatile **)
    shm_map = CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int, POINTER(c_void_p))(entry)
    mapped = c_void_p()
    if shm_map(file, 0, _SHM_PAGE, 0, byref(mapped)) != apsw.SQLITE_OK:
        return 0
    return mapped.value or 0
