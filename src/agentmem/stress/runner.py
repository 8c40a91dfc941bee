"""A whole run: store, phases, and the judgement at the end, on the store opened anew."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from agentmem.errors import InvalidInputError
from agentmem.memory import Memory
from agentmem.store import Store
from agentmem.stress import machine
from agentmem.stress.ledger import Checks
from agentmem.stress.monitor import Sample
from agentmem.stress.plan import Phase, Plan
from agentmem.stress.processes import Processes
from agentmem.stress.recorder import Recorder
from agentmem.stress.report import PhaseResult, Report
from agentmem.stress.session import Session

__all__ = ["run"]

_PAGE = 10_000


class _Load(Protocol):
    """A ``Session``, or several of them in processes."""

    checks: Checks

    def preload(self) -> None: ...

    def run(
        self, phase: Phase, tell: Callable[[Sample], None] | None = None
    ) -> tuple[Recorder, list[Sample]]: ...

    def expected(self) -> Iterable[tuple[str, str, str]]: ...

    def close(self) -> None: ...


def run(
    plan: Plan,
    path: Path | None = None,
    *,
    tell: Callable[[Sample], None] | None = None,
    before_reopening: Callable[[Path], None] | None = None,
) -> Report:
    """Do what the plan says.

    Args:
        path: the folder of the store, which must not hold one yet; None: a temporary one.
        tell: called about once a second with a sample, in another thread.
        before_reopening: called with the store's folder when it is closed and not yet judged.

    Raises:
        InvalidInputError: there is a store in ``path``.
        AgentMemError: the store cannot be made or filled; what fails under load is counted.
    """
    folder = Path(tempfile.mkdtemp(prefix="agentmem-stress-")) if path is None else path
    if Store.exists(folder):
        raise InvalidInputError(
            f"{str(folder)!r} holds a store already; a run needs an empty folder of its own"
        )
    begun = datetime.now(UTC)
    try:
        load: _Load = Processes(plan, folder) if plan.kind == "processes" else Session(plan, folder)
        with closing(load):
            load.preload()
            results = _run_phases(plan, load, tell)
            expected = {identity: (user, text) for identity, user, text in load.expected()}
        if before_reopening is not None:
            before_reopening(folder)
        final = _judge(plan, folder, expected, load.checks)
    finally:
        if path is None:
            shutil.rmtree(folder, ignore_errors=True)
    return Report(
        plan=plan.to_dict(),
        machine=machine.describe(),
        begun=begun.isoformat(timespec="seconds"),
        phases=results,
        checks=load.checks.to_dict(),
        final=final,
    )


def _run_phases(
    plan: Plan, load: _Load, tell: Callable[[Sample], None] | None
) -> list[PhaseResult]:
    results = [_run_phase(phase, load, tell) for phase in plan.phases()]
    if plan.share_of_peak is not None:
        results.append(_run_phase(plan.at_share(results[0].per_second), load, tell))
    return results


def _run_phase(phase: Phase, load: _Load, tell: Callable[[Sample], None] | None) -> PhaseResult:
    begin = perf_counter()
    recorder, samples = load.run(phase, tell)
    # Calls under way at the end are finished and counted, so the time is theirs, too.
    seconds = max(phase.seconds, perf_counter() - begin - phase.warm_up)
    return PhaseResult.of(phase, seconds, recorder, samples)


def _judge(
    plan: Plan, folder: Path, expected: dict[str, tuple[str, str]], checks: Checks
) -> dict[str, Any]:
    """Compare the store, opened anew, with everything that was acknowledged."""
    stored = 0
    with Memory(folder, embedder=plan.embedder) as memory:
        cursor = None
        while True:
            page = memory.get_all(unscoped=True, limit=_PAGE, cursor=cursor)
            for item in page["results"]:
                stored += 1
                wanted = expected.pop(item["id"], None)
                found = (item["user_id"], item["memory"])
                checks.that(
                    wanted is not None,
                    "nothing is stored that was not acknowledged, or was deleted",
                    f"{item['id']} of {item['user_id']}: {item['memory']!r}",
                )
                checks.that(
                    wanted in (None, found),
                    "what is stored is what was last acknowledged",
                    f"{item['id']}: {found} instead of {wanted}",
                )
            cursor = page["next_cursor"]
            if cursor is None:
                break
        for identity, (user, text) in expected.items():
            checks.that(
                False,
                "everything acknowledged is stored",
                f"{identity} of {user} is lost: {text!r}",
            )
        checks.made["everything acknowledged is stored"] += stored
        judged = memory.check()
        for problem in judged["problems"]:
            checks.that(False, "the store is sound", problem)
        checks.that(judged["ok"], "the store is sound", "see above")
    return {"memories": stored, "lost": len(expected), "problems": judged["problems"]}
