"""SQLite alone: what a transaction of a thousand rows costs, and what a large store adds to it.

Every commit is durable (``synchronous=FULL``), every row has a 384-d model vector, twelve keyword
terms, metadata and a scope of its own user; ids are time-ordered, as the library makes them.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import common
from .common import SEED, sentences, vectors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentmem.store import Store
    from agentmem.types import NewMemory, TermBatch

DIM = 384
BATCH = 1000
TERMS = 12
USERS = 200


class Source:
    """Batches of new memories, different in every row and the same in every run."""

    def __init__(self, users_a_batch: int = 1) -> None:
        import numpy as np

        from agentmem.types import Scope, TermBatch, VectorSource

        chance = np.random.default_rng(SEED)
        self.vectors = vectors(BATCH, DIM)
        self.sources = [VectorSource.MODEL] * BATCH
        self.terms: TermBatch = TermBatch(
            np.arange(0, BATCH * TERMS + 1, TERMS, dtype=np.int64),
            np.sort(chance.integers(0, 2**63, (BATCH, TERMS), dtype=np.uint64)).ravel(),
            np.ones(BATCH * TERMS, dtype=np.uint16),
            np.full(BATCH, TERMS, dtype=np.uint32),
        )
        self.scopes = [Scope(user_id=f"user {n}") for n in range(USERS)]
        self.made = 0
        self.run = BATCH // users_a_batch  # consecutive rows of one user

    def batch(self) -> list[NewMemory]:
        from agentmem._native.hashing import hash_texts
        from agentmem.types import NewMemory

        pool = sentences()
        numbers = range(self.made, self.made + BATCH)
        texts = [f"{number}: {pool[number % len(pool)]}" for number in numbers]
        digests = hash_texts(texts)
        self.made += BATCH
        return [
            NewMemory(
                id=number.to_bytes(8, "big") + digests[16 * i : 16 * i + 8],
                scope=self.scopes[number // self.run % USERS],
                content=text,
                content_hash=digests[16 * i : 16 * i + 16],
                role="user",
                metadata='{"source":"benchmark","number":7}',
            )
            for i, (number, text) in enumerate(zip(numbers, texts, strict=True))
        ]

    def insert(self, store: Store, batch: list[NewMemory]) -> None:
        with store.write() as tx:
            tx.insert(batch, self.vectors, self.sources, self.terms)


def opened(folder: str) -> Store:
    from agentmem.store import Store

    return Store(folder, model_id="benchmark", dim=DIM, analyzer="benchmark")


def seconds_of_batches(store: Store, source: Source, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        batch = source.batch()
        start = time.perf_counter()
        source.insert(store, batch)
        taken.append(time.perf_counter() - start)
    return taken


def verify(folder: str, count: int, there: Iterable[Any] = (), gone: Iterable[Any] = ()) -> None:
    """Open the store anew: it must hold so many memories, those that are ``there`` as they were
    written, and none that is ``gone``.

    Raises:
        AssertionError
    """
    from agentmem.store import filters

    expected = {memory.id: memory.content for memory in there}
    with opened(folder) as store, store.read() as snapshot:
        found = snapshot.count(filters.EVERYTHING)
        if found != count:
            raise AssertionError(f"the store has {found:,} memories, not {count:,}")
        stored = snapshot.by_ids([*expected, *(memory.id for memory in gone)])
    if {id: record.content for id, record in stored.items()} != expected:
        raise AssertionError("the store has other memories than were written")


class InsertBySize:
    """Rate of thousand-row transactions in a store of so many rows, over an empty store's."""

    params = ((100_000, *common.long(1_000_000)), (1, 200))
    param_names = ("stored", "users a batch")
    timeout = 1200
    unit = "ratio"
    number = 1

    def track_rate_over_an_empty_stores(self, stored: int, users: int) -> float:
        folder = tempfile.mkdtemp(prefix="agentmem-bench-")
        try:
            source = Source(users)
            with opened(folder) as store:
                first = seconds_of_batches(store, source, 30)
                seconds_of_batches(store, source, stored // BATCH - 30)
                last = seconds_of_batches(store, source, 30)
            verify(folder, source.made)
            return statistics.median(first) / statistics.median(last)
        finally:
            shutil.rmtree(folder)


class Filled:
    """100,000 rows of 200 users, made once."""

    rows = 100_000
    timeout = 600

    def setup_cache(self) -> str:
        folder = Path("filled").absolute()  # asv's own, removed with the run
        source = Source()
        with opened(str(folder)) as store:
            seconds_of_batches(store, source, self.rows // BATCH)
        return str(folder)

    def setup(self, folder: str) -> None:
        self.store = opened(folder)
        self.source = Source()
        self.source.made = time.time_ns()  # beyond every stored number

    def teardown(self, folder: str) -> None:
        self.store.close()


class Reads(Filled):
    def setup(self, folder: str) -> None:
        from agentmem.store import filters
        from agentmem.types import PartitionKey, Scope

        super().setup(folder)
        self.mine = filters.in_scope(Scope(user_id="user 3"))
        self.all = filters.EVERYTHING
        self.topic = filters.parse({"metadata.source": "other"})
        self.whole = PartitionKey(None, None)
        self.partition = PartitionKey("user_id", "user 3")

    def time_empty_read(self, folder: str) -> None:
        with self.store.read() as snapshot:
            _ = snapshot.seq

    def time_load_everything(self, folder: str) -> None:
        with self.store.read() as snapshot:
            snapshot.load(self.whole)

    def time_load_a_user_of_500(self, folder: str) -> None:
        with self.store.read() as snapshot:
            snapshot.load(self.partition)

    def time_count_everything(self, folder: str) -> None:
        with self.store.read() as snapshot:
            snapshot.count(self.all)

    def time_page_of_a_user(self, folder: str) -> None:
        with self.store.read() as snapshot:
            snapshot.page(self.mine, order="-created_at", limit=100, after=None)

    def time_filter_everything_by_metadata(self, folder: str) -> None:
        with self.store.read() as snapshot:
            snapshot.matching_keys(self.whole, self.topic)

    def time_ten_records(self, folder: str) -> None:
        with self.store.read() as snapshot:
            snapshot.records(range(1, self.rows, self.rows // 10))

    def time_known_vectors_of_1000(self, folder: str) -> None:
        scopes = [self.source.scopes[n // 5] for n in range(1000)]
        with self.store.read() as snapshot:
            snapshot.known_vectors(scopes, [n.to_bytes(16) for n in range(1000)])


class Pages:
    """Pages of twenty by ``created_at`` in a store of 60,000 rows, of scopes whose rows stand among
    those of others: one of 6,000, and one of 600.  A page is to take as long as the page."""

    rows = 60_000
    timeout = 600
    unit = "ratio"

    def setup_cache(self) -> str:
        from agentmem.types import Scope

        folder = Path("pages").absolute()  # asv's own, removed with the run
        source = Source(BATCH)
        source.scopes[: USERS // 10] = [Scope(user_id="large")] * (USERS // 10)
        source.scopes[-USERS // 100 :] = [Scope(user_id="small")] * (USERS // 100)
        with opened(str(folder)) as store:
            seconds_of_batches(store, source, self.rows // BATCH)
        return str(folder)

    def setup(self, folder: str) -> None:
        self.store = opened(folder)

    def teardown(self, folder: str) -> None:
        self.store.close()

    def track_rate_over_a_tenth_as_large(self, folder: str) -> float:
        """The newest page, and pages of the middle."""
        from agentmem.store import filters
        from agentmem.types import Scope

        def page(name: str, number: int) -> None:
            where = filters.in_scope(Scope(user_id=name))
            after = (0, self.rows // 2 + number % 1_000) if number % 2 else None
            with self.store.read() as snapshot:
                found = snapshot.page(where, order="-created_at", limit=20, after=after)
            if len(found) != 20:
                raise AssertionError(f"a page of {name!r} has {len(found)} memories, not 20")

        large, small = common.rates(lambda i: page("large", i), lambda i: page("small", i))
        return large / small


class Writes(Filled):
    number = 1
    warmup_time = 0.0

    def setup(self, folder: str) -> None:
        from agentmem.store import filters

        super().setup(folder)
        self.batch = self.source.batch()
        self.source.insert(self.store, self.batch)
        with self.store.read() as snapshot:
            self.count = snapshot.count(filters.EVERYTHING)
            records: dict[bytes, Any] = snapshot.by_ids([memory.id for memory in self.batch])
        self.records = list(records.values())
        self.next = self.source.batch()
        self.there, self.gone = self.batch, []

    def teardown(self, folder: str) -> None:
        super().teardown(folder)
        count = self.count - len(self.batch) + len(self.there)
        verify(folder, count, self.there, self.gone)

    def time_insert_1000(self, folder: str) -> None:
        self.source.insert(self.store, self.next)
        self.there = self.batch + self.next

    def time_update_fields_of_1000(self, folder: str) -> None:
        with self.store.write() as tx:
            tx.update(self.records, None, None, None)

    def time_delete_1000(self, folder: str) -> None:
        with self.store.write() as tx:
            tx.delete([record.key for record in self.records])
        self.there, self.gone = [], self.batch
