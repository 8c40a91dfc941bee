"""``Engine``: an open store with everything that is done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentmem.engine.figures import figures, metrics
from agentmem.engine.reading import Reading
from agentmem.engine.writing import Writing
from agentmem.errors import StoreError
from agentmem.types import Scope

if TYPE_CHECKING:
    from agentmem.ports import Progress

__all__ = ["Engine"]

_UNREACHED = 1e9  # scores are 1 at most


class Engine(Writing, Reading):
    """One open store and everything that works on it.  Any thread may call."""

    def flush(self, *, indexes: bool) -> None:
        """Bring every projection to where the log is now."""
        self.check_usable()
        self.store.require_present()
        if self.config.projection.enabled:
            if indexes:
                self.projection.index()
            else:
                self.projection.drain()

    def warm_up(self, scope: Scope) -> None:
        self.embedder.warm_up()
        if scope:
            # Loads whatever a search needs; no score is that high, so nothing counts as read.
            self.searcher.search_batch(["warm up"], scope=scope, threshold=_UNREACHED)

    def check(self, *, repair: bool, progress: Progress | None) -> dict[str, Any]:
        """Problems of the store, which only a backup mends, and of the projection, which can be
        rebuilt; or why that cannot be reached."""
        self.check_usable()
        problems = self.store.check()
        repaired: list[str] = []
        # A damaged truth is nothing to compare with, and must not be copied over a good table.
        if not problems:
            try:
                problems = self._check_projections(repair, repaired, progress)
            except StoreError as error:
                problems = [str(error)]
        return {"ok": not problems, "problems": problems, "repaired": repaired}

    def _check_projections(
        self, repair: bool, repaired: list[str], progress: Progress | None
    ) -> list[str]:
        """What is wrong beside a sound database; what was mended goes into ``repaired``."""
        erasing = self.store.erasing()
        if erasing is not None:
            left = self._finish_erasing() if repair else self._left_elsewhere(erasing)
            broken_off = "what was purged may still be in files: the purge was broken off"
            if left or not repair:
                return [left or broken_off]
            repaired.append(broken_off)
        if not self.projection.exists:
            return []
        damage = self.projection.verify()
        if damage and repair:
            self.projection.rebuild(progress=progress)
            repaired += damage
            damage = self.projection.verify()
        return damage

    def stats(self) -> dict[str, Any]:
        return figures(self)

    def metrics(self, version: str) -> str:
        return metrics(self, version)
