"""AgentMem, as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compare.contenders.base import USER, Contender

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compare.data import Row

__all__ = ["AgentMem"]


class AgentMem(Contender):
    """One ``Memory``; with vectors given, searched by them alone."""

    setup = 'defaults, after `warm_up()`; with vectors given, `mode="dense"` and no model'
    durability = "text, vector, keywords and history in one transaction, synced to disk"

    def __init__(self, folder: Path, model: str, mode: str = "hybrid") -> None:
        super().__init__(folder)
        from agentmem import Memory

        self._memory = Memory(folder, embedder=model, user_id=USER)
        if mode == "hybrid":  # texts are given: mem0 loads its model when it is made, too
            self._memory.warm_up()
        self._mode: Any = mode

    def add(self, row: Row) -> None:
        self._memory.add(row.text, vector=row.vector)

    def add_batch(self, rows: Sequence[Row]) -> None:
        vectors = None
        if rows[0].vector is not None:
            import numpy as np

            vectors = np.stack([row.vector for row in rows])
        self._memory.add_batch([row.text for row in rows], vectors=vectors)

    def search(self, query: Row, top_k: int) -> list[str]:
        found = self._memory.search(query.text, vector=query.vector, top_k=top_k, mode=self._mode)
        return [hit["memory"] for hit in found["results"]]

    def count(self) -> int:
        return self._memory.count()

    def settle(self) -> None:
        self._memory.flush()

    def close(self) -> None:
        self._memory.close()
