"""The LanceDB projection: draining the log, and the rates it is measured against.

Each drain is checked: the rate of a drain that lost rows is no rate.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import texts, vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from agentmem import Memory
    from agentmem.types import TermBatch

ROWS = 50_000  # that are drained
INDEXED = 10_000  # whose indexes are built, by a process that yields to all others
DIM = 384
BATCH = 20_000


def _one_term_each(n: int) -> TermBatch:
    """The projection does not read terms."""
    import numpy as np

    from agentmem.types import TermBatch

    ones = np.ones(n, dtype=np.uint16)
    return TermBatch(
        offsets=np.arange(n + 1, dtype=np.int64),
        terms=np.ones(n, dtype=np.uint64),
        counts=ones,
        lengths=ones.astype(np.uint32),
    )


class _Drained:
    """A copy of a store of ``ROWS`` memories with model-made vectors, and its projection."""

    timeout = 600
    number = 1
    warmup_time = 0.0
    table = False  # whether there is one, up to date

    def setup_cache(self) -> str:
        folder = Path("projection").absolute()  # asv's own, removed with the run
        self.open(folder / "bare")
        self.insert(texts(ROWS), vectors(ROWS, DIM))
        self.close()
        shutil.copytree(folder / "bare", folder / "table")
        self.open(folder / "table")
        self.drained()
        self.close()
        return str(folder)

    def setup(self, made: str) -> None:
        import lancedb  # noqa: F401  a second, once per process

        self.folder = tempfile.mkdtemp(prefix="agentmem-bench-")
        store = Path(self.folder) / "store"
        shutil.copytree(Path(made) / ("table" if self.table else "bare"), store)
        self.open(store)

    def open(self, folder: Path) -> None:
        from agentmem.config import Config, StoreConfig
        from agentmem.engine.drain import program
        from agentmem.store import Store
        from agentmem.vector.projection import LanceProjection

        config = Config(store=StoreConfig(durability="off"))
        self.store = Store(folder, config.store, model_id="bench", dim=DIM, analyzer="bench")
        self.lance = LanceProjection(
            folder, self.store, config.projection, program=program(folder, config)
        )

    def close(self) -> None:
        self.lance.close()
        self.store.close()

    def teardown(self, made: str) -> None:
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def insert(self, contents: list[str], rows: NDArray[np.float32]) -> None:
        from agentmem.ids import new_ids
        from agentmem.types import NewMemory, Scope, VectorSource

        for i in range(0, len(contents), 5_000):
            part = contents[i : i + 5_000]
            memories = [
                NewMemory(
                    id=id_,
                    scope=Scope(user_id=f"user-{j % 100}"),
                    content=text,
                    content_hash=id_,  # the projection does not look at it
                )
                for j, (id_, text) in enumerate(zip(new_ids(len(part)), part, strict=True))
            ]
            with self.store.write() as transaction:
                transaction.insert(
                    memories,
                    rows[i : i + 5_000],
                    [VectorSource.MODEL] * len(part),
                    _one_term_each(len(part)),
                )

    def drained(self) -> float:
        """Seconds of a drain that reached the end of the log."""
        begin = time.perf_counter()
        reached = self.lance.drain()
        took = time.perf_counter() - begin
        assert reached == self.store.last_seq()
        return took


class Drain(_Drained):
    """From nothing, in this process."""

    def track_ratio_to_bare_appends(self, made: str) -> float:
        """Our drain against LanceDB's ``add`` of ready-made batches of the same rows."""
        took = self.drained()
        return self.bare_appends() / took

    track_ratio_to_bare_appends.unit = "ratio"  # type: ignore[attr-defined]

    def bare_appends(self) -> float:
        import lancedb

        from agentmem.vector.rows import arrow_rows, arrow_schema

        batches: list[Any] = []
        with self.store.read() as snapshot:
            for first in range(1, ROWS + 1, BATCH):
                keys = list(range(first, min(first + BATCH, ROWS + 1)))
                batches.append(arrow_rows(snapshot.columns(keys)))
        table = lancedb.connect(f"{self.folder}/bare").create_table(
            "bare", schema=arrow_schema(DIM)
        )
        begin = time.perf_counter()
        for batch in batches:
            table.add(batch)
        took = time.perf_counter() - begin
        assert table.count_rows() == ROWS
        return took


class Beside(_Drained):
    """In the background, by the child process that does so in use; it is there already."""

    def setup(self, made: str) -> None:
        super().setup(made)
        self.first = self.waited()
        self.lance.discard()

    def waited(self) -> float:
        """Seconds until the child has drained, and has said so."""
        begin = time.perf_counter()
        self.lance.notify(self.store.last_seq())
        self.lance.wait()
        return time.perf_counter() - begin

    def drained(self) -> float:
        """Seconds of the child, from the moment at which it holds the lock."""
        before = self.lance.stats()["seconds"]
        self.lance.notify(0)  # as after a reset: the table is looked at again
        self.waited()
        assert self.lance.seq == self.store.last_seq()
        return float(self.lance.stats()["seconds"] - before)

    def track_new_rows(self, made: str) -> float:
        rate = ROWS / self.drained()
        assert self.lance.verify() == []
        return rate

    track_new_rows.unit = "rows/s"  # type: ignore[attr-defined]

    def track_processor_us_a_row(self, made: str) -> float:
        """Of both processes."""
        begin = time.process_time() + self.childs_time()
        self.drained()
        return 1e6 * (time.process_time() + self.childs_time() - begin) / ROWS

    track_processor_us_a_row.unit = "us"  # type: ignore[attr-defined]

    def track_start_ms(self, made: str) -> float:
        """What the first drain takes beyond a later one: starting the child, which imports
        lancedb."""
        self.lance.notify(0)
        return 1000 * (self.first - self.waited())

    track_start_ms.unit = "ms"  # type: ignore[attr-defined]

    def childs_time(self) -> float:
        with open(f"/proc/{self.lance._drains.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def track_memory_mib(self, made: str) -> float:
        """Resident memory of the child at the peak."""
        self.drained()
        with open(f"/proc/{self.lance._drains.pid}/status") as file:
            [peak] = [line for line in file if line.startswith("VmHWM")]
        return int(peak.split()[1]) / 2**10

    track_memory_mib.unit = "MiB"  # type: ignore[attr-defined]


class Tail(_Drained):
    """What has changed in a table that is there already."""

    table = True

    def time_nothing_to_do(self, made: str) -> None:
        self.lance.drain()

    def time_notify(self, made: str) -> None:
        self.lance.notify(self.store.last_seq())

    def track_one_row_ms(self, made: str) -> float:
        self.insert(texts(1), vectors(1, DIM))
        return 1000 * self.drained()

    track_one_row_ms.unit = "ms"  # type: ignore[attr-defined]

    def track_updates(self, made: str) -> float:
        from dataclasses import replace

        keys = list(range(1, 10_001))
        with self.store.read() as snapshot:
            records = [replace(r, importance=0.5) for r in snapshot.records(keys).values()]
        with self.store.write() as transaction:
            transaction.update(records, None, None, None)
        return len(keys) / self.drained()

    track_updates.unit = "rows/s"  # type: ignore[attr-defined]

    def track_deletes(self, made: str) -> float:
        keys = list(range(1, 10_001))
        with self.store.write() as transaction:
            transaction.delete(keys)
        return len(keys) / self.drained()

    track_deletes.unit = "rows/s"  # type: ignore[attr-defined]

    def time_purge(self, made: str) -> None:
        self.lance.purge()

    def time_verify(self, made: str) -> None:
        assert self.lance.verify() == []

    def track_bytes_a_row(self, made: str) -> float:
        return float(self.lance.stats()["bytes"] / ROWS)

    track_bytes_a_row.unit = "bytes"  # type: ignore[attr-defined]


class _Seeded:
    """An embedder that costs nothing: what is measured is what is kept of a model's vectors."""

    dim = DIM

    def embed(self, given: list[str]) -> NDArray[np.float32]:
        return vectors(len(given), DIM)


class _Reopening:
    """Mixin: ``self.memory`` in a folder of its own, made by ``open_again``."""

    memory: Memory
    folder: str
    open_again: Callable[[], Memory]

    def teardown(self) -> None:
        self.memory.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def verify(self, count: int, **scope: str) -> None:
        """Flush, close and open the store: it must hold so many memories of the scope."""
        self.memory.flush()
        self.memory.close()
        self.memory = self.open_again()
        assert self.memory.count(**scope) == count


class Whole(_Reopening):
    """A store as its user has it: SQLite, the table, its indexes."""

    timeout = 1200
    number = 1
    warmup_time = 0.0

    def setup(self) -> None:
        from agentmem import Memory

        self.folder = tempfile.mkdtemp(prefix="agentmem-bench-")
        self.open_again = partial(
            Memory,
            Path(self.folder) / "store",
            embedder=_Seeded(),
            config={
                "store": {"durability": "off"},
                "projection": {"index_rows": INDEXED},
                "embedding": {"cache_entries": 0},
            },
        )
        self.memory = self.open_again()

    def track_bytes_a_memory(self) -> float:
        """Of 60 characters, in all files of the store, once everything has caught up; but for
        ``reserve``, free space put aside for a full disk, which has a fixed size."""
        for i in range(0, INDEXED, 5_000):
            items = [f"{text[:52]:52} {j:07d}" for j, text in enumerate(texts(5_000), i)]
            self.memory.add_batch(items, user_id="u")
        extra = self.memory.add("purged", user_id="v")["results"][0]["id"]
        self.memory.flush()
        self.memory.purge(extra)  # which leaves no old version, where others keep one for a minute
        self.memory.flush(indexes=True)
        assert self.memory.stats()["projection"]["indexes"]["indexed"] == INDEXED
        self.verify(INDEXED, user_id="u")
        self.memory.close()
        paths = Path(self.folder).rglob("*")
        files = [path for path in paths if path.is_file() and path.name != "reserve"]
        return sum(path.stat().st_size for path in files) / INDEXED

    track_bytes_a_memory.unit = "bytes"  # type: ignore[attr-defined]


class _Meanwhile(_Reopening):
    """A store whose table is not there yet."""

    timeout = 1200
    number = 1
    warmup_time = 0.0
    index_rows = 0  # from which on the table has indexes

    def setup(self) -> None:
        from agentmem import Memory

        self.folder = tempfile.mkdtemp(prefix="agentmem-bench-")
        self.open_again = partial(
            Memory,
            Path(self.folder) / "store",
            embedder="minilm",
            config={
                "projection": {"index_rows": self.index_rows, "drain_rows": 10 * INDEXED},
                "search": {"answers": 0},  # the same questions come again
            },
        )
        self.memory = self.open_again()
        given = vectors(INDEXED, DIM)
        for i, part in enumerate(range(0, INDEXED, 5_000)):
            self.memory.add_batch(
                [f"{text} {part}" for text in texts(5_000)],
                vectors=given[part : part + 5_000],
                user_id=f"user-{i}",
            )
        self.memory.search("where does she live?", user_id="user-0")


class Meanwhile(_Meanwhile):
    """What others notice of a drain."""

    index_rows = 100 * INDEXED

    def track_share_of_minilm_writes_left(self) -> float:
        """The rate of ``add_batch`` of new texts while the table is filled over and over, against
        that while nothing else is done."""
        fresh = iter(texts(2_000, seed=11))
        written: Counter[str] = Counter()
        took: Counter[str] = Counter()

        def write(when: str) -> None:
            batch = [next(fresh) for _ in range(250)]
            begin = time.perf_counter()
            self.memory.add_batch(batch, user_id="writer")
            took[when] += time.perf_counter() - begin
            written[when] += len(batch)

        for _ in range(2):  # in turns: the machine may have other work, too
            write("alone")
            with self.drained_over_and_over():
                write("meanwhile")
        self.verify(written.total(), user_id="writer")
        rates = {when: written[when] / took[when] for when in took}
        return rates["meanwhile"] / rates["alone"]

    track_share_of_minilm_writes_left.unit = "ratio"  # type: ignore[attr-defined]

    def track_search_p95_ms(self) -> float:
        """Of searches, vector given, while the table is filled over and over."""
        given = vectors(200, DIM, seed=5)
        took: list[float] = []
        with self.drained_over_and_over():
            end = time.monotonic() + 3
            while time.monotonic() < end:
                begin = time.perf_counter()
                self.memory.search("where", vector=given[len(took) % 200], user_id="user-0")
                took.append(time.perf_counter() - begin)
        return 1000 * sorted(took)[len(took) * 95 // 100]

    track_search_p95_ms.unit = "ms"  # type: ignore[attr-defined]

    @contextmanager
    def drained_over_and_over(self) -> Iterator[None]:
        """In the background, from the first row of the table on."""
        projection = self.memory._engine.projection
        done, begun = threading.Event(), threading.Event()

        def drain() -> None:
            while not done.is_set():
                projection.discard()
                projection._drains.start()
                while projection.seq == 0 and projection.stats()["draining"]:
                    done.wait(0.01)
                begun.set()
                projection.wait()

        thread = threading.Thread(target=drain)
        thread.start()
        begun.wait()
        try:
            yield
        finally:
            done.set()
            thread.join()


class MeanwhileIndexing(_Meanwhile):
    """What others notice of the building of indexes."""

    index_rows = INDEXED

    def track_longest_search_ms(self) -> float:
        """Of searches one after the other while the indexes of the whole table are built."""
        self.memory.flush()
        thread = threading.Thread(target=self.memory.flush, kwargs={"indexes": True})
        thread.start()
        longest = 0.0
        questions = cycle(texts(20_000, seed=12))
        while thread.is_alive():
            begin = time.perf_counter()
            self.memory.search(next(questions), user_id="user-0")
            longest = max(longest, time.perf_counter() - begin)
        assert self.memory.stats()["projection"]["indexes"]["indexed"] >= INDEXED
        return 1000 * longest

    track_longest_search_ms.unit = "ms"  # type: ignore[attr-defined]
