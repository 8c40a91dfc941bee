"""What a file needs besides being written to survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["sync_path"]


def sync_path(path: Path | str) -> None:
    """``fsync`` a file or, where the system can, a folder: then the names in it are durable.

    Raises:
        OSError
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        if os.name == "nt":  # Windows opens no folders; its renames are durable enough
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
