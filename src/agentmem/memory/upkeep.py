"""The calls of ``Memory`` that look after the store as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentmem.inputs import check_flag
from agentmem.memory.face import Face

if TYPE_CHECKING:
    from agentmem.ports import Progress

__all__ = ["Upkeep"]


class Upkeep(Face):
    """Projections, checks, counters."""

    def flush(self) -> None:
        """Wait until every projection has caught up with the log."""
        self._engine.flush()

    def warm_up(self) -> None:
        """Load the model now instead of with the first text."""
        self._engine.warm_up()

    def check(self, *, repair: bool = False, progress: Progress | None = None) -> dict[str, Any]:
        """Check the store and its projections.

        Args:
            repair: rebuild projections that are damaged or differ.

        Returns:
            ``{"ok": bool, "problems": [str], "repaired": [str]}``
        """
        return self._engine.check(repair=check_flag(repair, "repair"), progress=progress)

    def stats(self) -> dict[str, Any]:
        """Sizes and counters of the store, the index, the projection and the embedder."""
        return self._engine.stats()
