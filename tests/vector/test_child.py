"""Draining in a child process: out of the way, and gone with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from agentmem import Memory
from agentmem.config import ProjectionConfig
from agentmem.vector.child import STOPPED, Child, ChildEnded, Program
from agentmem.vector.drainer import Drainer

CONFTEST = str(Path(__file__).with_name("conftest.py"))
HEAD = """
import os, sys, time
from runpy import run_path
author = run_path(sys.argv[1])["Author"](sys.argv[2])
lance = author.projection(drain_rows=10, batch_rows=1, drain_in="process")
"""


def run(program: str, store_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", HEAD + program, CONFTEST, str(store_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.strip()


@pytest.fixture
def lance(author: Any) -> Any:
    """A projection whose every row is a batch, so that a drain takes a while."""
    return author.projection(drain_rows=10, batch_rows=1, drain_in="process")


def begun(lance: Any, rows: int = 3) -> int:
    """Starts draining; the child's pid, once it has applied some rows."""
    lance.notify(lance._store.last_seq())
    while lance.seq < rows:
        assert lance.stats()["error"] is None
        time.sleep(0.005)
    pid: int | None = lance._drains.pid
    assert pid is not None
    return pid


def gone(pid: int) -> bool:
    """Whether a process ends within ten seconds."""
    for _ in range(1000):
        status = Path(f"/proc/{pid}/stat")
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if status.exists() and " Z " in status.read_text():
            return True
        time.sleep(0.01)
    return False


def test_a_program_whose_child_drains_imports_nothing_for_it(author: Any, store_path: Path) -> None:
    """Nor does a flush while the child is there.  It is of low priority, not in the reach of
    Ctrl-C, and holds nothing of the store when it has nothing to do."""
    program = """
author.add(40)
lance.notify(40)
lance.wait()
author.add(5)
pid = lance._drains.pid
print(lance.seq, lance.drain(), lance.stats()["rows"], lance._drains.pid == pid)
print({"lancedb", "pyarrow", "filelock"} & set(sys.modules))
if sys.platform == "linux":
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + 10
    assert os.getpgid(pid) == pid and os.getsid(pid) == os.getsid(0)
    held = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    print([name for name in held if name.startswith(sys.argv[2])])
"""
    told = result(run(program, store_path)).split("\n")
    assert told[:2] == ["40 45 45 True", "set()"]
    assert told[2:] in ([], ["[]"])
    assert author.projection().verify() == []


def test_a_child_ends_with_its_parent(author: Any, store_path: Path) -> None:
    author.add(1000)
    process = run(
        """
lance.notify(1000)
while lance.seq < 3:
    time.sleep(0.005)
print(lance._drains.pid, flush=True)
sys.stdin.readline()
""",
        store_path,
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.communicate()
    assert gone(child)
    lance = author.projection()
    assert 3 <= lance.seq < 1000
    author.assert_whole(lance)
    assert lance.stats()["rebuilds"] == 0


def test_a_killed_child_is_replaced(author: Any, lance: Any) -> None:
    author.add(60)
    first = begun(lance)
    os.kill(first, signal.SIGKILL)
    lance.wait()
    assert lance.seq > 50
    assert lance.stats()["error"] is None
    assert lance._drains.pid not in (None, first)
    author.assert_whole(lance)
    assert lance.stats()["rebuilds"] == 0


def test_a_child_that_keeps_being_killed_is_an_error_and_a_flush_does_without(
    author: Any, lance: Any
) -> None:
    author.add(60)
    first = begun(lance)
    os.kill(first, signal.SIGKILL)
    second: int | None = None
    while second in (None, first):
        second = lance._drains.pid
        time.sleep(0.001)
    assert second is not None
    os.kill(second, signal.SIGKILL)
    lance.wait()
    assert "signal 9" in lance.stats()["error"]
    assert lance.stats()["failures"] == 1
    assert lance.seq < 60
    author.assert_whole(lance)
    assert lance.stats()["error"] is None
    author.add(20)
    lance.notify(80)  # and the next one has another child
    lance.wait()
    assert lance.seq > 70


def test_closing_right_after_the_start_waits_for_no_import(author: Any, lance: Any) -> None:
    author.add(20)
    lance.notify(20)
    while lance._drains.pid is None:
        time.sleep(0.001)
    pid = lance._drains.pid
    begin = time.monotonic()
    lance.close()
    assert time.monotonic() - begin < 4
    assert gone(pid)
    author.assert_whole(author.projection())


SLOW = """
import time
from pathlib import Path
from agentmem.vector.serving import serve


def work(job, parent):
    with parent.whole:
        parent.tell({})
        time.sleep(0.3)
        Path(job["file"]).touch()
    time.sleep(60)


if __name__ == "__main__":
    serve(work, nice=0, linger=0)
"""


def test_ending_waits_for_what_must_be_whole_and_for_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_work.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    child = Child(Program("slow_work"))
    endings: list[Thread] = []

    def told(_: dict[str, Any]) -> None:
        endings.append(Thread(target=child.halt))
        endings[0].start()

    with pytest.raises(ChildEnded) as ended:
        child.ask({"file": str(tmp_path / "made")}, told)
    assert ended.value.code == STOPPED  # by itself, and not killed
    endings[0].join()
    assert (tmp_path / "made").exists()


def test_each_batch_is_whole_with_its_watermark(author: Any, store_path: Path) -> None:
    """Lance's files of rows that no watermark speaks of would stay for ever."""
    seen: list[tuple[int, int]] = []

    class Whole:
        def __enter__(self) -> None:
            seen.append(self.now())

        def __exit__(self, *_: object) -> None:
            seen.append(self.now())

        def now(self) -> tuple[int, int]:
            return drainer.seq, len(list(store_path.glob("vectors.lance/*/data/*")))

    drainer = Drainer(
        store_path,
        author.store,
        ProjectionConfig(batch_rows=10),
        author.projection()._builder,
        whole=Whole(),
    )
    author.add(30)
    drainer.drain(None, 30)
    assert seen == [(0, 0), (10, 1), (10, 1), (20, 2), (20, 2), (30, 3)]


def test_a_temporary_store_goes_while_it_is_drained() -> None:
    settings = {"projection": {"drain_rows": 10, "batch_rows": 1}}
    with Memory(":memory:", embedder="static", config=settings, user_id="u") as memory:
        path = Path(memory.stats()["store"]["path"])
        memory.add_batch([f"memory {i}" for i in range(200)])
        while memory.stats()["projection"]["seq"] < 3:
            time.sleep(0.005)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["missing", "another program", "no agentmem"])
def test_where_no_child_can_be_had_a_thread_drains(
    author: Any, lance: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    names = {"missing": "python", "another program": "photoshop", "no agentmem": "python3"}
    stands_in = tmp_path / names[kind]
    trace = tmp_path / "started"
    if kind != "missing":
        stands_in.write_text(f"#!/bin/sh\necho started >> {trace}\n")
        stands_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stands_in))
    for seq in (20, 40):
        author.add(20)
        lance.notify(seq)
        lance.wait()
        assert lance.seq > seq - 10
    assert trace.exists() == (kind == "no agentmem")  # a program must not start itself for ever
    assert not trace.exists() or trace.read_text() == "started\n"  # and nothing is tried again
    assert lance._drains.pid is None
    assert lance.stats()["error"] is None
    assert lance.stats()["rows"] == lance._follower.rows
    author.assert_whole(lance)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_leaves_its_parents_child_alone(author: Any, store_path: Path) -> None:
    """Even though it ends as a program does, with everything that is to happen at its exit."""
    program = """
author.add(40)
lance.notify(40)
while lance.seq < 3:
    time.sleep(0.005)
pid = lance._drains.pid
forked = os.fork()
if forked == 0:
    lance.close()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
lance.wait()
print(lance.seq > 30, lance._drains.pid == pid)
"""
    assert result(run(program, store_path)) == "True True"


def test_indexes_that_a_drain_finds_due_are_built(author: Any) -> None:
    lance = author.projection(drain_rows=10, index_rows=300, drain_in="process")
    author.add(300)
    lance.notify(300)
    lance.wait()
    assert lance.stats()["indexes"]["indexed"] == 300
    assert lance.stats()["indexes"]["builds"] == 1


def test_a_discarded_table_is_made_anew_by_the_child(author: Any, lance: Any) -> None:
    author.add(20)
    begun(lance)
    lance.wait()
    lance.discard()
    author.add(20)
    lance.notify(40)
    lance.wait()
    assert lance.seq > 30
    author.assert_whole(lance)


def test_what_a_child_prints_says_why_it_ended() -> None:
    child = Child(Program("agentmem.vector.build", {"home": 7}))  # not a path
    with pytest.raises(ChildEnded, match=r"exit code 1.*TypeError"):
        child.ask({"projection": {}}, dict)
    child.halt()


ENDING = """
import os
from pathlib import Path
from agentmem.vector.serving import serve


def work(job, parent):
    with open(job["file"], "a") as file:
        print("begun", file=file)
    if job["fails"]:
        print("it fails", flush=True)
        os._exit(1)
    return {}


if __name__ == "__main__":
    serve(work, nice=0, linger=0)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="needs SIGCHLD")
def test_a_child_whose_exit_code_is_lost_is_not_tried_for_ever(tmp_path: Path) -> None:
    (tmp_path / "ending_work.py").write_text(ENDING)
    program = """
import signal, sys
from agentmem.vector.child import Child, ChildEnded, Program
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child = Child(Program("ending_work"))
job = {"file": sys.argv[1], "fails": False}
print(child.ask(job, print), child.ask(job, print))
try:
    child.ask({**job, "fails": True}, print)
except ChildEnded as error:
    print(error)
"""
    trace = tmp_path / "trace"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(trace)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.startswith("{} {}\n")
    assert "it fails" in ended.stdout
    assert trace.read_text().count("begun") == 3
