"""A run in several processes: each has a ``Session`` of its own over the same folder."""

from __future__ import annotations

import json
import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from agentmem.errors import AgentMemError
from agentmem.stress.ledger import Checks
from agentmem.stress.monitor import Sample, combine
from agentmem.stress.plan import Phase, Plan
from agentmem.stress.recorder import Recorder
from agentmem.stress.session import Session

__all__ = ["Processes"]

_PATIENCE = 60.0  # seconds for a process to end by itself


class Processes:
    """``plan.workers`` processes, each one worker; they meet only in the store's folder and in
    a file in which each announces what the others may check."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._folder = folder
        self._bulletin = folder.parent / f"{folder.name}.bulletin"
        self.checks = Checks()
        self._ends: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        self._busy = True  # they are at work: nobody may wait for them when it is broken off
        try:
            with _uninterrupted():
                for share in range(plan.workers):
                    self._start(plan, share)
        except BaseException:
            self.close()
            raise

    def _start(self, plan: Plan, share: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve,
            args=(theirs, plan, self._folder, self._bulletin, share),
            name=f"stress-{share}",
            daemon=True,
        )
        process.start()
        theirs.close()
        self._ends.append(ours)
        self._processes.append(process)

    def preload(self) -> None:
        self._ask("preload")

    def run(
        self, phase: Phase, tell: Callable[[Sample], None] | None = None
    ) -> tuple[Recorder, list[Sample]]:
        rounds: dict[int, list[Sample]] = {}  # by number of the sample

        def hear(number: int, sample: Sample) -> None:
            together = rounds.setdefault(number, [])
            together.append(sample)
            if tell is not None and len(together) == len(self._ends):
                tell(combine(together))

        answers = self._ask("run", phase, hear=hear)
        return Recorder.merged(answers), [combine(rounds[number]) for number in sorted(rounds)]

    def expected(self) -> Iterator[tuple[str, str, str]]:
        for checks, path in self._ask("finish"):
            self.checks.merge(checks)
            with Path(path).open(encoding="utf-8") as lines:
                for line in lines:
                    memory_id, user, text = json.loads(line)
                    yield memory_id, user, text
            Path(path).unlink()

    def close(self) -> None:
        for end in self._ends:
            with suppress(OSError):
                end.send(("close", ()))
        for process in self._processes:
            process.join(0 if self._busy else _PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
        for end in self._ends:
            end.close()
        for share in range(len(self._ends)):
            _rows_of(self._bulletin, share).unlink(missing_ok=True)
        self._bulletin.unlink(missing_ok=True)

    def _ask(
        self,
        what: str,
        *arguments: object,
        hear: Callable[[int, Sample], None] | None = None,
    ) -> list[Any]:
        """Have every process do something; their answers in order.

        Raises:
            AgentMemError: one of them failed; its traceback is in the message.
        """
        self._busy = True
        for end in self._ends:
            end.send((what, arguments))
        answers: dict[int, Any] = {}
        heard = dict.fromkeys(range(len(self._ends)), 0)
        while len(answers) < len(self._ends):
            left = [end for i, end in enumerate(self._ends) if i not in answers]
            ready = set(wait(left))
            for number, end in enumerate(self._ends):
                if end not in ready:
                    continue
                try:
                    kind, value = end.recv()
                except EOFError:
                    kind, value = "failed", "it ended without a word"
                if kind == "failed":
                    raise AgentMemError(f"process {number} of the run failed:\n{value}")
                if kind == "sample":
                    if hear is not None:
                        hear(heard[number], value)
                    heard[number] += 1
                else:
                    answers[number] = value
        self._busy = False
        return [answers[i] for i in range(len(self._ends))]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits; a process that is started meanwhile never hears of it, not even before it has
    begun to serve: its parent does, and ends it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else the first process starts it, and that lets Ctrl-C in
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(end: Connection, plan: Plan, folder: Path, bulletin: Path, share: int) -> None:
    """What one process does: as it is asked, until it is told to close."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not blocked already
    sending = threading.Lock()  # samples come from a thread of their own

    def send(kind: str, value: object) -> None:
        with sending:
            end.send((kind, value))

    session = None
    try:
        session = Session(plan, folder, share=share, shares=plan.workers, bulletin=bulletin)
        while True:
            try:
                what, arguments = end.recv()
            except EOFError:  # the parent is gone
                return
            if what == "close":
                return
            if what == "preload":
                session.preload()
                send("done", None)
            elif what == "run":
                recorder, _ = session.run(arguments[0], lambda sample: send("sample", sample))
                send("done", recorder.to_dict())
            else:
                send("done", (session.checks.to_dict(), _write_expected(session, bulletin, share)))
    except Exception:  # noqa: BLE001 - the parent raises it with this traceback
        with suppress(OSError):
            send("failed", traceback.format_exc())
    finally:
        if session is not None:
            session.close()


def _write_expected(session: Session, bulletin: Path, share: int) -> str:
    path = _rows_of(bulletin, share)
    with path.open("w", encoding="utf-8") as out:
        for row in session.expected():
            out.write(json.dumps(row) + "\n")
    return str(path)


def _rows_of(bulletin: Path, share: int) -> Path:
    """Where a process writes what it expects to be stored."""
    return bulletin.with_name(f"{bulletin.name}.{share}")
