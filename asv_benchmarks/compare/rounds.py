"""Runs in turns, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compare.contenders import CONTENDERS
from compare.measure import Sizes

__all__ = ["FailedRunError", "rounds", "run_module"]

_LONGEST = 3600.0  # seconds of one process
_IMPORT = (
    "import sys, time; begin = time.perf_counter(); exec(sys.argv[1]); "
    "print(time.perf_counter() - begin)"
)

Say = Callable[[str], None]
Measured = dict[str, list[dict[str, float]]]


class FailedRunError(Exception):
    """A process of a contender ended with an error; the message is its last line."""


def rounds(
    names: Sequence[str], sizes: Sizes, count: int, say: Say, *, first: bool = False
) -> tuple[Measured, dict[str, str]]:
    """``count`` runs of each, one after the other, every second round in the opposite order.

    Args:
        first: also time its imports, and as ``first`` the way from the start of Python to the
            first stored memory; in seconds.

    Returns:
        The figures of each contender's runs, and why those that are missing are.
    """
    measured: Measured = {name: [] for name in names}
    failed: dict[str, str] = {}
    for number in range(count):
        for name in names if number % 2 == 0 else reversed(names):
            if name in failed:
                continue
            try:
                figures = _run(name, json.dumps(asdict(sizes)))
                if first and CONTENDERS[name].imports:
                    figures |= _starting(name)
            except FailedRunError as error:
                failed[name] = str(error)
                say(f"{name}: {error}")
                continue
            measured[name].append(figures)
            shown = (f"{task} {value:,.3g}" for task, value in figures.items())
            say(f"round {number + 1}, {name}: {', '.join(shown)}")
    return {name: runs for name, runs in measured.items() if name not in failed}, failed


def _run(name: str, *sizes: str) -> dict[str, float]:
    """A worker over an empty folder."""
    with tempfile.TemporaryDirectory(prefix="agentmem-compare-") as place:
        folder, out = Path(place) / "store", Path(place) / "figures.json"
        folder.mkdir()
        run_module("compare.worker", name, str(folder), str(out), *sizes)
        told: dict[str, Any] = json.loads(out.read_text("utf-8"))
        if "error" in told:
            raise FailedRunError(told["error"])
        return told


def _starting(name: str) -> dict[str, float]:
    imports = CONTENDERS[name].imports.items()
    figures = {key: float(_python("-c", _IMPORT, code).split()[-1]) for key, code in imports}
    begin = time.time()
    return figures | {"first": _run(name)["stored_at"] - begin}


def run_module(module: str, *arguments: str) -> None:
    """
    Raises:
        FailedRunError: it has failed, or takes longer than an hour.
    """
    _python("-m", module, *arguments)


def _python(*arguments: str) -> str:
    settings = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | settings | {"MEM0_TELEMETRY": "False"},
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST,
        )
    except subprocess.TimeoutExpired as error:
        raise FailedRunError(f"it ran for more than {error.timeout:.0f} seconds") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise FailedRunError(lines[-1])
    return done.stdout
