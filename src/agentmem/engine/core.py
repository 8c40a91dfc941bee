"""``Engine``: an open store with everything that is done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentmem.engine.figures import figures, metrics
from agentmem.engine.reading import Reading
from agentmem.engine.writing import Writing
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
        rebuilt."""
        self.check_usable()
        problems = self.store.check()
        repaired: list[str] = []
        erasing = self.store.erasing()
        if erasing is not None and not problems:
            left = self._finish_erasing() if repair else self._left_elsewhere(erasing)
            broken_off = "what was purged may still be in files: the purge was broken off"
            if left or not repair:
                problems = [left or broken_off]
            else:
                repaired = [broken_off]
        # A damaged truth is nothing to compare with, and must not be copied over a good table.
        if self.projection.exists and not problems:
            damage = self.projection.verify()
            if damage and repair:
                self.projection.rebuild(progress=progress)
                repaired, damage = repaired + damage, self.projection.verify()
            problems = damage
        return {"ok": not problems, "problems": problems, "repaired": repaired}

    def stats(self) -> dict[str, Any]:
        return figures(self)

    def metrics(self, version: str) -> str:
        return metrics(self, version)
