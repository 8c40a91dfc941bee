"""SQLite's errors, told in AgentMem's words.  The one place where they are mapped."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from agentmem.errors import (
    AgentMemError,
    ClosedError,
    FilterError,
    LimitError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StorePathError,
    StoreTimeoutError,
)
from agentmem.inputs import shorten

__all__ = ["leaves_connection_usable", "no_space", "path_error", "translate"]

_FULL = (apsw.FullError,)
_BUSY = (apsw.BusyError, apsw.LockedError)
_CORRUPT = (apsw.CorruptError, apsw.NotADBError)
_PATH = (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError)
#: After these a connection has nothing wrong with it; after any other it is replaced.
_HARMLESS = (
    apsw.FullError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.ConstraintError,
    apsw.SQLError,
    apsw.TooBigError,
    apsw.InterruptError,
    apsw.RangeError,
    apsw.MismatchError,
)


def leaves_connection_usable(error: apsw.Error) -> bool:
    """Whether the connection that raised ``error`` may serve the next call."""
    return isinstance(error, _HARMLESS)


def path_error(error: OSError, folder: Path) -> StoreError:
    """An ``OSError`` of the folder itself, as the error of ours that fits it."""
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return StoreFullError(_full_message(folder))
    reason = error.strerror or str(error)
    return StorePathError(
        f"cannot use {shorten(str(folder), 300)} as a store: {reason}; "
        "give the path of a folder that this user can read and write"
    )


def translate(error: apsw.Error, folder: Path) -> AgentMemError:
    """The error of ours for an error of SQLite; raise it ``from`` the original."""
    if isinstance(error, _FULL):
        return StoreFullError(_full_message(folder))
    if isinstance(error, _BUSY):
        return StoreTimeoutError(
            f"the store {str(folder)!r} is locked by another program ({error}); "
            "try again once it has finished"
        )
    if isinstance(error, _CORRUPT):
        return StoreCorruptError(
            f"the database in {str(folder)!r} is damaged or is no SQLite database ({error}); "
            "run `agentmem check`, or restore a backup"
        )
    if isinstance(error, _PATH):
        return StorePathError(
            f"cannot write to the store {str(folder)!r} ({error}); "
            "check that the folder exists and that this user can read and write it"
        )
    if isinstance(error, apsw.IOError):
        if no_space(folder):
            return StoreFullError(_full_message(folder))
        code = getattr(error, "extendedresult", 0)
        return StoreError(
            f"reading or writing the store {str(folder)!r} failed ({error}, extended code {code}); "
            "nothing of this call was stored: check the disk, then try again"
        )
    if isinstance(error, apsw.ConnectionClosedError):
        return ClosedError(f"the store {str(folder)!r} is closed; open it again")
    if isinstance(error, apsw.TooBigError):
        return LimitError(f"a value is larger than SQLite can hold ({error}); store less in one")
    if isinstance(error, apsw.SQLError) and "too large" in str(error):
        return FilterError(f"the filter is too large for SQLite ({error}); split it")
    return StoreError(f"the store {str(folder)!r} failed: {type(error).__name__}: {error}")


def _full_message(folder: Path) -> str:
    return (
        f"the disk that holds {str(folder)!r} is full; nothing of this call was stored: "
        "free some space, then try again"
    )


def no_space(folder: Path) -> bool:
    """Whether the disk that holds ``folder`` is full, as far as this system can tell."""
    if not hasattr(os, "statvfs"):
        return False
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False
