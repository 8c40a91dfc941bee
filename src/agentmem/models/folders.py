"""Folders that appear whole or not at all, and are made by one process at a time."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentmem.errors import ModelError

__all__ = ["atomic_folder", "locked"]

#: Seconds to wait for another process that makes the same folder.
LOCK_TIMEOUT = 1800.0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of ``folder``, which need not exist; its parent is made.

    The lock is the operating system's, so that of a killed process is free at once.

    Raises:
        ModelError: the parent cannot be made, or the lock not had within ``LOCK_TIMEOUT``.
    """
    import filelock

    lock = filelock.FileLock(folder.parent / f".{folder.name}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=LOCK_TIMEOUT)
    except filelock.Timeout as e:
        raise ModelError(
            f"another process has been making {folder} for {LOCK_TIMEOUT:.0f} s; "
            f"if none is, delete {lock.lock_file}"
        ) from e
    except OSError as e:
        raise ModelError(
            f"the model cache {folder.parent} cannot be written ({e.strerror or e}); set "
            "AGENTMEM_CACHE to a folder that can be, or AGENTMEM_MODELS to finished models"
        ) from e
    try:
        yield
    finally:
        lock.release()


@contextmanager
def atomic_folder(dest: Path) -> Iterator[Path]:
    """A new empty folder that replaces ``dest`` at the end of the block, or vanishes.

    The caller holds the lock of ``dest``, so what a killed process left is swept first.

    Raises:
        ModelError: the disk refuses.
    """
    prefix = f".{dest.name}.partial-"
    try:
        for stale in dest.parent.glob(f"{prefix}*"):
            shutil.rmtree(stale, ignore_errors=True)
        partial = dest.parent / f"{prefix}{uuid.uuid4().hex}"
        partial.mkdir()
    except OSError as e:
        raise ModelError(f"{dest.parent} cannot be written: {e.strerror or e}") from e
    try:
        yield partial
        _sync(partial)
        if dest.exists():
            old = dest.parent / f"{prefix}{uuid.uuid4().hex}"
            os.replace(dest, old)
            os.replace(partial, dest)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(partial, dest)
    except OSError as e:
        raise ModelError(f"{dest} cannot be written: {e.strerror or e}") from e
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Puts the folder's files on the disk, so that a power cut cannot leave a finished name
    over empty files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
