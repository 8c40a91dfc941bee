"""The files of a local projection: made durable, counted, removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from agentmem.disk import sync_path
from agentmem.vector.watermark import disk_error

__all__ = ["LocalFiles", "clear", "local_folder", "tree_bytes"]


def local_folder(uri: str) -> Path | None:
    """The folder that a LanceDB URI names on this machine; None for an object store.

    LanceDB takes what follows ``file://`` as it is, without decoding ``%20``.
    """
    if uri.startswith("file://"):
        return Path(uri.removeprefix("file://"))
    return None if "://" in uri else Path(uri)


class LocalFiles:
    """Lance hands its files to the operating system and never syncs them; a watermark that
    survives a power cut needs the table that it speaks of to survive too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._synced: set[str] = set()

    def sync(self, table: str) -> None:
        """Make every file of ``table`` durable; files are immutable, so each only once.

        Raises:
            StoreFullError, StorePathError
        """
        root = self._folder / f"{table}.lance"
        found: set[str] = set()
        try:
            for folder, _, names in os.walk(root):
                paths = [os.path.join(folder, name) for name in names]
                # The one file that is written over; only a hint, but it must not be half there.
                fresh = [p for p in paths if p not in self._synced or p.endswith(".json")]
                found.update(paths)
                for path in fresh:
                    sync_path(path)
                if fresh:
                    sync_path(folder)
            if not self._synced:
                sync_path(self._folder)
        except FileNotFoundError:
            return  # vanished meanwhile: the fence or the next use of the table will notice
        except OSError as error:
            raise disk_error(error, root) from error
        self._synced = found


def tree_bytes(folder: Path) -> int:
    """Bytes of all files below ``folder``; what vanishes meanwhile counts as nothing."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue
    return total


def clear(folder: Path) -> None:
    """Remove everything inside a folder of our own, or the file in its place.

    Raises:
        StorePathError: something cannot be removed.
    """
    try:
        if folder.is_dir():
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path)
                    else:
                        os.remove(entry.path)
        elif folder.is_symlink() or folder.exists():
            os.remove(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_error(error, folder) from error
