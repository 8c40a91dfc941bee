"""Data that every benchmark shares: real sentences, arranged from a fixed seed.

The sentences are those of the conversation in ``examples/``.  A benchmark text is one to three of
them and a date, as a memory of an agent would be; no two of a call are equal, so nothing is
answered from a cache by accident.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from agentmem import Memory

SEED = 20_250_203
RUN = 25  # memories of a run, where they are in runs
SCOPES = (1_000, 10_000, 100_000)
CONVERSATION = Path(__file__).parents[2] / "examples" / "conversation.json"
_BEGIN = datetime(2020, 1, 1, 8, tzinfo=UTC)


def long(*sizes: Any) -> tuple[Any, ...]:
    """Parameters that take minutes: only where ``AGENTMEM_BENCH_LONG`` is set."""
    return sizes if os.environ.get("AGENTMEM_BENCH_LONG") else ()


@cache
def sentences() -> tuple[str, ...]:
    """Every sentence that was said, in order and once each."""
    data = json.loads(CONVERSATION.read_text("utf-8"))
    said = (turn["content"] for session in data["sessions"] for turn in session["turns"])
    return tuple(dict.fromkeys(s for text in said for s in re.split(r"(?<=[.!?]) ", text)))


@cache
def questions() -> tuple[str, ...]:
    """The questions that come with the conversation."""
    data = json.loads(CONVERSATION.read_text("utf-8"))
    return tuple(question["question"] for question in data["questions"])


def texts(n: int, seed: int = SEED) -> list[str]:
    """``n`` different texts; the same for the same ``n`` and ``seed`` on every machine."""
    chance = random.Random(seed)
    pool = sentences()
    made: dict[str, None] = {}
    while len(made) < n:
        day = _BEGIN + timedelta(minutes=chance.randrange(3_000_000))
        parts = chance.sample(pool, chance.choice((1, 1, 2, 2, 3)))
        made[f"{day:%d %B %Y, %H:%M}: {' '.join(parts)}"] = None
    return list(made)


def vectors(n: int, dim: int, seed: int = SEED) -> NDArray[np.float32]:
    """``(n, dim)`` float32 unit vectors in loose clusters, as embeddings lie."""
    import numpy as np

    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((64, dim), dtype=np.float32)
    rows = centres[chance.integers(0, 64, n)]
    rows += 1.5 * chance.standard_normal((n, dim), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def resident(pid: int | str = "self") -> int:
    """Bytes of a process that are in memory; 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


class Resident:
    """The most that is resident while it is open, looked at every five milliseconds: of this
    process and, with a projection, of its child that drains."""

    def __init__(self, projection: Any = None) -> None:
        self._projection = projection
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.bytes = 0

    def __enter__(self) -> Resident:
        self.bytes = self._now()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.bytes = max(self.bytes, self._now())

    def _now(self) -> int:
        child = None if self._projection is None else self._projection._drains.pid
        return resident() + (resident(child) if child else 0)


def rates(
    *calls: Callable[[int], object], seconds: float = 0.4, turns: int = 4
) -> tuple[float, ...]:
    """Calls a second of each, for about ``seconds`` each; a call is given its number.

    They take turns, and what is told is each one's best turn: other load and a processor that
    changes its clock move that far less than a mean over the same time.
    """
    chunks = [_warm(call) for call in calls]
    best, made = [0.0] * len(calls), [0] * len(calls)
    for _ in range(turns):
        for k, call in enumerate(calls):
            first = made[k]
            begin = time.perf_counter()
            while (passed := time.perf_counter() - begin) < seconds / turns:
                for i in range(made[k], made[k] + chunks[k]):
                    call(i)
                made[k] += chunks[k]
            best[k] = max(best[k], (made[k] - first) / passed)
    return tuple(best)


def rate(call: Callable[[int], object], seconds: float = 0.4) -> float:
    """``rates`` of one alone."""
    return rates(call, seconds=seconds)[0]


def percentile_ms(
    call: Callable[[int], object], share: float, calls: int = 2_000, warm: int = 50
) -> float:
    """Milliseconds that this share of the calls, numbered from 0, does not exceed."""
    for i in range(warm):
        call(i)
    times = []
    for i in range(calls):
        begin = time.perf_counter()
        call(i)
        times.append(time.perf_counter() - begin)
    return 1e3 * sorted(times)[int(share * calls)]


def _warm(call: Callable[[int], object]) -> int:
    """Make some calls, at most for a moment; how many of them take about a millisecond."""
    begin = time.perf_counter()
    calls, passed = 0, 0.0
    while calls < 20 and passed < 0.15:
        call(calls)
        calls += 1
        passed = time.perf_counter() - begin
    return max(1, min(50, int(1e-3 * calls / passed)))


class TemporaryStore:
    """Mixin: ``self.memory`` is an empty store, made by ``open`` and removed by ``teardown``.
    A benchmark that writes calls ``verify`` once it has the time."""

    memory: Memory
    folder: str

    def open(self, embedder: str = "static", config: dict[str, Any] | None = None) -> Memory:
        from agentmem import Memory

        self.folder = tempfile.mkdtemp(prefix="agentmem-bench-")
        self.open_again = partial(
            Memory, self.folder, embedder=embedder, config=config, user_id="bench"
        )
        self.memory = self.open_again()
        self.memory.warm_up()
        return self.memory

    def verify(self, count: int, acknowledged: Iterable[Mapping[str, Any]] = ()) -> None:
        """Flush, close and open the store: it must hold so many memories, and some of the
        ``acknowledged``, which calls have answered with, as they were answered.  What lost a
        memory has no rate.

        Raises:
            AssertionError
        """
        self.memory.flush()
        self.memory.close()
        self.memory = self.open_again()
        found = self.memory.count()
        if found != count:
            raise AssertionError(f"the store has {found:,} memories, not {count:,}")
        answers = list(acknowledged)
        some = answers[:: max(1, len(answers) // 200)] + answers[-1:]
        for answer, item in zip(
            some, self.memory.get_batch([answer["id"] for answer in some]), strict=True
        ):
            expected = None if answer["event"] == "DELETE" else answer["memory"]
            if (item and item["memory"]) != expected:
                raise AssertionError(f"{answer} was acknowledged, and now there is {item}")

    def teardown(self, *_: object) -> None:
        if hasattr(self, "memory"):  # asv also tears down what ``setup`` has skipped
            self.memory.close()
            shutil.rmtree(self.folder, ignore_errors=True)


#: Nothing goes on beside what is measured (``projection.Meanwhile`` has that).
_ALONE = {"projection": {"enabled": False}}


class Scopes:
    """Mixin: ``self.memory`` is a store that nobody writes to, of one user's memories in runs of
    25, static embeddings.  Those of all sizes are made once, for all classes that have this."""

    memory: Memory

    def setup_cache(self) -> str:
        from agentmem import Memory

        folder = Path("scopes").absolute()  # asv's own, removed with the run
        for size in SCOPES:
            path = folder / str(size)
            with Memory(path, embedder="static", user_id="bench", config=_ALONE) as memory:
                said = in_runs(texts(size))
                for first in range(0, size, 5_000):
                    memory.add_batch(said[first : first + 5_000])
        return str(folder)

    def open(self, folder: str, memories: int, config: dict[str, Any] | None = None) -> Memory:
        from agentmem import Memory

        path = Path(folder) / str(memories)
        self.memory = Memory(
            path, embedder="static", user_id="bench", config=_ALONE | (config or {})
        )
        self.memory.warm_up()
        return self.memory

    def teardown(self, *_: object) -> None:
        self.memory.close()


def in_runs(said: list[str]) -> list[dict[str, str]]:
    """The texts as items of ``add_batch``, in runs of ``RUN``."""
    return [{"content": text, "run_id": str(i // RUN)} for i, text in enumerate(said)]
