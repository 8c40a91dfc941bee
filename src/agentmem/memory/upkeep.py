"""The calls of ``Memory`` that look after the store as a whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from agentmem.engine import restore
from agentmem.inputs import check_copy_path, check_flag, check_progress
from agentmem.memory.face import Face

if TYPE_CHECKING:
    from agentmem.ports import Progress

__all__ = ["Upkeep"]


class Upkeep(Face):
    """Projections, checks, counters, backups."""

    def flush(self, *, indexes: bool = False) -> None:
        """Wait until every projection has caught up with the log.

        Args:
            indexes: also wait until the indexes of the LanceDB table cover what they are due to
                cover; they take a child process minutes, and are otherwise built when it suits.
        """
        self._engine.flush(indexes=check_flag(indexes, "indexes"))

    def warm_up(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
    ) -> None:
        """Load now what the first call would have to: the model, and what a search in a scope
        needs in memory, if there is a scope (given here, or the default one).

        Raises:
            ModelError (and its kinds): the model cannot be loaded.
            ScopeError: an id that cannot be one.
        """
        self._engine.warm_up(self._resolve(user_id, agent_id, run_id, org_id))

    def check(self, *, repair: bool = False, progress: Progress | None = None) -> dict[str, Any]:
        """Check the store and its projections.

        Args:
            repair: rebuild projections that are damaged or differ, and finish a purge that was
                broken off.

        Returns:
            ``{"ok": bool, "problems": [str], "repaired": [str]}``
        """
        return self._engine.check(
            repair=check_flag(repair, "repair"), progress=check_progress(progress)
        )

    def stats(self) -> dict[str, Any]:
        """Sizes and counters of the store and its parts, and what the calls so far took."""
        return self._engine.stats()

    def metrics(self) -> str:
        """``stats`` and the latency histograms as text that Prometheus reads."""
        from agentmem import __version__

        return self._engine.metrics(__version__)

    def backup(
        self, path: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Copy the store, as it is now, into another folder, while reading and writing go on.

        The copy is whole and on the disk when this returns, and opens like any store; one that
        breaks off leaves no store.  Its projection is made again when it is needed.

        Args:
            path: a folder that is missing or empty.
            progress: called with (bytes copied, bytes in all).

        Returns:
            ``{"path": str, "memories": int, "bytes": int}``

        Raises:
            StorePathError: the folder is not empty, lies inside the store, or cannot be written.
            StoreFullError: its disk is full.
        """
        self._engine.check_usable()
        return self._engine.store.backup(check_copy_path(path), progress=check_progress(progress))

    @staticmethod
    def restore(
        backup: str | os.PathLike[str],
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Make the folder ``path`` a store with what a backup holds; open it afterwards.

        Either all of it is restored or nothing has changed.

        Args:
            backup: a folder that ``backup`` made, or any other store.
            path: where to; made if missing.
            overwrite: replace the store that is there.  A ``Memory`` that has it open, here or
                in another process, goes on with what was restored, unless it was damaged.
            progress: called with (bytes copied, bytes in all).

        Returns:
            ``{"path": str, "memories": int, "bytes": int, "migrated": [str]}``, the last being
            the migrations that a backup of an earlier version needed.

        Raises:
            StorePathError: there is no backup, or a store that may not be overwritten.
            StoreCorruptError: the backup is damaged, or no store.
            SchemaVersionError: a newer version made it.
            StoreTimeoutError: somebody kept writing to the store that is to be overwritten.
            StoreFullError
        """
        overwrite = check_flag(overwrite, "overwrite")
        return restore(backup, path, overwrite=overwrite, progress=check_progress(progress))
