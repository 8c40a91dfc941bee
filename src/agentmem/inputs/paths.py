"""Checks of paths: the folders of stores and of their copies."""

from __future__ import annotations

import os
import re
from pathlib import Path

from agentmem.errors import StorePathError
from agentmem.inputs.messages import shorten, without_secrets

__all__ = ["check_copy_path", "check_path"]

#: Of a URI; ``Path`` makes one slash of two, and a drive of Windows has one letter.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def check_path(path: object) -> Path:
    """The folder of a store; ``~`` is the user's.

    Raises:
        StorePathError: not a path that can name a folder.
    """
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise StorePathError(f"the path of a store is a string or a Path, not {shorten(path)}")
    text = os.fspath(path)
    if not text.strip() or "\0" in text or not _encodable(text):
        raise StorePathError(f"{shorten(text)} cannot name a folder; give the path of one")
    if _SCHEME.match(text):
        raise StorePathError(
            f"{shorten(without_secrets(text))} is a URI, and a store is a folder on this machine;"
            " give the path of one. Its LanceDB table may be elsewhere, also in object storage:"
            " config={'projection': {'uri': ...}}"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # no such user, or one without a home
        raise StorePathError(
            f"{shorten(text)} cannot name a folder: {error}; write the path without '~'"
        ) from None


def check_copy_path(path: object) -> Path:
    """The folder of a copy of a store.

    Raises:
        StorePathError: as ``check_path``; or ``":memory:"``, where nothing would be left of it.
    """
    if isinstance(path, str | os.PathLike) and str(path) == ":memory:":
        raise StorePathError(
            "':memory:' is a store in memory, which ends with its Memory; give the path of a folder"
        )
    return check_path(path)


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
