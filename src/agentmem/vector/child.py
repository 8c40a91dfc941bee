"""A child process that does jobs for this one: started, spoken to, ended.

What is said, each time a line: a job is a JSON object with its number; what the child says of it
is ``MARK`` and a JSON object with that number, and so is why it ends.  Other lines are what a
library printed; the last of them says why a child ended that should not have.  ``serving`` is
the child's side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from agentmem import errors
from agentmem.config import usable_cores
from agentmem.errors import AgentMemError, StoreError

__all__ = ["LEFT", "MARK", "STOPPED", "CannotStart", "Child", "ChildEnded", "Program"]

MARK = b"agentmem: "
# What a child says as it ends, and its exit code.  That alone would not do: where SIGCHLD is
# ignored it is lost, and 0 is seen instead.
LEFT = 0  # it had nothing to do for long
STOPPED = 3  # it was told to end
_GRACE = 5.0  # seconds in which it ends what must be whole, one commit


@dataclass(frozen=True, slots=True)
class Program:
    """What a child runs: ``python -m module``; what every job of it begins with; settings of its
    libraries, where this process's environment has none."""

    module: str
    given: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


class CannotStart(StoreError):
    """There is no interpreter to start, or what was started is none of ours."""


class ChildEnded(StoreError):
    """The child ended before its job did."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Child:
    """At most one process at a time, started for the first job, and again if it has ended.

    It inherits no open file but its standard streams, is not in the way of Ctrl-C, and ends when
    its input does: with ``halt``, with this process, however it ends.  A thread listens to it for
    as long as it lives.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._turn = threading.Lock()  # one job at a time
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._halted = False
        self._jobs = 0
        self._pid = os.getpid()

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        process = self._process
        return process.popen.pid if process is not None and process.alive else None

    def ask(self, job: dict[str, Any], told: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Have a job done; ``told`` is called with what the child says meanwhile.

        Raises:
            CannotStart
            ChildEnded: it was killed, or halted.
            AgentMemError: what the job raised there.
        """
        with self._turn:
            self._jobs += 1
            job = {**self._program.given, **job, "job": self._jobs}
            line = json.dumps(job).encode() + b"\n"
            process = self._send(line)
            code = process.follow(self._jobs, told)
            if code == LEFT == process.said and not self._halted:  # while the job was on its way
                process = self._send(line)
                code = process.follow(self._jobs, told)
            if isinstance(code, dict):
                return code
            raise ChildEnded(process.last_words(), code)

    def halt(self) -> None:
        """End it as soon as what must be whole is; no other will start.  Harmless after a fork."""
        if self._pid != os.getpid():
            return
        with self._lock:
            self._halted = True
            process = self._process
        if process is not None:
            process.end()

    def _send(self, line: bytes) -> _Process:
        with self._lock:
            if self._halted:
                raise ChildEnded("it was told to end", STOPPED)
            if self._process is None or not self._process.alive:
                self._process = _Process(self._program)
            self._process.send(line)
            return self._process


class _Process:
    """One run of the program."""

    def __init__(self, program: Program) -> None:
        python = _interpreter()
        self._module = program.module
        try:
            self.popen = subprocess.Popen(
                [python, "-P", "-m", program.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(program),
                # Ctrl-C is for the parent.  Not a session of its own: Linux groups processes by
                # session, and priorities count inside a group only (sched(7), autogroup).
                process_group=0,
            )
        except OSError as error:
            raise CannotStart(f"cannot start {python}: {error.strerror or error}") from error
        self.alive = True
        self.said: int | None = None  # the code with which it ends
        self._ready = False
        self._sending = threading.Lock()
        self._heard: SimpleQueue[dict[str, Any] | int] = SimpleQueue()
        self._printed = ""
        self._listener = threading.Thread(target=self._listen, name="agentmem-child", daemon=True)
        self._listener.start()

    def send(self, line: bytes, *, last: bool = False) -> None:
        """Nothing happens if it has ended: whoever follows it is told so."""
        assert self.popen.stdin is not None
        with self._sending, suppress(OSError):
            if not self.popen.stdin.closed:
                self.popen.stdin.write(line)
                self.popen.stdin.flush()
        if last:
            with self._sending, suppress(OSError):
                self.popen.stdin.close()

    def follow(self, job: int, told: Callable[[dict[str, Any]], None]) -> dict[str, Any] | int:
        """What the child answers to a job, or the code with which it has ended before.

        Raises:
            CannotStart, AgentMemError: as ``Child.ask``.
        """
        while True:
            heard = self._heard.get()
            if isinstance(heard, int):
                self._heard.put(heard)
                if not self._ready and heard >= 0 and heard != STOPPED:  # nobody has killed it
                    raise CannotStart(self.last_words())
                return heard
            self._ready = True
            if heard.get("job") != job:
                continue  # of one that nobody waits for any more
            if "error" in heard:
                kind: type[AgentMemError] = getattr(errors, heard["error"])
                raise kind(heard["message"])
            if "done" in heard:
                done: dict[str, Any] = heard["done"]
                return done
            told(heard["told"])

    def end(self) -> None:
        """Ask it to end, and wait; after a while without asking."""
        self.send(b"\n", last=True)  # in words, too: a forked process may hold the pipe open
        try:
            self.popen.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.popen.kill()  # what it had not committed is as if it had never begun
        self._listener.join(_GRACE)

    def last_words(self) -> str:
        code = self.popen.returncode
        how = f"exit code {code}" if code is None or code >= 0 else f"signal {-code}"
        said = f": {self._printed}" if self._printed else ""
        return f"the process of {self._module} ended with {how}{said}"

    def _listen(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as lines:
            for line in lines:
                if line.startswith(MARK):
                    heard = json.loads(line.removeprefix(MARK))
                    self.said = heard.get("ending")
                    self._heard.put(heard)
                elif line.strip():
                    self._printed = line.decode(errors="replace").strip()[:500]
        self.popen.wait()
        self.alive = False
        self.send(b"", last=True)
        self._heard.put(self.popen.returncode if self.said is None else self.said)


def _interpreter() -> str:
    """
    Raises:
        CannotStart: none is known; a program that embeds Python must not be started again.
    """
    path = sys.executable
    name = os.path.basename(path or "").lower()
    if getattr(sys, "frozen", False) or not name.startswith(("python", "pypy")):
        raise CannotStart(f"this program ({path or 'unknown'}) is not a Python interpreter")
    return path


def _environment(program: Program) -> dict[str, str]:
    """This process's, with the modules found where this process finds them."""
    half = str(max(1, usable_cores() // 2))
    defaults = {"LANCE_CPU_THREADS": half, "RAYON_NUM_THREADS": half, "RUST_LOG": "error"}
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {**defaults, **program.environment, **os.environ, "PYTHONPATH": path}
