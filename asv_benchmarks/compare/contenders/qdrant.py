"""Qdrant's local mode: its client's own implementation in Python, with SQLite underneath."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING

from compare.contenders.base import USER, Contender
from compare.data import DIM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compare.data import Row

__all__ = ["Qdrant"]


class Qdrant(Contender):
    """One collection, cosine."""

    setup = "`QdrantClient(path=...)`, exact, cosine; filtered by `user_id`; a lock around writes"
    durability = "one SQLite commit per point, synced to disk"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from qdrant_client import QdrantClient, models

        self._models = models
        self._one_at_a_time = threading.Lock()  # without it, threads break its index
        self._client = QdrantClient(path=str(folder))
        if not self._client.collection_exists("memories"):
            distance = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
            self._client.create_collection("memories", vectors_config=distance)
        match = models.FieldCondition(key="user_id", match=models.MatchValue(value=USER))
        self._filter = models.Filter(must=[match])

    def add(self, row: Row) -> None:
        self.add_batch([row])

    def add_batch(self, rows: Sequence[Row]) -> None:
        points = [
            self._models.PointStruct(
                id=str(uuid.uuid4()),
                vector=row.vector.tolist(),
                payload={"text": row.text, "user_id": USER},
            )
            for row in rows
        ]
        with self._one_at_a_time:
            self._client.upsert("memories", points)

    def search(self, query: Row, top_k: int) -> list[str]:
        found = self._client.query_points(
            "memories", query=query.vector, query_filter=self._filter, limit=top_k
        )
        return [point.payload["text"] for point in found.points]

    def count(self) -> int:
        return int(self._client.count("memories").count)

    def close(self) -> None:
        self._client.close()
