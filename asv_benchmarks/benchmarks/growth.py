"""What the number of memories in one scope does to writes, searches, memory and disk.

Vectors are given, so no model is measured.  1,000,000 memories only with ``AGENTMEM_BENCH_LONG=1``.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem import Memory

SIZES = (1_000, 10_000, 100_000, *common.long(1_000_000))
DIM = 384
BATCH = 1_000
POOL = 10_000  # different vectors; more would be memory of the benchmark's own


class _Given:
    """An embedder that is never asked."""

    dim = DIM
    name = "given"

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        raise AssertionError("a text was embedded")


def opened(folder: str | Path) -> Memory:
    from agentmem import Memory

    return Memory(folder, embedder=_Given(), user_id="bench")


def fill(memory: Memory, size: int, pool: Any) -> None:
    """In runs of 25, as a conversation has."""
    pattern = common.texts(BATCH)
    for first in range(0, size, BATCH):
        items = [
            {"content": f"{text} #{first}", "run_id": str((first + i) // 25)}
            for i, text in enumerate(pattern)
        ]
        start = first % POOL
        memory.add_batch(items, vectors=pool[start : start + BATCH])


class _Stores:
    """A store of each size, made once."""

    params = (SIZES,)
    param_names = ("memories",)
    timeout = 1800

    def setup_cache(self) -> str:
        folder = Path("growth").absolute()
        pool = common.vectors(POOL, DIM)
        for size in SIZES:
            with opened(folder / str(size)) as memory:
                fill(memory, size, pool)
                memory.flush()
        return str(folder)

    setup_cache.timeout = 1800  # type: ignore[attr-defined]

    def setup(self, folder: str, memories: int) -> None:
        self.path = Path(folder) / str(memories)
        self.pool = common.vectors(POOL, DIM)
        self.asked = common.questions()


class Growth(_Stores):
    """Searches of a scope that is loaded."""

    def setup(self, folder: str, memories: int) -> None:
        super().setup(folder, memories)
        self.memory = opened(self.path)
        self.calls = 0
        self.time_search(folder, memories)  # loads the scope
        self.time_search_dense(folder, memories)

    def teardown(self, folder: str, memories: int) -> None:
        self.memory.close()

    def time_search(self, folder: str, memories: int) -> None:
        """Hybrid, the scope loaded."""
        self.calls += 1
        self.memory.search(
            self.asked[self.calls % len(self.asked)], vector=self.pool[self.calls % POOL]
        )

    def time_search_dense(self, folder: str, memories: int) -> None:
        self.calls += 1
        self.memory.search(mode="dense", vector=self.pool[self.calls % POOL])

    def peakmem_search(self, folder: str, memories: int) -> None:
        """The whole process: interpreter, libraries, the scope in memory."""
        self.memory.search(self.asked[0], vector=self.pool[0])


class GrowthOnDisk(_Stores):
    """What is opened anew, written to, and stored."""

    def track_open_and_first_search(self, folder: str, memories: int) -> float:
        """Milliseconds, the best of three."""
        best = float("inf")
        for _ in range(3):
            begin = time.perf_counter()
            with opened(self.path) as memory:
                memory.search(self.asked[0], vector=self.pool[0])
                best = min(best, time.perf_counter() - begin)
        return 1e3 * best

    def track_add_batch(self, folder: str, memories: int) -> float:
        """Memories a second, of five batches of 1,000 into a copy."""
        copy = self.path.with_name("copy")
        shutil.copytree(self.path, copy)
        try:
            with opened(copy) as memory:
                fill(memory, BATCH, self.pool)  # warm
                begin = time.perf_counter()
                fill(memory, 5 * BATCH, self.pool)
                spent = time.perf_counter() - begin
                memory.flush()
            with opened(copy) as memory:
                assert memory.count() == memories + 6 * BATCH
            return 5 * BATCH / spent
        finally:
            shutil.rmtree(copy)

    def track_bytes_a_memory(self, folder: str, memories: int) -> float:
        """On disk, everything, of 768 bytes of vector and about 150 of text."""
        return sum(p.stat().st_size for p in self.path.rglob("*") if p.is_file()) / memories

    track_open_and_first_search.unit = "ms"  # type: ignore[attr-defined]
    track_add_batch.unit = "memories/s"  # type: ignore[attr-defined]
    track_bytes_a_memory.unit = "bytes"  # type: ignore[attr-defined]
