"""txtai's embeddings database, with vectors from outside."""

from __future__ import annotations

import os
import threading
import uuid
from typing import TYPE_CHECKING

import numpy as np

from compare.contenders.base import USER, Contender

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from compare.data import Row

__all__ = ["Txtai"]


class Txtai(Contender):
    """``method="external"``: its function for vectors looks up those that were given."""

    setup = (
        "Faiss, its default, and texts in SQLite (`content`); not filtered, all is one user's;"
        " a lock around writes"
    )
    durability = "`save` after each call: the only way to disk it has, and it writes everything"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        os.environ["HF_HUB_OFFLINE"] = "1"
        from txtai import Embeddings

        self._given: dict[str, NDArray[np.float32]] = {}
        self._one_at_a_time = threading.Lock()

        def given(texts: Sequence[str]) -> NDArray[np.float32]:  # a method would be called at once
            return np.stack([self._given[text] for text in texts])

        self._index = Embeddings({"method": "external", "transform": given, "content": True})
        self._path = str(folder / "index")
        if self._index.exists(self._path):
            self._index.load(self._path, config={"transform": given})

    def add(self, row: Row) -> None:
        self.add_batch([row])

    def add_batch(self, rows: Sequence[Row]) -> None:
        with self._one_at_a_time:
            self._given = {row.text: row.vector for row in rows}
            self._index.upsert([(str(uuid.uuid4()), row.text, USER) for row in rows])
            self._index.save(self._path)

    def search(self, query: Row, top_k: int) -> list[str]:
        self._given = {query.text: query.vector}
        return [hit["text"] for hit in self._index.search(query.text, top_k)]

    def count(self) -> int:
        return int(self._index.count())

    def close(self) -> None:
        self._index.close()
