"""What a process uses of the machine, as far as its system tells."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agentmem.config import usable_cores

__all__ = [
    "describe",
    "disk_written",
    "open_files",
    "processor_seconds",
    "resident_bytes",
    "running_threads",
    "wake_in_time",
]

_SET_TIMER_SLACK = 29  # PR_SET_TIMERSLACK of <sys/prctl.h>; its argument is in nanoseconds


def describe() -> dict[str, Any]:
    """What figures of different machines differ by; nothing that names the machine."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "processors": usable_cores(),
    }


def resident_bytes() -> int:
    """Memory of this process that is in RAM now; on systems without /proc the most so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return _most_resident()
    return pages * os.sysconf("SC_PAGE_SIZE")


def _most_resident() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def processor_seconds() -> float:
    """Processor time of all threads of this process."""
    return time.process_time()


def disk_written() -> int | None:
    """Bytes this process has sent to storage; None where the system does not tell."""
    try:
        lines = Path("/proc/self/io").read_text("ascii").splitlines()
    except OSError:
        return None
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def open_files() -> int:
    """Of this process; 0 where the system does not tell."""
    return _entries("/proc/self/fd")


def running_threads() -> int:
    """Of this process, those of libraries, too; only Python's where the system does not tell."""
    return _entries("/proc/self/task") or threading.active_count()


def wake_in_time() -> None:
    """Have this thread's sleeps end when they should: Linux lets them run 50 us over, so that
    it can wake several threads at once.  Elsewhere nothing changes."""
    if sys.platform == "linux":
        import ctypes

        ctypes.PyDLL(None).prctl(_SET_TIMER_SLACK, 1, 0, 0, 0)


def _entries(folder: str) -> int:
    try:
        return len(os.listdir(folder))
    except OSError:
        return 0
