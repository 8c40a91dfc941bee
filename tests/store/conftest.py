"""A store of its own for every test, and short ways to fill it."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem.config import StoreConfig
from agentmem.store import Store
from agentmem.store.transaction import WriteTransaction
from agentmem.types import NewMemory, Record, Scope, TermBatch, VectorSource

DIM = 4


class Filler:
    """Makes memories whose vector and terms follow from their text, so that tests can tell."""

    dim = DIM
    alice = Scope(user_id="alice")

    def __init__(self) -> None:
        self._ids = itertools.count(1)

    def hash(self, text: str) -> bytes:
        return blake2b(text.encode(), digest_size=16).digest()

    def new(self, text: str, scope: Scope | None = None, **fields: Any) -> NewMemory:
        fields.setdefault("id", uuid.UUID(int=next(self._ids)).bytes)
        return NewMemory(
            scope=scope or self.alice, content=text, content_hash=self.hash(text), **fields
        )

    def vectors(self, texts: Sequence[str], dim: int = DIM) -> np.ndarray[Any, Any]:
        out = np.empty((len(texts), dim), dtype=np.float32)
        for i, text in enumerate(texts):
            seed = int.from_bytes(self.hash(text)[:8], "little")
            out[i] = np.random.default_rng(seed).standard_normal(dim)
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    def terms(self, texts: Sequence[str]) -> TermBatch:
        offsets, terms, counts, lengths = [0], [], [], []
        for text in texts:
            words = text.split()
            mine = sorted({int.from_bytes(self.hash(word)[:8], "little") for word in words})
            terms.extend(mine)
            counts.extend([1] * len(mine))
            lengths.append(len(mine))
            offsets.append(len(terms))
        return TermBatch(
            np.array(offsets, dtype=np.int64),
            np.array(terms, dtype=np.uint64),
            np.array(counts, dtype=np.uint16),
            np.array(lengths, dtype=np.uint32),
        )

    def remake(self, texts: Sequence[str]) -> tuple[np.ndarray[Any, Any], TermBatch]:
        return self.vectors(texts), self.terms(texts)

    def insert(
        self,
        tx: WriteTransaction,
        memories: Sequence[NewMemory],
        source: VectorSource = VectorSource.MODEL,
    ) -> list[int]:
        texts = [memory.content for memory in memories]
        return tx.insert(memories, self.vectors(texts), [source] * len(texts), self.terms(texts))

    def add(self, store: Store, *texts: str, **fields: Any) -> list[Record]:
        """The texts in one transaction; what is stored then."""
        with store.write() as tx:
            keys = self.insert(tx, [self.new(text, **fields) for text in texts])
        with store.read() as snapshot:
            found = snapshot.records(keys)
        return [found[key] for key in keys]

    def change(self, store: Store, record: Record, text: str, **kwargs: Any) -> Record:
        """A new text for a stored memory."""
        record.content, record.content_hash = text, self.hash(text)
        with store.write() as tx:
            tx.update(
                [record], self.vectors([text]), [VectorSource.MODEL], self.terms([text]), **kwargs
            )
        with store.read() as snapshot:
            return snapshot.records([record.key])[record.key]


@pytest.fixture
def fill() -> Filler:
    return Filler()


Opener = Callable[..., Store]


@pytest.fixture
def open_store(store_path: Path) -> Iterator[Opener]:
    """Opens the test's folder, any number of times; whatever is left open is closed."""
    opened: list[Store] = []

    def opener(**kwargs: Any) -> Store:
        # Without fsync: these tests kill processes, they do not cut the power.
        config = {"lock_timeout": 10.0, "durability": "off", **kwargs.pop("config", {})}
        model = {"model_id": "model-a", "dim": DIM, "analyzer": "words-1", **kwargs}
        store = Store(store_path, StoreConfig(**config), **model)
        opened.append(store)
        return store

    yield opener
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Opener) -> Store:
    return open_store()
