"""Memories a second that are durable, from one caller and from many, beside the raw parts."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Answer = dict[str, list[dict[str, Any]]]

BATCH = 1000
SECONDS = 1.0  # of each measurement, at least


def rate(write: Callable[[int], object]) -> float:
    """Rows a second of ``write(i)``, which writes the ``i``-th batch of ``BATCH`` rows: of the
    batch that took the median time."""
    taken: list[float] = []
    while sum(taken) < SECONDS:
        begin = time.perf_counter()
        write(len(taken))
        taken.append(time.perf_counter() - begin)
    return BATCH / statistics.median(taken)


def every(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """The results of all calls."""
    return [result for answer in answers for result in answer["results"]]


class _Adding(common.TemporaryStore):
    """Every batch has texts that the store has not seen."""

    batches = 16
    timeout = 300

    def prepare(self, embedder: str, *, projection: bool = True) -> None:
        every = common.texts(self.batches * BATCH)
        self.texts = [every[i : i + BATCH] for i in range(0, len(every), BATCH)]
        self.open(embedder, {"projection": {"enabled": projection}})
        # The projection drains while we measure, as it does in use; what it imports, once, does
        # not belong into a rate.
        self.memory.add("warm up")
        self.memory.add_batch([f"warm up {i}" for i in range(100)])
        self.memory.flush()

    def batch(self, i: int) -> list[str]:
        """The ``i``-th batch; once all were used, marked as another round of them."""
        again, i = divmod(i, self.batches)
        return self.texts[i] if not again else [f"{text} #{again}" for text in self.texts[i]]

    def added(self, add: Callable[[int], Answer]) -> float:
        """The rate of a call that stores a batch, verified."""
        before = self.memory.count()
        answers: list[Answer] = []
        found = rate(lambda i: answers.append(add(i)))
        self.verify(before + len(answers) * BATCH, every(answers))
        return found


#: Texts whose embedding takes a third of a second or less.
_PART = {"static": 1000, "minilm": 300, "minilm-fp32": 80}


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
        in turns; the median of their ratios."""
        embed = self.memory._engine.embedder.inner.embed
        before = self.memory.count()
        ratios, answers = [], []
        for i in range(5):
            texts = self.batch(i)[: _PART[embedder]]
            begin = time.perf_counter()
            embed(texts)
            middle = time.perf_counter()
            answers.append(self.memory.add_batch(texts))
            ratios.append((middle - begin) / (time.perf_counter() - middle))
        self.verify(before + 5 * _PART[embedder], every(answers))
        return statistics.median(ratios[1:])  # the first warms up

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
        self.prepare(embedder, projection=False)

    def track_against_parts(self, embedder: str) -> float:
        """The time of embedding the text and of one durable commit of its row, over the time of
        ``add``: 1 would be an ``add`` that costs nothing beside them."""
        import sqlite3

        embed = self.memory._engine.embedder.inner.embed
        bare = sqlite3.connect(Path(self.folder) / "bare.db", isolation_level=None)
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE rows(key INTEGER PRIMARY KEY, content TEXT, vector BLOB)")
        before = self.memory.count()
        answers: list[Answer] = []
        add_time = parts_time = 0.0
        for i, text in enumerate(self.batch(0)[:300]):
            begin = time.perf_counter()
            vector = embed([text])[0]
            bare.execute(
                "INSERT INTO rows(content, vector) VALUES (?, ?)",
                (text, vector.astype("float16").tobytes()),
            )
            middle = time.perf_counter()
            answers.append(self.memory.add(text))
            end = time.perf_counter()
            if i >= 50:
                parts_time += middle - begin
                add_time += end - middle
        bare.close()
        self.verify(before + 300, every(answers))
        return parts_time / add_time

    track_against_parts.unit = "ratio"


class AddFromMany(_Adding):
    """Single adds of many callers at once, over ``add_batch`` of as many texts, in turns."""

    params = (("static", "minilm"), ("20 threads", "64 threads", "1000 tasks"))
    param_names = ("embedder", "callers")

    def setup(self, embedder: str, callers: str) -> None:
        if embedder == "static" and callers != "20 threads" and not common.long(callers):
            raise NotImplementedError("takes long")
        self.prepare(embedder, projection=False)
        self.each = BATCH  # a thread comes again and again; a task adds one
        self.rounds = 2 if embedder == "minilm" else 3
        self.before = self.memory.count()
        self.answers: list[Answer] = []  # of all single adds; appending is atomic

    def track_against_batch(self, embedder: str, callers: str) -> float:
        """Their rate over that of the batch, the median of the turns."""
        ratios = []
        for i in range(self.rounds):
            begin = time.perf_counter()
            self.memory.add_batch(self.batch(2 * i)[: self.each])
            middle = time.perf_counter()
            self.call(callers, self.batch(2 * i + 1)[: self.each])
            ratios.append((middle - begin) / (time.perf_counter() - middle))
        assert len(self.answers) == self.rounds * self.each
        self.verify(self.before + 2 * self.rounds * self.each, every(self.answers))
        return statistics.median(ratios)

    track_against_batch.unit = "ratio"

    def track_longest_wait(self, embedder: str, callers: str) -> float:
        """The longest wait of a call over the median; of tasks, from the start of all."""
        waits = sorted(self.call(callers, self.batch(1)[: self.each]))
        self.verify(self.before + self.each, every(self.answers))
        return waits[-1] / waits[len(waits) // 2]

    track_longest_wait.unit = "ratio"

    def call(self, callers: str, texts: list[str]) -> list[float]:
        """Add the texts one by one; returns how long each took."""
        number, kind = callers.split()
        if kind == "tasks":
            return self.tasks(texts[: int(number)])
        waits: list[float] = []

        def caller(own: list[str]) -> None:
            for text in own:
                begin = time.perf_counter()
                answer = self.memory.add(text)
                waits.append(time.perf_counter() - begin)
                self.answers.append(answer)

        n = int(number)
        threads = [threading.Thread(target=caller, args=(texts[i::n],)) for i in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return waits

    def tasks(self, texts: list[str]) -> list[float]:
        from agentmem import AsyncMemory

        shared: Any = AsyncMemory.__new__(AsyncMemory)
        shared._wrap(self.memory)
        waits: list[float] = []

        async def caller(text: str) -> None:
            begin = time.perf_counter()
            answer = await shared.add(text)
            waits.append(time.perf_counter() - begin)
            self.answers.append(answer)

        async def main() -> None:
            await asyncio.gather(*(caller(text) for text in texts))

        asyncio.run(main())
        return waits


class FourProcesses:
    """Four processes that write and search one folder at once, every answer checked."""

    timeout = 300

    def track_longest_call(self) -> float:
        done = subprocess.run(
            [sys.executable, "-m", "agentmem", "stress", "mixed", "--kind", "processes",
             "--workers", "4", "--users", "20", "--size", "500", "--seconds", "3", "--warm-up", "1",
             "--embedder", "static", "--json"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        [phase] = json.loads(done.stdout)["phases"]
        return max(float(call["max_ms"]) for call in phase["operations"].values())

    track_longest_call.unit = "ms"


class AddDuplicates(_Adding):
    """Texts that their scope already has: nothing is embedded."""

    def setup(self) -> None:
        self.prepare("minilm", projection=False)
        self.memory.add_batch(self.batch(0), vectors=common.vectors(BATCH, 384))

    def track_deduped(self) -> float:
        """With ``dedupe``: nothing is stored either."""
        before = self.memory.count()
        answers: list[Answer] = []
        found = rate(lambda i: answers.append(self.memory.add_batch(self.batch(0), dedupe=True)))
        assert {result["event"] for result in every(answers)} == {"NONE"}
        self.verify(before, every(answers[-1:]))
        return found

    track_deduped.unit = "memories/s"

    def track_stored_again(self) -> float:
        self.memory.add_batch(self.batch(1))  # with vectors of the model, to be used again
        return self.added(lambda i: self.memory.add_batch(self.batch(1)))

    track_stored_again.unit = "memories/s"


class Change(_Adding):
    """Batches of 1,000 of stored memories; nothing is embedded."""

    def setup(self) -> None:
        self.prepare("static")
        self.ids = []
        for i in range(12):
            answer = self.memory.add_batch(self.batch(i), metadata={"round": 0})
            self.ids.append([result["id"] for result in answer["results"]])

    def track_update_metadata(self) -> float:
        before = self.memory.count()
        answers: list[Answer] = []
        found = rate(
            lambda i: answers.append(
                self.memory.update_batch(
                    [{"id": id, "metadata": {"round": i + 1}} for id in self.ids[i % 12]]
                )
            )
        )
        self.verify(before, every(answers[-1:]))
        last = self.memory.get_batch(self.ids[(len(answers) - 1) % 12])
        assert all(item and item["metadata"] == {"round": len(answers)} for item in last)
        return found

    track_update_metadata.unit = "memories/s"

    def track_delete(self) -> float:
        begin = time.perf_counter()
        answers = [self.memory.delete_batch(some) for some in self.ids]
        spent = time.perf_counter() - begin
        self.verify(101, every(answers))  # those of ``prepare`` are left
        return 12 * BATCH / spent

    track_delete.unit = "memories/s"


class AddArrow(common.TemporaryStore):
    """A stream of record batches with vectors, which nobody holds as a whole."""

    timeout = 600
    rows = 50_000

    def setup(self) -> None:
        self.open("static")

    def track_rate(self) -> float:
        begin = time.perf_counter()
        self.memory.add_arrow(stream(self.rows))
        spent = time.perf_counter() - begin
        self.verify(self.rows)
        last = self.memory.get_all(limit=1, order="-created_at")["results"][0]["memory"]
        assert last == f"{common.texts(BATCH)[-1]} #{self.rows // BATCH - 1}"
        return self.rows / spent

    track_rate.unit = "memories/s"


class AddArrowPeak:
    """What a process needs in memory that streams many rows into a store: as much for a million
    (with ``AGENTMEM_BENCH_LONG=1``) as for a tenth of that."""

    params = ((100_000, *common.long(1_000_000)), (True, *common.long(False)))
    param_names = ("rows", "projection")
    timeout = 1800

    def track_peak(self, rows: int, projection: bool) -> float:
        """The most that was resident at any time, by a process of its own."""
        arguments = [str(rows), str(int(projection))]
        done = subprocess.run(
            [sys.executable, "streaming.py", *arguments],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        return float(done.stdout.split()[-1])  # with the child that drains

    track_peak.unit = "MiB"


def stream(rows: int) -> Any:
    """A reader of so many different texts with vectors of 256 dimensions."""
    import pyarrow as pa

    schema = pa.schema([("content", pa.string()), ("vector", pa.list_(pa.float32(), 256))])
    vectors = pa.FixedSizeListArray.from_arrays(common.vectors(BATCH, 256).ravel(), 256)
    some = common.texts(BATCH)

    def batches() -> Any:
        for i in range(rows // BATCH):
            texts = pa.array([f"{text} #{i}" for text in some])
            yield pa.record_batch([texts, vectors], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())
