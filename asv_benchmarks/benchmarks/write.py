"""``add_batch``: memories a second that are durable, and how close that comes to the raw parts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import common

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 1000
SECONDS = 2.0  # of each measurement, at least


def rate(write: Callable[[int], object]) -> float:
    """Rows a second of ``write(i)``, which writes the ``i``-th batch of ``BATCH`` rows."""
    write(0)
    batches = 0
    begin = time.perf_counter()
    while (passed := time.perf_counter() - begin) < SECONDS:
        batches += 1
        write(batches)
    return batches * BATCH / passed


class _Adding(common.TemporaryStore):
    """Every batch has texts that the store has not seen; what was written is counted."""

    batches = 64
    timeout = 300

    def prepare(self, embedder: str) -> None:
        every = common.texts(self.batches * BATCH)
        self.texts = [every[i : i + BATCH] for i in range(0, len(every), BATCH)]
        self.open(embedder)

    def batch(self, i: int) -> list[str]:
        """The ``i``-th batch; once all were used, marked as another round of them."""
        again, i = divmod(i, self.batches)
        return self.texts[i] if not again else [f"{text} #{again}" for text in self.texts[i]]

    def added(self, add: Callable[[int], object]) -> float:
        before = self.memory.count()
        calls = 0

        def counted(i: int) -> None:
            nonlocal calls
            calls += 1
            add(i)

        found = rate(counted)
        assert self.memory.count() - before == calls * BATCH
        return found


class AddBatchTexts(_Adding):
    """Texts in, one embedding batch and one durable transaction per 1,000."""

    params = ("static", "minilm", "minilm-fp32")
    param_names = ("embedder",)

    def setup(self, embedder: str) -> None:
        self.prepare(embedder)

    def track_rate(self, embedder: str) -> float:
        return self.added(lambda i: self.memory.add_batch(self.batch(i)))

    track_rate.unit = "memories/s"

    def track_against_embedding_alone(self, embedder: str) -> float:
        """The rate of ``add_batch`` over that of embedding the same texts and no more, the two
        in turns."""
        embed = self.memory._engine.embedder.inner.embed
        spent = {"add": 0.0, "embed": 0.0}
        for i in range(8):
            texts = self.batch(i)
            for name, call in (("embed", embed), ("add", self.memory.add_batch)):
                begin = time.perf_counter()
                call(texts)
                if i:  # the first warms up
                    spent[name] += time.perf_counter() - begin
        return spent["embed"] / spent["add"]

    track_against_embedding_alone.unit = "ratio"


class AddBatchVectors(_Adding):
    """Vectors given: checking, hashing, terms, and one durable transaction per 1,000."""

    def setup(self) -> None:
        self.prepare("minilm")
        self.vectors = common.vectors(BATCH, 384)

    def track_rate(self) -> float:
        return self.added(lambda i: self.memory.add_batch(self.batch(i), vectors=self.vectors))

    track_rate.unit = "memories/s"


class AddOne(_Adding):
    """One text a call, one durable commit each."""

    params = ("static", "minilm")
    param_names = ("embedder",)

    def setup(self, embedder: str) -> None:
        self.prepare(embedder)

    def track_against_parts(self, embedder: str) -> float:
        """The time of embedding the text and of one durable commit of its row, over the time of
        ``add``: 1 would be an ``add`` that costs nothing beside them."""
        import sqlite3
        from pathlib import Path

        embed = self.memory._engine.embedder.inner.embed
        bare = sqlite3.connect(Path(self.folder) / "bare.db", isolation_level=None)
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE rows(key INTEGER PRIMARY KEY, content TEXT, vector BLOB)")
        add_time = parts_time = 0.0
        for i, text in enumerate(self.batch(0)[:600]):
            begin = time.perf_counter()
            vector = embed([text])[0]
            bare.execute(
                "INSERT INTO rows(content, vector) VALUES (?, ?)",
                (text, vector.astype("float16").tobytes()),
            )
            middle = time.perf_counter()
            self.memory.add(text)
            end = time.perf_counter()
            if i >= 100:
                parts_time += middle - begin
                add_time += end - middle
        bare.close()
        return parts_time / add_time

    track_against_parts.unit = "ratio"
