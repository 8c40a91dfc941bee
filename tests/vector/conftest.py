"""A real store that is written without an embedding model, and its projection.

Programs that tests start run this file too, to get ``Author``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem.config import Config, ProjectionConfig, StoreConfig
from agentmem.engine.drain import program
from agentmem.ids import new_ids
from agentmem.store import Store
from agentmem.types import NewMemory, Record, Scope, TermBatch, VectorSource
from agentmem.vector.projection import LanceProjection

DIM = 16


def hash_of(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def terms_of(texts: Sequence[str]) -> TermBatch:
    """One term per text: the projection does not read them."""
    n = len(texts)
    return TermBatch(
        offsets=np.arange(n + 1, dtype=np.int64),
        terms=np.arange(1, n + 1, dtype=np.uint64),
        counts=np.ones(n, dtype=np.uint16),
        lengths=np.ones(n, dtype=np.uint32),
    )


class Author:
    """Writes memories with seeded unit vectors into the store in ``folder``."""

    def __init__(self, folder: Path, dim: int = DIM, *, seed: int = 7) -> None:
        self.folder = Path(folder)
        self.dim = dim
        self.rng = np.random.default_rng(seed)
        # Nothing here is about SQLite's own durability.
        self.config = StoreConfig(durability="off")
        self.store = Store(
            self.folder,
            self.config,
            model_id=f"test-{dim}",
            dim=dim,
            analyzer="test",
        )
        self.projections: list[LanceProjection] = []

    def projection(self, *, patience: float = 60.0, **config: Any) -> LanceProjection:
        """One that drains in a thread unless ``drain_in="process"`` is given."""
        settings = ProjectionConfig(**{"drain_in": "thread", **config})
        apart = settings.drain_in == "process"
        whole = Config(store=self.config, projection=settings)
        made = LanceProjection(
            self.folder,
            self.store,
            settings,
            program=program(self.folder, whole, patience) if apart else None,
            patience=patience,
        )
        self.projections.append(made)
        return made

    def vectors(self, n: int) -> np.ndarray:
        rows = self.rng.standard_normal((n, self.dim), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def add(self, texts: int | Sequence[str], *, caller: bool = False, **fields: Any) -> list[int]:
        """Keys of new memories, by number or by text."""
        if isinstance(texts, int):
            texts = [f"memory {self.rng.integers(1 << 60):x} of a long life" for _ in range(texts)]
        fields.setdefault("scope", Scope(user_id="ann", run_id="r1"))
        new = [
            NewMemory(id=id_, content=text, content_hash=hash_of(text), **fields)
            for id_, text in zip(new_ids(len(texts)), texts, strict=True)
        ]
        source = VectorSource.CALLER if caller else VectorSource.MODEL
        with self.store.write() as tx:
            return tx.insert(new, self.vectors(len(new)), [source] * len(new), terms_of(texts))

    def records(self, keys: Sequence[int]) -> list[Record]:
        with self.store.read() as snapshot:
            found = snapshot.records(keys)
        return [found[key] for key in keys]

    def update(self, keys: Sequence[int], text: str | None = None, **fields: Any) -> None:
        """Change fields, and the text and vector where ``text`` is given."""
        if text is None:
            changed = [replace(record, **fields) for record in self.records(keys)]
            with self.store.write() as tx:
                tx.update(changed, None, None, None)
            return
        fields |= {"content": text, "content_hash": hash_of(text)}
        changed = [replace(record, **fields) for record in self.records(keys)]
        n = len(changed)
        with self.store.write() as tx:
            tx.update(changed, self.vectors(n), [VectorSource.MODEL] * n, terms_of([text] * n))

    def delete(self, keys: Sequence[int]) -> None:
        with self.store.write() as tx:
            tx.delete(keys)

    def purge(self, ids: Sequence[bytes]) -> None:
        with self.store.write() as tx:
            tx.purge(ids)
        self.store.scrub()

    def assert_whole(self, lance: Any) -> None:
        """Drains, and compares with the store row by row."""
        assert lance.drain() == self.store.last_seq()
        assert lance.verify() == []

    def close(self) -> None:
        for projection in self.projections:
            projection.close()
        self.store.close()


@pytest.fixture
def author(store_path: Path) -> Iterator[Author]:
    made = Author(store_path)
    yield made
    made.close()


@pytest.fixture
def lance(author: Author) -> LanceProjection:
    """The projection of ``author``'s store, draining ten events at a time."""
    return author.projection(batch_rows=10)


def table_of(folder: Path) -> Any:
    """The one table in a LanceDB database, opened as anyone would."""
    import lancedb

    db = lancedb.connect(str(folder))
    (name,) = db.list_tables().tables
    return db.open_table(name)


@pytest.fixture
def folder(store_path: Path) -> Path:
    return store_path / "vectors.lance"


@pytest.fixture
def filled(author: Any, lance: Any) -> Any:
    """A drained projection of thirty memories."""
    author.add(30)
    lance.drain()
    return lance
