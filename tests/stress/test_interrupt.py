"""Ctrl-C ends a run at once, whatever its workers are and wherever it finds them."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentmem.stress import Plan, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentmem.stress.monitor import Sample

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")

LONG = 20.0  # seconds: a run that Ctrl-C does not end goes on for so long, and the test fails


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """A shell has what it starts in the background ignore Ctrl-C, and so would these tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def plan(kind: object, rate: str = "") -> Plan:
    return Plan(
        "concurrent",
        kind=kind,  # type: ignore[arg-type]
        workers=2,
        users=20,
        size=60,
        seconds=LONG,
        warm_up=0.0,
        rate=rate,
    )


@pytest.mark.parametrize(
    ("kind", "rate"), [("threads", ""), ("threads", "200"), ("tasks", "200"), ("processes", "")]
)
def test_ctrl_c_ends_a_run_and_its_workers(tmp_path: Path, kind: object, rate: str) -> None:
    main = threading.main_thread().ident
    assert main is not None
    sent = threading.Event()

    def interrupt(sample: Sample) -> None:
        if not sent.is_set():
            sent.set()
            signal.pthread_kill(main, signal.SIGINT)

    # Processes are heard of by the thread that waits for them: Ctrl-C is raised right there.
    with pytest.raises(KeyboardInterrupt):
        run(plan(kind, rate), tmp_path / "store", tell=interrupt)
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("stress-")]
    assert workers == []
    assert multiprocessing.active_children() == []
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_ctrl_c_is_not_lost_where_nothing_can_be_raised(tmp_path: Path) -> None:
    """The collector's callbacks, as finalizers, drop whatever they raise."""
    begun, sent = threading.Event(), threading.Event()

    def collecting(phase: str, _: Mapping[str, int]) -> None:
        here = threading.current_thread() is threading.main_thread()
        if here and begun.is_set() and not sent.is_set():
            sent.set()
            signal.raise_signal(signal.SIGINT)

    usual = gc.get_threshold()
    gc.callbacks.append(collecting)
    gc.set_threshold(50)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(plan("tasks"), tmp_path, tell=lambda sample: begun.set())
    finally:
        gc.set_threshold(*usual)
        gc.callbacks.remove(collecting)
    assert sent.is_set()
