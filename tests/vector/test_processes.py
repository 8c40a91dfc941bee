"""One drainer at a time; the others wait or go without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from agentmem.errors import ClosedError, StoreTimeoutError

CONFTEST = str(Path(__file__).with_name("conftest.py"))

DRAINER = """
import os, signal, sys
from runpy import run_path
author = run_path(sys.argv[1])["Author"](sys.argv[2])
lance = author.projection(batch_rows=20)
import lancedb
print("ready", flush=True)
sys.stdin.readline()


def progress(done, total):
    if "SLEEPY" in os.environ:
        os.kill(os.getpid(), signal.SIGSTOP)


print(lance.drain(progress=progress), lance.verify() == [], flush=True)
author.close()
"""


IMPORTER = """
import sys
from runpy import run_path
from filelock import FileLock, Timeout

author = run_path(sys.argv[1])["Author"](sys.argv[2])
author.add(3)
lance = author.projection()
seen = []

def look(event, args):
    if event == "import" and args[0] == "lancedb" and not seen:
        lock = FileLock(author.folder / "drain.lock")
        try:
            with lock.acquire(timeout=0):
                seen.append("free")
        except Timeout:
            seen.append("held")

sys.addaudithook(look)
assert "lancedb" not in sys.modules
if sys.argv[3] == "flush":
    lance.drain()
else:
    lance._drainer.shorten(None, lambda: False)
print(*seen)
author.close()
"""


def start(store_path: Path, **environment: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", DRAINER, CONFTEST, str(store_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def result(child: subprocess.Popen[str]) -> str:
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    return out.strip()


def test_processes_and_threads_that_drain_at_once(author: Any, store_path: Path) -> None:
    author.add(300)
    lance = author.projection(batch_rows=20)
    reached: list[int] = []
    children = [start(store_path) for _ in range(2)]
    threads = [Thread(target=lambda: reached.append(lance.drain())) for _ in range(2)]
    for child in children:
        go(child)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reached == [300, 300]
    assert [result(child) for child in children] == ["300 True"] * 2
    assert lance.stats()["rebuilds"] == 0
    assert lance.verify() == []


@pytest.mark.parametrize("call", ["flush", "background"])
def test_nobody_waits_for_the_import_of_another(store_path: Path, call: str) -> None:
    arguments = [sys.executable, "-c", IMPORTER, CONFTEST, str(store_path), call]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "free"


def test_who_waits_goes_as_soon_as_another_has_done_the_work(author: Any) -> None:
    author.add(30)
    first, second = author.projection(), author.projection()
    reached: list[int] = []
    with first._drainer.locked():
        waiting = Thread(target=lambda: reached.append(second.drain()))
        waiting.start()
        while not second._drainer._lock._mutex.locked():
            waiting.join(0.001)
        author.add(5)  # after it was asked: not waited for
        first._drainer.follower.catch_up(None, lambda: False)
        waiting.join(60)
        assert reached == [35]


def test_waiting_for_a_drainer_that_hangs_ends(author: Any, store_path: Path) -> None:
    author.add(60)
    child = start(store_path, SLEEPY="1")
    go(child)
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    lance = author.projection(patience=0.2, drain_rows=1)
    with pytest.raises(StoreTimeoutError, match=r"drain\.lock"):
        lance.drain()
    lance.notify(60)  # in the background it is no error: the other one is at it
    lance.wait()
    assert lance.stats()["error"] is None
    assert lance.seq == 20
    child.kill()
    child.communicate()
    assert lance.drain() == 60
    assert lance.verify() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_is_told_to_open_the_store_itself(author: Any, lance: Any) -> None:
    author.add(3)  # lancedb itself warns about forks once it has been used
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            lance.notify(10_000)
            lance.drain()
        except ClosedError:
            lance.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert lance.drain() == 3


def test_a_closed_projection_says_so(author: Any, lance: Any) -> None:
    lance.close()
    lance.close()
    lance.notify(10_000)
    for call in (lance.drain, lance.rebuild, lance.verify, lance.purge):
        with pytest.raises(ClosedError):
            call()
