"""Building indexes in a child process: begun, waited for, ended."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.vector.state import BuildState

if TYPE_CHECKING:
    from agentmem.config import ProjectionConfig

__all__ = ["Builder"]

_log = logging.getLogger("agentmem.projection")
_BUSY = 2  # the child's exit code where another process builds
_STOPPED = 3


class Builder:
    """At most one child of this process at a time, and one builder of all processes.

    The child has the lowest priority and half of the cores.  It inherits no open file but its
    standard input, and ends when that does: with ``stop``, with this process, however it ends.
    """

    def __init__(self, home: Path, uri: str, config: ProjectionConfig, patience: float) -> None:
        self._home = home
        self._uri = uri
        self._config = config
        self._patience = patience
        self._files = BuildState(home)
        self._lock = threading.Lock()
        self._child = _Child()
        self._finalizer = weakref.finalize(self, _Child.halt, self._child)
        self.builds = 0
        self.failures = 0
        self.error: str | None = None

    @property
    def running(self) -> bool:
        return self._child.thread is not None

    def start(self, table: str) -> None:
        """Build what ``table`` lacks, unless a child is at it or ``stop`` was called."""
        with self._lock:
            if self._child.thread is not None or self._child.stopped:
                return
            thread = threading.Thread(
                target=self._run, args=(table,), name="agentmem-index", daemon=True
            )
            self._child.thread = thread
            thread.start()

    def wait(self) -> None:
        """Until the child that is running, if any, has ended."""
        thread = self._child.thread
        if thread is not None:
            thread.join()

    def wait_for_others(self) -> bool:
        """Until no process builds; False if one still does after ``patience`` seconds."""
        with self._files.lock(self._patience) as taken:
            return taken

    def stop(self) -> None:
        """End the child and wait for that; no other will start."""
        self._finalizer()

    @contextmanager
    def nobody(self) -> Iterator[None]:
        """Have every builder of the store stop, and none begin, in whatever process.

        Raises:
            StoreTimeoutError, StorePathError
        """
        with self._files.nobody(self._patience):
            self.wait()  # a child of ours has ended, or finds the lock taken
            yield

    def stats(self, table: str, rows: int) -> dict[str, Any]:
        """Of the table as it is now; ``indexed`` as the last build of any process left it."""
        state = self._files.load()
        known = state if state.get("table") == table else {}
        indexed = min(int(known.get("indexed", 0)), rows)
        return {
            "indexed": indexed,
            "unindexed": rows - indexed,
            "building": known.get("part") if self.running else None,
            "builds": self.builds,
            "seconds": known.get("seconds"),
            "failures": self.failures,
            "error": self.error,
        }

    def _run(self, table: str) -> None:
        try:
            code, output = self._child.run(self._asked(table))
            self.builds += code == 0
            if code == 0:
                self.error = None
            elif code not in (_BUSY, _STOPPED) and not self._child.stopped:
                self.failures += 1
                self.error = self._files.load().get("error") or output or f"exit code {code}"
                _log.warning("building indexes failed: %s", self.error)
        except OSError as error:
            self.failures += 1
            self.error = f"cannot start {sys.executable}: {error.strerror}"
            _log.warning("building indexes failed: %s", self.error)
        finally:
            self._child.thread = None

    def _asked(self, table: str) -> bytes:
        asked = {
            "home": str(self._home),
            "uri": self._uri,
            "table": table,
            "projection": asdict(self._config),
        }
        return json.dumps(asked).encode() + b"\n"


class _Child:
    """What outlives a ``Builder`` that nobody holds any more."""

    def __init__(self) -> None:
        self.stopped = False
        self.thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self, asked: bytes) -> tuple[int, str]:
        """Exit code and the last line of the errors."""
        with self._lock:
            if self.stopped:
                return _STOPPED, ""
            process = self._process = subprocess.Popen(
                [sys.executable or "python3", "-P", "-m", "agentmem.vector.build"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the parent
            )
        assert process.stdin is not None
        assert process.stderr is not None
        with process.stderr:
            with suppress(BrokenPipeError):  # its exit code will say why
                process.stdin.write(asked)
                process.stdin.flush()
            lines = process.stderr.read().decode(errors="replace").split("\n")
        code = process.wait()
        with self._lock:
            self._process = None
            process.stdin.close()
        said = [line for line in lines if line.strip()]
        return code, said[-1] if said else ""

    def halt(self) -> None:
        with self._lock:
            self.stopped = True
            if self._process is not None:
                self._process.kill()  # what it had not committed is as if it had never begun
        thread = self.thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()


def _environment() -> dict[str, str]:
    """This process's, with the modules found where this process finds them."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    half = str(max(1, cores // 2))
    defaults = {"LANCE_CPU_THREADS": half, "RAYON_NUM_THREADS": half, "RUST_LOG": "error"}
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {**defaults, **os.environ, "PYTHONPATH": path}
