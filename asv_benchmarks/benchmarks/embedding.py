"""Embedding: what the embedder adds to the bare model, and how fast each model is.

``track_ratio_to_bare_sessions`` is the one to watch: the embedder from text against nothing but
``session.run`` on the same batches, tokenised beforehand, taking turns in the same process, so
that a busy or a slow machine weighs on both alike.  Its goal is 0.9.
"""

from __future__ import annotations

import queue
import statistics
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from agentmem import embed, models
from agentmem.config import EmbeddingConfig, usable_cores
from benchmarks import common

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentmem.embed.local import LocalEmbedder

TRANSFORMERS = ["minilm", "minilm-fp32"]


def loaded(name: str, **settings: int) -> LocalEmbedder:
    made = embed.create(
        models.resolve(name), lambda: models.provision(name), EmbeddingConfig(**settings)
    )
    made.warm_up()
    return made


def best(calls: list[Callable[[], object]], seconds: float, turns: int = 3) -> list[float]:
    """The shortest time of each call, taking turns at least so often and so long."""
    times = [float("inf")] * len(calls)
    stop = time.perf_counter() + seconds
    while turns > 0 or time.perf_counter() < stop:
        turns -= 1
        for i, call in enumerate(calls):
            begin = time.perf_counter()
            call()
            times[i] = min(times[i], time.perf_counter() - begin)
    return times


class BareSessions:
    """As many threads as the embedder has sessions, and ``session.run`` on ready batches."""

    def __init__(self, name: str, texts: list[str], config: EmbeddingConfig) -> None:
        from agentmem.embed.sessions import OUTPUT, open_session
        from agentmem.embed.text import Reader
        from agentmem.embed.work import Work

        files = models.provision(name)
        self.session = open_session(files)
        self.output = [OUTPUT]
        self.threads = config.calls
        reader = Reader(files.tokenizer, files.max_length, special=True)
        work = Work(texts, reader.ids, limit=config.max_batch_tokens, sessions=self.threads)
        self.batches: list[dict[str, Any]] = []
        while (batch := work.take()) is not None:
            self.batches.append({"input_ids": batch.ids, "attention_mask": batch.mask})

    def __call__(self) -> None:
        todo: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        for item in [*self.batches, *[None] * self.threads]:
            todo.put(item)

        def run() -> None:
            while (batch := todo.get()) is not None:
                self.session.run(self.output, batch)

        threads = [threading.Thread(target=run) for _ in range(self.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class AgainstBareSessions:
    """Text in, vectors out, against the bare model on the same batches."""

    params = (TRANSFORMERS, [20, 300])
    param_names = ("model", "texts")
    timeout = 300

    def setup(self, name: str, n: int) -> None:
        self.texts = common.texts(n)
        self.embedder = loaded(name)
        self.bare = BareSessions(name, self.texts, EmbeddingConfig())
        self.bare()

    def teardown(self, *_: object) -> None:
        self.embedder.close()

    def track_ratio_to_bare_sessions(self, name: str, n: int) -> float:
        # The median of pairs: two best times may come from two states of a busy machine.
        ratios: list[float] = []
        stop = time.perf_counter() + 1.0
        while len(ratios) < 3 or time.perf_counter() < stop:
            begin = time.perf_counter()
            self.bare()
            middle = time.perf_counter()
            self.embedder.embed(self.texts)
            ratios.append((middle - begin) / (time.perf_counter() - middle))
        return statistics.median(ratios)

    track_ratio_to_bare_sessions.unit = "ratio"  # type: ignore[attr-defined]


class Texts:
    """Texts a second, and the time of one text."""

    params = (["minilm", "minilm-fp32", "static"],)
    param_names = ("model",)
    timeout = 300

    def setup(self, name: str) -> None:
        self.texts = common.texts(10_000 if name == "static" else 200)
        self.embedder = loaded(name)
        self.query = list(common.questions()[:1])

    def teardown(self, *_: object) -> None:
        self.embedder.close()

    def track_texts_per_second(self, name: str) -> float:
        return len(self.texts) / best([lambda: self.embedder.embed(self.texts)], 1.0)[0]

    track_texts_per_second.unit = "texts/s"  # type: ignore[attr-defined]

    def time_one_query(self, name: str) -> None:
        self.embedder.embed_queries(self.query)


class OneCaller:
    """One text a call, one call at a time: all cores for it, against one thread, in turns."""

    params = (TRANSFORMERS,)
    param_names = ("model",)
    timeout = 300

    def setup(self, name: str) -> None:
        self.texts = common.texts(300)
        self.embedder = loaded(name)
        self.narrow = loaded(name, threads_alone=1)
        for text in self.texts[:100]:  # the session of several threads is opened meanwhile
            self.embedder.embed([text])

    def teardown(self, *_: object) -> None:
        self.embedder.close()
        self.narrow.close()

    def track_against_one_thread(self, name: str) -> float:
        ratios = []
        for i in range(100, 300, 20):
            times = []
            for embedder in (self.narrow, self.embedder):
                begin = time.perf_counter()
                for text in self.texts[i : i + 20]:
                    embedder.embed([text])
                times.append(time.perf_counter() - begin)
            ratios.append(times[0] / times[1])
        return statistics.median(ratios)

    track_against_one_thread.unit = "ratio"  # type: ignore[attr-defined]


#: Threads of a call, and whether they wait awake for the next operator.
SESSIONS = {"one thread": (1, False), "two, asleep": (2, False), "two, awake": (2, True)}


class _LoneSessions:
    """Only with ``AGENTMEM_BENCH_LONG=1``: what a session was chosen by seldom changes."""

    param_names = ("model", "session")
    timeout = 300

    def setup(self, name: str, kind: str) -> None:
        if not common.long(kind):
            raise NotImplementedError("takes long")
        import numpy as np

        from agentmem.embed.text import Reader

        self.files = models.provision(name)
        reader = Reader(self.files.tokenizer, self.files.max_length, special=True)
        ids = [np.array([row], np.int64) for row in reader.ids(common.texts(20))]
        self.calls = [(row, np.ones_like(row)) for row in ids]
        before = common.resident()
        self.run = self.opened(kind)
        self.run()
        self.bytes = common.resident() - before

    def opened(self, kind: str) -> Callable[[], None]:
        """All texts, one after the other, by a session of that kind."""
        from agentmem.embed.sessions import open_session, run

        threads, awake = SESSIONS[kind]
        session = open_session(self.files, threads, awake=awake)

        def call() -> None:
            for ids, mask in self.calls:
                run(session, ids, mask, self.files.name)

        return call


class LoneSessions(_LoneSessions):
    """Sessions that could serve a lone caller, one text a call."""

    params = (TRANSFORMERS, list(SESSIONS))

    def track_texts_per_second(self, name: str, kind: str) -> float:
        return len(self.calls) / best([self.run], 0.3)[0]

    track_texts_per_second.unit = "texts/s"  # type: ignore[attr-defined]

    def track_processor_ms(self, name: str, kind: str) -> float:
        """Of all threads, a text."""
        begin = time.process_time()
        self.run()
        return 1e3 * (time.process_time() - begin) / len(self.calls)

    track_processor_ms.unit = "ms"  # type: ignore[attr-defined]

    def track_resident_mib(self, name: str, kind: str) -> float:
        """Memory that opening and using the session added."""
        return self.bytes / 2**20

    track_resident_mib.unit = "MiB"  # type: ignore[attr-defined]


class LoneSessionsBusy(_LoneSessions):
    """The same while another program keeps each core busy: against one thread, in turns."""

    params = (TRANSFORMERS[:1], list(SESSIONS)[1:])

    def setup(self, name: str, kind: str) -> None:
        super().setup(name, kind)
        self.narrow = self.opened("one thread")
        self.others = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"])
            for _ in range(usable_cores())
        ]

    def teardown(self, *_: object) -> None:
        for process in self.others:
            process.kill()
            process.wait()

    def track_against_one_thread(self, name: str, kind: str) -> float:
        ratios = []
        for _ in range(5):
            begin = time.perf_counter()
            self.narrow()
            middle = time.perf_counter()
            self.run()
            ratios.append((middle - begin) / (time.perf_counter() - middle))
        return statistics.median(ratios)

    track_against_one_thread.unit = "ratio"  # type: ignore[attr-defined]


class Callers:
    """Many threads, one text each at a time: what a group of agents does without batching."""

    params = (TRANSFORMERS[:1], [1, 20])
    param_names = ("model", "threads")
    timeout = 300

    def setup(self, name: str, threads: int) -> None:
        self.texts = common.texts(200)
        self.embedder = loaded(name)

    def teardown(self, *_: object) -> None:
        self.embedder.close()

    def track_texts_per_second(self, name: str, threads: int) -> float:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(threads) as pool:

            def call() -> None:
                list(pool.map(lambda text: self.embedder.embed([text]), self.texts))

            return len(self.texts) / best([call], 1.0)[0]

    track_texts_per_second.unit = "texts/s"  # type: ignore[attr-defined]
