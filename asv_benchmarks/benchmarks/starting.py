"""What a program pays before its first memory: importing, and opening a store.

Each measurement is a process of its own; the goals are under 40 ms for the import beyond a bare
interpreter, and under 50 ms for opening an empty store.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile

RUNS = 9

_OPEN = "from agentmem import Memory; import sys; Memory(sys.argv[1]).close()"
_TIMED = (
    "import sys, time; {before}; begin = time.perf_counter(); {timed}; "
    "print((time.perf_counter() - begin) * 1000)"
)


def milliseconds(timed: str, before: str, *arguments: str) -> float:
    program = _TIMED.format(timed=timed, before=before)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def most_resident(program: str) -> float:
    """MiB of a process that runs ``program``, at most.

    Raises:
        NotImplementedError: not on Linux; asv skips the benchmark.
    """
    if not sys.platform.startswith("linux"):
        raise NotImplementedError("reads /proc")
    # What getrusage tells of a new process begins with the size of the one that started it.
    tell = "print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')))"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{tell}"], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[1]) / 1024


class Starting:
    """Medians of ``RUNS`` processes."""

    def setup(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="agentmem-bench-")

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def track_import(self) -> float:
        return statistics.median(milliseconds("import agentmem", "pass") for _ in range(RUNS))

    track_import.unit = "ms"

    def track_import_memory(self) -> float:
        """Resident memory that the import adds to a bare interpreter's."""
        bare, imported = (
            statistics.median(most_resident(program) for _ in range(RUNS))
            for program in ("pass", "from agentmem import Memory")
        )
        return imported - bare

    track_import_memory.unit = "MiB"

    def track_open_new_store(self) -> float:
        """``Memory(path)`` with its own imports and a folder that is not there yet."""
        return statistics.median(
            milliseconds(
                "m = Memory(sys.argv[1])",
                "from agentmem import Memory",
                f"{self.folder}/{i}",
            )
            for i in range(RUNS)
        )

    track_open_new_store.unit = "ms"

    def track_open_existing_store(self) -> float:
        path = f"{self.folder}/existing"
        subprocess.run([sys.executable, "-c", _OPEN, path], check=True)
        return statistics.median(
            milliseconds("m = Memory(sys.argv[1])", "from agentmem import Memory", path)
            for _ in range(RUNS)
        )

    track_open_existing_store.unit = "ms"
