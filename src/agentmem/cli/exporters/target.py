"""The file of an export, which appears whole or not at all."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from agentmem.errors import InvalidInputError

__all__ = ["target"]


@contextmanager
def target(file: str, *, force: bool) -> Iterator[IO[bytes]]:
    """The stream to write to.  A file is written beside its name and moved there when whole.

    Raises:
        InvalidInputError: the file exists or is a folder, or its folder does not exist.
    """
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file).resolve()  # a link stays a link: what it points to is written
    if path.is_dir():
        raise InvalidInputError(f"{file} is a folder; name a file in it")
    if path.exists() and not path.is_file():  # a pipe or device is written to, never replaced
        with path.open("wb") as stream:
            yield stream
        return
    if path.exists() and not force:
        raise InvalidInputError(f"{file} exists; give --force to write over it")
    if not path.parent.is_dir():
        raise InvalidInputError(f"{path.parent} is no folder; make it first")
    _remove_abandoned(path)
    part, writing = _open_part(path)
    try:
        with writing:
            yield writing
            writing.flush()
            os.fsync(writing.fileno())
            part.chmod(0o666 & ~_umask())
            if sys.platform == "win32":  # which moves nothing that is open
                writing.close()
            part.replace(path)
    except BaseException:  # Ctrl-C, too, must leave no half-written file; it is raised again
        part.unlink(missing_ok=True)
        raise


def _open_part(path: Path) -> tuple[Path, IO[bytes]]:
    """A new file beside ``path``, locked for as long as somebody is writing it."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        stream = os.fdopen(handle, "wb")
        _lock(stream, wait=True)
        if os.fstat(handle).st_nlink:  # else another export took it for abandoned meanwhile
            return Path(name), stream
        stream.close()


def _remove_abandoned(path: Path) -> None:
    """Remove what exports to ``path`` have left that were killed: nobody holds their lock."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}\.part")  # as ``mkstemp`` names
    for entry in os.scandir(path.parent):
        if ours.fullmatch(entry.name):
            with suppress(OSError), open(entry.path, "rb") as stream:
                if _lock(stream, wait=False):
                    os.unlink(entry.path)


def _lock(stream: IO[bytes], *, wait: bool) -> bool:
    """Take the lock of a file until it is closed; whether that succeeded."""
    if sys.platform == "win32":
        return True  # what somebody has open cannot be removed there
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # somebody has it, or the file system has no locks
        return False
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
