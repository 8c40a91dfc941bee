"""sqlite-vec: a virtual table of vectors beside a table of texts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from compare.contenders.base import USER, Contender
from compare.data import DIM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compare.data import Row

__all__ = ["SqliteVec"]


class SqliteVec(Contender):
    """Both tables change in one transaction."""

    setup = (
        "`vec0`, float32, cosine, exact; WAL; `user_id` is its partition key; a lock around writes"
    )
    durability = "text and vector in one transaction, synced to disk"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import apsw
        import sqlite_vec

        self._one_at_a_time = threading.Lock()  # as SQLite asks of those who share a connection
        self._db = apsw.Connection(str(folder / "memories.db"))
        self._db.enable_load_extension(True)
        self._db.load_extension(sqlite_vec.loadable_path())
        for line in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE IF NOT EXISTS memories(key INTEGER PRIMARY KEY, text)",
            "CREATE VIRTUAL TABLE IF NOT EXISTS vectors USING vec0(key INTEGER PRIMARY KEY,"
            f" user_id TEXT PARTITION KEY, vector float[{DIM}] distance_metric=cosine)",
        ):
            self._db.execute(line)

    def add(self, row: Row) -> None:
        self.add_batch([row])

    def add_batch(self, rows: Sequence[Row]) -> None:
        with self._one_at_a_time, self._db:
            for row in rows:
                self._db.execute("INSERT INTO memories(text) VALUES (?)", (row.text,))
                key = self._db.last_insert_rowid()
                self._db.execute(
                    "INSERT INTO vectors(key, user_id, vector) VALUES (?, ?, ?)",
                    (key, USER, row.vector.tobytes()),
                )

    def search(self, query: Row, top_k: int) -> list[str]:
        found = self._db.execute(
            "SELECT text FROM vectors JOIN memories USING (key)"
            " WHERE vector MATCH ? AND k = ? AND user_id = ? ORDER BY distance",
            (query.vector.tobytes(), top_k, USER),
        )
        return [text for (text,) in found]

    def count(self) -> int:
        found: int = self._db.execute("SELECT count(*) FROM vectors").fetchall()[0][0]
        return found

    def close(self) -> None:
        self._db.close()
