"""One SQLite connection: how it is set up, and a thin face that translates its errors."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from agentmem.config import StoreConfig
from agentmem.errors import ClosedError, StorePathError
from agentmem.store import forking, numbers
from agentmem.store.faults import leaves_connection_usable, translate
from agentmem.store.places import Places

__all__ = ["DATABASE_NAME", "PAGE_SIZE", "Connection", "Place", "open_connection"]

DATABASE_NAME = "agentmem.db"
#: Measured with 384-d vectors: 8 KiB pages take 1,000-row commits 20-40 % faster than 4 KiB
#: (fewer WAL frames, less waste beside the blobs) and one-row commits equally fast.
PAGE_SIZE = 8192
_STATEMENT_CACHE = 200
#: The longest that SQLite itself waits.  Writers queue on our own lock, so this only covers
#: other programs and the moments when SQLite recovers or truncates the WAL.
_BUSY_SECONDS = 5.0

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store lives and how its connections are opened."""

    folder: Path
    config: StoreConfig
    vfs: str | None = None  # another SQLite VFS, for tests that make the disk fail
    name: str = DATABASE_NAME

    @property
    def database(self) -> Path:
        return self.folder / self.name

    @property
    def busy_ms(self) -> int:
        return int(1000 * min(self.config.lock_timeout, _BUSY_SECONDS))


_UNKNOWN = -1  # of SQLite's data versions, which are positive


class Connection:
    """Used by one thread at a time.  ``broken`` says that it must not be used again."""

    __slots__ = (
        *("__weakref__", "_busy_ms", "_doubted", "_folder"),
        *("broken", "file", "places", "raw", "state", "version"),
    )

    def __init__(self, raw: apsw.Connection, place: Place, file: forking.File | None) -> None:
        self.raw = raw
        self.file = file
        self._folder = place.folder
        self._busy_ms = place.busy_ms
        self.broken = False
        # What was last learned through this connection: ``PRAGMA data_version``, and the state
        # of the store then (``State``) and of some of its scopes.
        self.version: int = _UNKNOWN
        self.state: Any = None
        self.places = Places()
        self._doubted: int = _UNKNOWN

    def doubt(self) -> None:
        """A transaction begins that changes what is known, unless it commits: see ``trust``."""
        self._doubted, self.version = self.version, _UNKNOWN

    def trust(self, state: Any) -> bool:
        """The transaction has committed and this is the state it left, unless something was
        forgotten meanwhile (False); SQLite's version, which only others' commits change, is what
        it was."""
        self.state, self.version = state, self._doubted
        return self.version != _UNKNOWN

    def forget(self) -> None:
        """Nothing that was learned holds any more, nor will by ``trust``."""
        self.version = self._doubted = _UNKNOWN
        self.places.clear()

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        try:
            self.raw.execute(sql, params)
        except apsw.Error as error:
            raise self.translated(error) from error

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Measured: 1.8 times as fast as multi-row ``VALUES``, and one statement to cache."""
        try:
            self.raw.executemany(sql, rows)
        except apsw.ConstraintError:
            raise  # the caller knows which rule it means
        except apsw.Error as error:
            raise self.translated(error) from error

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        try:
            return self.raw.execute(sql, params).fetchall()
        except apsw.Error as error:
            raise self.translated(error) from error

    def each(self, sql: str, params: Sequence[Any] = ()) -> Generator[Row, None, None]:
        """The rows one by one; the transaction must outlast them, or ``close`` them."""
        try:
            yield from self.raw.execute(sql, params)
        except apsw.Error as error:
            raise self.translated(error) from error

    def rows_of_many(self, sql: str, params: Iterable[Sequence[Any]]) -> list[Row]:
        """All the rows that a query answers to each of ``params``, one after the other."""
        try:
            return self.raw.executemany(sql, params).fetchall()
        except apsw.Error as error:
            raise self.translated(error) from error

    def row(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        found = self.rows(sql, params)
        return found[0] if found else None

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        found = self.rows(sql, params)
        return found[0][0] if found else None

    def values(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """The first column of every row."""
        return [row[0] for row in self.rows(sql, params)]

    @property
    def changes(self) -> int:
        """Rows changed by the last statement."""
        return self.raw.changes()

    @property
    def in_transaction(self) -> bool:
        return self.raw.in_transaction

    def rollback(self) -> None:
        """End whatever transaction is open; a connection that cannot is broken.

        A cursor that somebody left half-read keeps the read transaction, and with it hides all
        later commits: such a connection is broken, too.
        """
        try:
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
            if self.raw.txn_state() != apsw.SQLITE_TXN_NONE:
                self.broken = True
        except apsw.Error:
            self.broken = True

    def checkpoint(self, mode: int, busy_ms: int = 0) -> tuple[int, int] | None:
        """Copy the WAL into the database; returns how many pages the WAL has, and how many of them
        are in the database now.  None if a reader held it back for ``busy_ms``, or the disk
        failed.  Neither harms: the WAL keeps everything, and the next commit reports a disk that
        cannot be written."""
        try:
            self.raw.set_busy_timeout(busy_ms)
            return self.raw.wal_checkpoint(mode=mode)
        except apsw.Error:
            return None
        finally:
            self.raw.set_busy_timeout(self._busy_ms)

    def close(self) -> None:
        """A disk that fails now harms nothing: what was committed is in the WAL."""
        with forking.closing(self), suppress(apsw.Error):
            self.raw.close(True)

    def close_copy(self) -> None:
        """In a forked child: free what was at rest when the process forked.  The WAL is not
        touched, which only the last that uses the database may do."""
        with suppress(apsw.Error):
            self.raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            self.raw.close(True)
        self.raw = _Abandoned()  # type: ignore[assignment]
        self.broken = True

    def abandon(self) -> None:
        """In a forked child: never touch the parent's handle again, not even to free it."""
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.raw))
        self.raw = _Abandoned()  # type: ignore[assignment]
        self.broken = True

    def translated(self, error: apsw.Error) -> Exception:
        if not leaves_connection_usable(error):
            self.broken = True
        return translate(error, self._folder)


class _Abandoned:
    """Stands where a parent process's connection was."""

    def __getattr__(self, name: str) -> Any:
        raise ClosedError(
            "this store was opened by the process that forked this one; open it again here"
        )


def open_connection(place: Place, *, create: bool = True) -> Connection:
    """Open the database and set the connection up.

    Args:
        create: make a database where there is none.  A store that is open never may: beside an
            empty database SQLite deletes the WAL, and with it what was acknowledged and not yet
            moved into the one that somebody has taken away.

    Raises:
        ClosedError: see ``forking.require_usable``.
        StorePathError, StoreCorruptError, StoreFullError, StoreError
    """
    forking.require_usable(str(place.database))
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    try:
        with forking.opening() as handles:
            raw = apsw.Connection(
                str(place.database), flags, vfs=place.vfs, statementcachesize=_STATEMENT_CACHE
            )
            try:
                _set_up(raw, place)
                made = Connection(raw, place, forking.file_of(str(place.database)))
            except BaseException:  # an interrupt, too; raised again
                raw.close(True)
                raise
            handles.add(made)
    except apsw.Error as error:
        raise translate(error, place.folder) from error
    return made


def _set_up(raw: apsw.Connection, place: Place) -> None:
    config = place.config
    raw.set_busy_timeout(place.busy_ms)
    raw.execute(f"PRAGMA page_size = {PAGE_SIZE}")  # takes effect in a new database only
    mode = raw.execute("PRAGMA journal_mode = WAL").get
    if mode != "wal":  # SQLite keeps the old mode in silence where shared memory is missing
        raise StorePathError(
            f"the file system of {raw.filename!r} cannot hold a write-ahead log (it gave journal "
            f"mode {mode!r}); put the store on a local disk"
        )
    raw.execute(f"PRAGMA synchronous = {config.durability}")
    if config.durability == "full":  # macOS: fsync alone leaves it in the drive's cache
        raw.execute("PRAGMA fullfsync = ON")
    raw.execute(f"PRAGMA cache_size = -{max(1, config.cache_mib) * 1024}")
    raw.execute("PRAGMA temp_store = MEMORY")
    # Checkpoints are ours to time (see checkpoint.py), not any commit's.
    raw.execute("PRAGMA wal_autocheckpoint = 0")
    raw.execute(f"PRAGMA journal_size_limit = {64 << 20}")
    # SQLite's C-string habits (double-quoted strings, LIKE on blobs) stay off.
    raw.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    raw.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    raw.create_scalar_function("am_casefold", _casefold, 1, deterministic=True)
    raw.create_scalar_function(numbers.FUNCTION, numbers.holds, 3, deterministic=True)


def _casefold(*values: Any) -> str | None:
    value = values[0]
    return value.casefold() if isinstance(value, str) else None
