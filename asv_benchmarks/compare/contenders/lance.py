"""LanceDB alone."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from compare.contenders.base import USER, Contender
from compare.data import DIM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compare.data import Row

__all__ = ["Lance"]


class Lance(Contender):
    """One table, searched whole."""

    setup = "one table, no index (exact), cosine; filtered by `user_id`"
    durability = "a version of the table per call; its files are not synced"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import lancedb
        import pyarrow as pa

        self._schema = pa.schema(
            [
                ("id", pa.string()),
                ("user_id", pa.string()),
                ("text", pa.string()),
                ("vector", pa.list_(pa.float32(), DIM)),
            ]
        )
        self._table = lancedb.connect(str(folder)).create_table(
            "memories", schema=self._schema, exist_ok=True
        )

    def add(self, row: Row) -> None:
        self.add_batch([row])

    def add_batch(self, rows: Sequence[Row]) -> None:
        import numpy as np
        import pyarrow as pa

        flat = np.stack([row.vector for row in rows]).ravel()
        columns = [
            pa.array([str(uuid.uuid4()) for _ in rows]),
            pa.array([USER] * len(rows)),
            pa.array([row.text for row in rows]),
            pa.FixedSizeListArray.from_arrays(flat, DIM),
        ]
        self._table.add(pa.table(columns, schema=self._schema))

    def search(self, query: Row, top_k: int) -> list[str]:
        found = (
            self._table.search(query.vector)
            .distance_type("cosine")
            .where(f"user_id = '{USER}'")
            .limit(top_k)
            .to_list()
        )
        return [hit["text"] for hit in found]

    def count(self) -> int:
        return int(self._table.count_rows())

    def close(self) -> None:
        pass
