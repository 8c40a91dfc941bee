"""Where a projection lives: its LanceDB database, its tables, its watermark."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from pathlib import Path

from agentmem.errors import StorePathError
from agentmem.vector.files import LocalFiles, clear, local_folder, tree_bytes
from agentmem.vector.watermark import Watermark, load, remove, save

__all__ = ["Place"]

_OWNED = "vectors.lance"
_EXTERNAL = "projection.json"
_ASIDE = "projection-{}.json"  # of a database that was configured before


class Place:
    """``uri`` is any LanceDB database, or empty for ``vectors.lance`` in the store's folder
    ``home``, which is then ours as a whole.

    The watermark lies inside ``vectors.lance``, so that both go and come together, else in
    ``home``, where it can be read without the network.
    """

    def __init__(self, home: Path, uri: str) -> None:
        self._owned = None if uri else home / _OWNED
        self.uri = uri or str(self._owned)
        self.folder = self._owned or local_folder(uri)
        self._configured = uri
        self._home = home
        self._files = LocalFiles(self.folder) if self.folder else None
        self._watermark = self._owned / "watermark.json" if self._owned else home / _EXTERNAL

    def load(self) -> Watermark | None:
        """The watermark, if there is one for this database."""
        mark = load(self._watermark)
        if self._owned is None and (mark is None or mark.uri != self._configured):
            mark = load(self._aside(self._configured))
        return mark if mark is not None and mark.uri == self._configured else None

    def start(self, epoch: str, model_id: str) -> Watermark:
        """The watermark of a projection that has nothing yet."""
        return Watermark(
            epoch=epoch,
            uri=self._configured,
            model_id=model_id,
            table="",
            seq=0,
            version=0,
            rows=0,
            dim=0,
        )

    def save(self, mark: Watermark) -> None:
        """Make the table durable, then the watermark that vouches for it.

        Raises:
            StoreFullError, StorePathError
        """
        if self._files is not None and mark.table:
            self._files.sync(mark.table)
        self._set_aside()
        save(self._watermark, mark)
        if self._owned is None:
            remove(self._aside(self._configured))

    def present(self, mark: Watermark) -> bool:
        """Whether the table that ``mark`` speaks of is there, as far as a look at the disk can
        tell."""
        if not mark.table or self.folder is None:
            return True
        return (self.folder / f"{mark.table}.lance" / "_versions").is_dir()

    def new_table(self, epoch: str) -> str:
        """A table name that was never used before."""
        return f"{_prefix(epoch)}{secrets.token_hex(4)}"

    def discard(self, epoch: str) -> None:
        """Remove the watermark and every table of ours: what the watermark names, and what
        another life or a killed process left behind.

        Raises:
            StorePathError: a file cannot be removed.
            StoreError: the database cannot be reached.
        """
        if self._owned is not None:
            remove(self._watermark)
            clear(self._owned)
            return
        from agentmem.vector.table import drop_tables

        mark = self.load()
        self._set_aside()
        remove(self._watermark)
        remove(self._aside(self._configured))
        names = set() if mark is None else {mark.table} - {""}
        drop_tables(self.uri, names, _prefix(epoch))

    def elsewhere(self, epoch: str, seq: int) -> list[str]:
        """The other databases, outside the store, that may hold what was purged until ``seq``."""
        paths = (self._home / _EXTERNAL, *self._home.glob(_ASIDE.format("*")))
        marks = [mark for mark in map(load, paths) if mark is not None and mark.table]
        held = {m.uri for m in marks if m.epoch != epoch or m.erased < seq}
        return sorted(held - {self._configured})

    def forsake(self) -> None:
        """The store is gone: remove what was made again of ``vectors.lance``, which then has no
        watermark, and of the folder around it."""
        if self._owned is None or self._watermark.exists():
            return
        with suppress(OSError, StorePathError):  # gone already, or in use
            clear(self._owned)
            self._owned.rmdir()
            self._home.rmdir()

    def clear_unused(self) -> None:
        """Remove ``vectors.lance``, where another database is configured.

        Raises:
            StorePathError: a file cannot be removed.
        """
        if self._owned is None:
            clear(self._home / _OWNED)

    def _set_aside(self) -> None:
        """Keep the watermark of another database, whose table nobody would know of otherwise."""
        if self._owned is not None:
            return
        mark = load(self._watermark)
        if mark is not None and mark.uri != self._configured and mark.table:
            save(self._aside(mark.uri), mark)

    def _aside(self, uri: str) -> Path:
        return self._home / _ASIDE.format(hashlib.blake2b(uri.encode(), digest_size=6).hexdigest())

    def stray(self, epoch: str) -> bool:
        """Whether anything of ours is there, watermark or not: in our own folder anything at
        all, in a database that others may share the tables of this life of the store.

        Raises:
            StoreError: the database cannot be reached.
        """
        if self._owned is not None:
            owned = self._owned
            return owned.exists() and (not owned.is_dir() or any(owned.iterdir()))
        if self.folder is not None:
            return any(self.folder.glob(f"{_prefix(epoch)}*.lance"))
        from agentmem.vector.table import tables

        return bool(tables(self.uri, (), _prefix(epoch)))

    def bytes(self) -> int | None:
        """Size on disk; None for an object store."""
        return None if self.folder is None else tree_bytes(self.folder)


def _prefix(epoch: str) -> str:
    # A database may be shared by several stores, so a store must know its own tables by name.
    return f"memories_{hashlib.blake2b(epoch.encode(), digest_size=6).hexdigest()}_"
