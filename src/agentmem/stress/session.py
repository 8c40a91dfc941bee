"""One process's part of a run: its store, its workers, what they record and check."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter_ns

from agentmem.aio import AsyncMemory
from agentmem.memory import Memory
from agentmem.stress.actor import Actor
from agentmem.stress.caller import Shared
from agentmem.stress.content import Questions, VectorPool
from agentmem.stress.drivers import Arrivals, Direct, drive_tasks, drive_threads
from agentmem.stress.ledger import Bulletin, Checks
from agentmem.stress.monitor import Monitor, Sample
from agentmem.stress.plan import Phase, Plan
from agentmem.stress.recorder import Recorder

__all__ = ["Session"]

_BATCH = 1_000  # memories stored at once beforehand
_LEAD = 0.05  # seconds from starting the workers to their first call


class Session:
    """Opens the store, stores what must be there, then runs phases.

    ``share`` of ``shares`` processes: it has every ``shares``-th worker and its users, and an
    equal part of the rate.
    """

    def __init__(
        self,
        plan: Plan,
        path: Path,
        *,
        share: int = 0,
        shares: int = 1,
        bulletin: Path | None = None,
    ) -> None:
        self._plan = plan
        self._share, self._shares = share, shares
        # Not a bare loop: Ctrl-C, raised wherever it happens to be, may be in a finalizer or a
        # callback of the collector, which drop it.  A runner cancels the task instead.
        self._runner = asyncio.Runner() if plan.kind == "tasks" else None
        self._asynchronous: AsyncMemory | None = None
        if self._runner is None:
            self.memory = Memory(path, embedder=plan.embedder)
        else:
            self._asynchronous = AsyncMemory(path, embedder=plan.embedder)
            self.memory = self._asynchronous._memory
        self.checks = Checks()
        self.shared = Shared(
            memory=Direct(self.memory) if self._asynchronous is None else self._asynchronous,
            load=plan.load,
            recorder=Recorder(plan.timeout),
            checks=self.checks,
            bulletin=Bulletin(bulletin, 2 * plan.timeout),
            questions=Questions(plan.seed, plan.load.queries),
            vectors=self._vectors(),
            process=share,
            verify=plan.verify,
        )
        self.actors = self._make_actors()

    def preload(self) -> None:
        """Store this process's part of the memories that must be there, and warm the model."""
        self.memory.warm_up()
        mine = len(range(self._share, self._plan.stored, self._shares))
        count = len(self.actors)
        drafts = [
            draft
            for i, actor in enumerate(self.actors)
            for draft in actor.drafts(len(range(i, mine, count)))
        ]
        for first in range(0, len(drafts), _BATCH):
            part = drafts[first : first + _BATCH]
            answer = self.memory.add_batch([item for _, _, item in part])
            for (ledger, entry, _), result in zip(part, answer["results"], strict=True):
                entry.id = result["id"]
                ledger.added(entry)
        self.memory.flush()
        # A full collection stops all threads while it looks at everything that was imported and
        # filled in until now; whoever serves calls puts that aside, once it is there.
        gc.collect()
        gc.freeze()

    def run(
        self, phase: Phase, tell: Callable[[Sample], None] | None = None
    ) -> tuple[Recorder, list[Sample]]:
        """One phase; ``tell`` is called with a sample about once a second, in another thread."""
        threads = self._runner is None
        recorder = self.shared.recorder = Recorder(self._plan.timeout, threads=threads)
        begin = perf_counter_ns() + int(_LEAD * 1e9)
        recorder.since = begin + int(phase.warm_up * 1e9)
        end = recorder.since + int(phase.seconds * 1e9)
        arrivals = None
        if phase.rate is not None:
            seed = f"arrivals {self._plan.seed} {self._share}"
            arrivals = Arrivals(phase.rate / self._shares, begin, end, seed)
        monitor = Monitor(self.memory, recorder, arrivals, phase, tell)
        monitor.start()
        recorder.stalls.start()
        try:
            if self._runner is not None:
                self._runner.run(drive_tasks(self.actors, begin, end, arrivals))
            else:
                drive_threads(self.actors, begin, end, arrivals)
        finally:
            recorder.stalls.stop()
            monitor.stop()
        return recorder, monitor.samples

    def expected(self) -> Iterator[tuple[str, str, str]]:
        """``(id, user, text)`` of every memory that must be there."""
        for actor in self.actors:
            for ledger in actor.ledgers:
                for entry in ledger.live.values():
                    yield entry.id, entry.user, entry.text

    def close(self) -> None:
        gc.unfreeze()
        self.shared.bulletin.close()
        if self._runner is not None and self._asynchronous is not None:
            self._runner.run(self._asynchronous.close())
            self._runner.close()
        self.memory.close()

    def _make_actors(self) -> list[Actor]:
        plan, share, shares = self._plan, self._share, self._shares
        workers = range(share, plan.workers, shares)
        # A generator of random numbers takes 2.5 KB; tasks of one loop can share one.
        common = random.Random(f"tasks {plan.seed} {share}")
        return [
            Actor(
                self.shared,
                worker,
                [f"user-{user}" for user in range(worker, plan.users, plan.workers)],
                common if self._runner is not None else random.Random(f"{plan.seed} {worker}"),
                plan.most_of_a_user,
            )
            for worker in workers
        ]

    def _vectors(self) -> VectorPool | None:
        if not self._plan.load.vectors:
            return None
        return VectorPool(self._plan.seed, self.memory.stats()["embedder"]["dim"])
