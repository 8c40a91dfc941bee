"""Whole copies of the database: a backup of a store that is being written, and the way back.

A copy is written under another name and renamed when it is whole and on the disk, so that one
that breaks off is no store.  Each copy has an epoch of its own: a projection that follows the
original, or another copy, never takes it for what it knows.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from agentmem.disk import sync_path
from agentmem.errors import StoreCorruptError, StoreError, StorePathError
from agentmem.store import schema
from agentmem.store.connection import DATABASE_NAME, Connection, Place, open_connection
from agentmem.store.faults import path_error, translate
from agentmem.store.folder import is_made, make_folder, open_lock, usable
from agentmem.store.lock import LOCK_NAME, QUEUE_NAME

if TYPE_CHECKING:
    from agentmem.config import StoreConfig
    from agentmem.ports import Progress

__all__ = ["back_up", "building", "is_empty", "remove_part", "restore"]

PART = f"{DATABASE_NAME}.part"  # a copy that is not whole yet
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database
_AND_BESIDE = (*_BESIDE, "")
_STEP = 512  # pages of 8 KiB between two words of progress
_RENEW = "UPDATE meta SET value = ? WHERE name = 'epoch'"


def back_up(
    source: Connection, origin: Place, target: Path, progress: Progress | None
) -> dict[str, Any]:
    """Make ``target`` a store with what ``source`` sees at this moment; see ``Store.backup``."""
    place = _durable(Place(target, origin.config, origin.vfs, PART))
    _require_outside(target, origin.folder)
    _require_free(target)
    try:
        with _making(place):
            _require_free(target)  # nobody else can fill it from here on
            source.execute("BEGIN")  # the copy goes on with this snapshot, whatever is written
            memories = source.value("SELECT count(*) FROM memories")
            _copy(source.raw, origin.folder, place, progress)
            _settle(place)
            _rename(place)
    finally:
        source.rollback()
    return _report(target, memories)


def restore(
    backup: Path,
    target: Path,
    config: StoreConfig,
    *,
    overwrite: bool,
    progress: Progress | None,
    vfs: str | None = None,
) -> dict[str, Any]:
    """Make ``target`` a store with what the folder ``backup`` holds, under a new epoch; see
    ``engine.restore``."""
    origin = Place(backup, config, vfs)
    with usable(backup):
        found = origin.database.is_file()
    if not found:
        raise StorePathError(f"there is no backup in {str(backup)!r}: it has no {DATABASE_NAME}")
    with usable(target):
        same = target.exists() and target.samefile(backup)
    if same:
        raise StorePathError(f"{str(backup)!r} is the store itself; give the folder of a backup")
    place = _durable(Place(target, config, vfs, PART))
    with _making(place):
        if _exists(target) and not overwrite:
            raise StorePathError(
                f"{str(target)!r} holds a store; restore into another folder, or say that it is "
                "to be overwritten"
            )
        with _reading(origin) as source:
            _copy(source, backup, place, progress)
        memories, migrated = _settle(place)
        _install(place)
    return {**_report(target, memories), "migrated": migrated}


@contextmanager
def building(target: Path, config: StoreConfig) -> Iterator[Connection]:
    """A database to be filled; it is the store in ``target`` when the block has ended, and
    nothing if an error ends it.  Others who want to write there wait.

    Raises:
        StorePathError: a store there has something in it.
        StoreCorruptError: what was filled in is no sound store.
    """
    place = _durable(Place(target, config, None, PART))
    with _making(place):
        if _exists(target) and not is_empty(target, config):
            raise StorePathError(f"the store in {str(target)!r} is not empty any more")
        connection = open_connection(place)
        try:
            schema.create_or_migrate(connection)
            connection.execute("PRAGMA wal_autocheckpoint = 1000")  # nobody waits for a commit
            yield connection
        finally:
            connection.close()
        _settle(place)
        _install(place)


def is_empty(folder: Path, config: StoreConfig) -> bool:
    """Whether the folder holds no store, or one in which nothing was ever stored since it was
    made or reset."""
    if not _exists(folder) or not is_made(folder / DATABASE_NAME):
        return True
    connection = open_connection(Place(folder, config))
    try:
        if schema.pending(connection) == schema.MIGRATIONS:
            return True
        tables = ("memories", "versions", "events", "scopes")
        return not any(connection.values(f"SELECT 1 FROM {name} LIMIT 1") for name in tables)
    finally:
        connection.close()


def remove_part(folder: Path) -> None:
    """Remove what was left by a copy into ``folder`` that was killed.  Needs its write lock.

    Raises:
        StorePathError: it cannot be removed.
    """
    _remove(folder, PART, _AND_BESIDE)


def _require_outside(target: Path, store: Path) -> None:
    """
    Raises:
        StorePathError: a copy there would be part of what it is a copy of.
    """
    with usable(target):
        inside = target.resolve() != store.resolve() and store.resolve() in target.resolve().parents
    if inside:
        raise StorePathError(
            f"{str(target)!r} lies inside the store {str(store)!r}, and would be lost with it;"
            " give a folder elsewhere"
        )


def _exists(folder: Path) -> bool:
    return any((folder / f"{DATABASE_NAME}{end}").exists() for end in _AND_BESIDE)


def _durable(place: Place) -> Place:
    """A copy is on the disk when its call returns, however lightly the store takes it."""
    return replace(place, config=replace(place.config, durability="full"))


def _report(folder: Path, memories: int) -> dict[str, Any]:
    size = (folder / DATABASE_NAME).stat().st_size
    return {"path": str(folder), "memories": memories, "bytes": size}


def _require_free(target: Path) -> None:
    """
    Raises:
        StorePathError: ``target`` is a file, or a folder with more in it than what a backup
            that broke off leaves.
    """
    leftovers = {LOCK_NAME, QUEUE_NAME, *(f"{PART}{end}" for end in _AND_BESIDE)}
    try:
        found = sorted(set(os.listdir(target)) - leftovers)
    except FileNotFoundError:
        return
    except OSError as error:
        raise path_error(error, target) from error
    if found:
        raise StorePathError(
            f"{str(target)!r} is not empty (it has {found[0]!r}); back up into a new folder"
        )


@contextmanager
def _making(place: Place) -> Iterator[None]:
    """The folder and the write lock of a store in the making, which those who open it need,
    too.  Nothing is left under the name of the part in the end, nor a folder made in vain."""
    folder, made = place.folder, not place.folder.exists()
    lock = open_lock(make_folder(folder))
    try:
        lock.acquire(place.config.lock_timeout)
        try:
            remove_part(folder)
            yield
        except BaseException:  # an interrupt, too; raised again
            with suppress(StorePathError):
                remove_part(folder)
            if made:
                _remove_unused(folder)
            raise
        finally:
            lock.release()
    finally:
        lock.close()


def _remove_unused(folder: Path) -> None:
    """Remove a folder that holds nothing but a lock."""
    with suppress(OSError):  # it is only tidiness
        if set(os.listdir(folder)) <= {LOCK_NAME, QUEUE_NAME}:
            for name in (LOCK_NAME, QUEUE_NAME):
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()


def _remove(folder: Path, name: str, ends: tuple[str, ...]) -> None:
    for end in ends:
        try:
            (folder / f"{name}{end}").unlink(missing_ok=True)
        except OSError as error:
            raise path_error(error, folder) from error


def _copy(
    source: apsw.Connection, source_folder: Path, place: Place, progress: Progress | None
) -> None:
    """All pages of ``source``, which holds a read transaction, into a new database."""
    try:
        target = apsw.Connection(str(place.database), vfs=place.vfs)
        try:
            # Nobody reads it yet, and one that breaks off is thrown away: no journal is needed.
            for setting in ("journal_mode = OFF", "synchronous = FULL", "fullfsync = ON"):
                target.execute(f"PRAGMA {setting}")
            _copy_pages(source, target, progress)
        finally:
            target.close(True)
    except apsw.Error as error:
        damaged = isinstance(error, apsw.CorruptError | apsw.NotADBError)
        raise translate(error, source_folder if damaged else place.folder) from error


def _copy_pages(
    source: apsw.Connection, target: apsw.Connection, progress: Progress | None
) -> None:
    size = source.execute("PRAGMA page_size").get
    with target.backup("main", source, "main") as copying:
        while not copying.done:
            copying.step(_STEP)
            if progress is not None:
                done = copying.page_count - copying.remaining
                progress(size * done, size * copying.page_count)


def _settle(place: Place) -> tuple[int, list[str]]:
    """Bring a copy to this version's schema under an epoch of its own.

    Returns how many memories it has, and the migrations that were applied.

    Raises:
        StoreCorruptError: it is no sound store.
        SchemaVersionError: it was made by a newer version.
    """
    connection = open_connection(place)
    try:
        if connection.value("PRAGMA application_id") != schema.APPLICATION_ID:
            raise StoreCorruptError(f"{str(place.database)!r} would not be a store of AgentMem")
        found = connection.values("PRAGMA quick_check(1)")
        if found != ["ok"]:
            raise StoreCorruptError(f"the database to copy is damaged: {found[0]}")
        migrated = schema.create_or_migrate(connection)
        connection.execute(_RENEW, (secrets.token_hex(16),))
        memories = connection.value("SELECT count(*) FROM memories")
    finally:
        connection.close()
    if (place.folder / f"{place.name}-wal").exists():  # closing has moved it into the database
        raise StoreError(f"writing the copy in {str(place.folder)!r} failed; check the disk")
    return memories, migrated


def _rename(place: Place) -> None:
    """The copy becomes the store."""
    try:
        os.replace(place.database, place.folder / DATABASE_NAME)
        sync_path(place.folder)
        sync_path(place.folder.parent)
    except OSError as error:
        raise path_error(error, place.folder) from error


def _install(place: Place) -> None:
    """The copy becomes the store, in the place of one that may be there."""
    if _exists(place.folder) and _replace(place):
        remove_part(place.folder)
    else:
        # What is left of a damaged database's log is not for another one.
        _remove(place.folder, DATABASE_NAME, _BESIDE)
        _rename(place)


@contextmanager
def _reading(place: Place) -> Iterator[apsw.Connection]:
    """A connection in a read transaction, which changes nothing of the backup."""
    try:
        try:
            source = apsw.Connection(
                str(place.database), flags=apsw.SQLITE_OPEN_READWRITE, vfs=place.vfs
            )
            _begin(source)
        except (apsw.CantOpenError, apsw.ReadOnlyError):  # on a medium that cannot be written
            uri = f"{place.database.absolute().as_uri()}?immutable=1"
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            source = apsw.Connection(uri, flags=flags, vfs=place.vfs)
            _begin(source)
    except apsw.Error as error:
        raise translate(error, place.folder) from error
    try:
        yield source
    finally:
        with suppress(apsw.Error):
            source.close(True)


def _begin(source: apsw.Connection) -> None:
    source.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    source.execute("PRAGMA query_only = ON")
    source.execute("BEGIN")
    source.execute("SELECT count(*) FROM sqlite_schema").fetchall()


def _replace(place: Place) -> bool:
    """Put the copy in the place of what a store holds, in one transaction of its own, so that
    those who have it open go on with what is restored.  False if that store is damaged.

    Raises:
        StorePathError: the database there is another program's.
    """
    live = replace(place, name=DATABASE_NAME)
    try:
        connection = open_connection(live)
        try:
            application = connection.value("PRAGMA application_id")
            if application not in (0, schema.APPLICATION_ID):
                raise StorePathError(
                    f"the database in {str(place.folder)!r} is another program's "
                    f"(application id {application:#x}); restore into another folder"
                )
            with _reading(place) as source:
                _copy_pages(source, connection.raw, None)
            connection.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)  # if nobody reads
        finally:
            connection.close()
    except StoreCorruptError:
        return False
    except apsw.Error as error:
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            return False
        raise translate(error, place.folder) from error
    return True
