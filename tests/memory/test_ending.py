"""What still works while the program ends, and what is left behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

#: A Memory that is opened and not used before the main thread ends.
LATE = """
import atexit, sys, threading
from agentmem import Memory

memory = Memory(sys.argv[1], embedder="static", user_id="u", config={"index": {"large_rows": 1}})

def work():
    if threading.current_thread() is not threading.main_thread():
        threading.main_thread().join()
    memory.add_batch([f"tea number {i}" for i in range(70)])
    found = memory.search("tea number 7", top_k=3)["results"]
    memory.close()
    print(len(found), found[0]["memory"])

if sys.argv[2] == "thread":
    threading.Thread(target=work).start()
else:
    atexit.register(work)
"""

#: Stores left unclosed: one that is dropped, one that forked, one that is there to the end.
UNCLOSED = """
import gc, os, sys, tempfile
from pathlib import Path
from agentmem import Memory

def folders():
    return len(list(Path(tempfile.gettempdir()).glob("agentmem-*")))

settings = {"embedder": "static", "user_id": "u", "config": {"projection": {"drain_in": "thread"}}}
dropped = Memory(":memory:", **settings)
dropped.add("x")
kept = Memory(":memory:", **settings)
kept.add("tea")
before = folders()
del dropped
gc.collect()
dropped_one = folders()
child = os.fork()
if child == 0:
    sys.exit()
os.waitpid(child, 0)
print(before, dropped_one, folders(), len(kept.search("tea")["results"]))
"""


def output(program: str, *arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("how", ["thread", "atexit"])
def test_a_memory_is_first_used_after_the_main_thread(how: str, tmp_path: Path) -> None:
    told = output(LATE, str(tmp_path / "store"), how, folder=tmp_path)
    assert told == "3 tea number 7"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_stores_in_memory_left_unclosed_leave_nothing(tmp_path: Path) -> None:
    assert output(UNCLOSED, folder=tmp_path) == "2 1 1 1"
    assert list(tmp_path.iterdir()) == []
