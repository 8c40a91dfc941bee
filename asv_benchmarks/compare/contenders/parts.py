"""The raw limit of each part of the work: a model, a transaction, a scan, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compare.contenders.base import Contender
from compare.data import DIM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compare.data import Row

__all__ = ["BareModel", "BareScan", "BareSqlite"]


class BareModel(Contender):
    """Vectors are made and thrown away."""

    setup = "default session; batches sorted by length, 32 texts a call"
    durability = "nothing is stored"

    def __init__(self, folder: Path, model: str) -> None:
        super().__init__(folder)
        from compare.contenders.plain_onnx import PlainOnnx

        self._model = PlainOnnx(model)
        self._made = 0

    def add(self, row: Row) -> None:
        self._made += len(self._model.one(row.text)[None])

    def add_batch(self, rows: Sequence[Row]) -> None:
        self._made += len(self._model.many([row.text for row in rows]))

    def search(self, query: Row, top_k: int) -> list[str]:
        del top_k
        self._model.one(query.text)
        return []

    def count(self) -> int:
        return self._made

    def close(self) -> None:
        pass


class BareSqlite(Contender):
    """A row of text and vector, no index, no log; one commit a call."""

    setup = "one table, WAL; a text and 768 bytes (a float16 vector) a row"
    durability = "one transaction, synced to disk"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import apsw

        self._db = apsw.Connection(str(folder / "rows.db"))
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS rows(key INTEGER PRIMARY KEY, text, vector)")
        self._zero = bytes(2 * DIM)

    def add(self, row: Row) -> None:
        self.add_batch([row])

    def add_batch(self, rows: Sequence[Row]) -> None:
        with self._db:
            self._db.executemany(
                "INSERT INTO rows(text, vector) VALUES (?, ?)",
                (
                    (r.text, self._zero if r.vector is None else r.vector.astype("f2").tobytes())
                    for r in rows
                ),
            )

    def search(self, query: Row, top_k: int) -> list[str]:
        raise NotImplementedError("its tasks have no search")

    def count(self) -> int:
        found: int = self._db.execute("SELECT count(*) FROM rows").fetchall()[0][0]
        return found

    def close(self) -> None:
        self._db.close()


class BareScan(Contender):
    """Every row times the query, and the best of them; in memory only."""

    setup = "one float32 matrix times the query, `argpartition`"
    durability = "nothing is stored"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._texts: list[str] = []
        self._matrix = np.empty((0, DIM), np.float32)

    def add(self, row: Row) -> None:
        self.add_batch([row])

    def add_batch(self, rows: Sequence[Row]) -> None:
        self._texts += [row.text for row in rows]
        self._matrix = np.concatenate([self._matrix, np.stack([row.vector for row in rows])])

    def search(self, query: Row, top_k: int) -> list[str]:
        scores = self._matrix @ query.vector
        best = np.argpartition(-scores, min(top_k, len(scores)) - 1)[:top_k]
        return [self._texts[i] for i in best[np.argsort(-scores[best], kind="stable")]]

    def count(self) -> int:
        return len(self._texts)

    def close(self) -> None:
        pass
