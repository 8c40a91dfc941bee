"""Chroma in the process, on disk."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import numpy as np

from compare.contenders.base import USER, Contender

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compare.data import Row

__all__ = ["Chroma"]


class Chroma(Contender):
    """One collection, cosine distance, no embedding function."""

    setup = "`PersistentClient`, cosine, its HNSW defaults; filtered by `user_id`"
    durability = "rows in SQLite, synced to disk; the HNSW file follows every 1,000 rows"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import chromadb
        from chromadb.config import Settings

        self._client = chromadb.PersistentClient(
            str(folder), settings=Settings(anonymized_telemetry=False)
        )
        self._rows = self._client.get_or_create_collection(
            "memories",
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine"}},
        )

    def add(self, row: Row) -> None:
        self.add_batch([row])

    def add_batch(self, rows: Sequence[Row]) -> None:
        self._rows.add(
            ids=[str(uuid.uuid4()) for _ in rows],
            documents=[row.text for row in rows],
            embeddings=np.stack([row.vector for row in rows]),
            metadatas=[{"user_id": USER} for _ in rows],
        )

    def search(self, query: Row, top_k: int) -> list[str]:
        found = self._rows.query(
            query_embeddings=[query.vector],
            n_results=top_k,
            where={"user_id": USER},
            include=["documents", "metadatas", "distances"],
        )
        return list(found["documents"][0])

    def count(self) -> int:
        return int(self._rows.count())

    def close(self) -> None:
        self._client.close()
