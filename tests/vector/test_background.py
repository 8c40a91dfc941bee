"""The background drain: on demand, never in the way, never lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import StoreError, StorePathError
from agentmem.vector.background import Background

CONFTEST = str(Path(__file__).with_name("conftest.py"))


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_a_short_tail_is_left_alone(author: Any) -> None:
    lance = author.projection(drain_rows=100)
    author.add(99)
    lance.notify(author.store.last_seq())
    lance.wait()
    assert lance.seq == 0
    assert lance.stats()["background_drains"] == 0
    assert lance.stats()["tail"] == 99


BOTH = pytest.mark.parametrize("drain_in", ["thread", "process"])


@BOTH
def test_a_long_tail_is_drained(author: Any, drain_in: str) -> None:
    lance = author.projection(drain_rows=100, drain_in=drain_in)
    for _ in range(5):
        author.add(50)
        lance.notify(author.store.last_seq())
        lance.wait()
    assert lance.seq == 200
    stats = lance.stats()
    assert stats["background_drains"] == 2
    assert stats["rows"] == 200
    assert stats["seconds"] > 0
    assert stats["failures"] == stats["rebuilds"] == 0
    assert "agentmem-drain" not in names()  # nothing waits while nothing is due
    assert lance.verify() == []


def test_a_disabled_projection_drains_only_when_told(author: Any) -> None:
    lance = author.projection(drain_rows=1, enabled=False)
    author.add(5)
    lance.notify(5)
    lance.wait()
    assert lance.seq == 0
    assert lance.drain() == 5


@BOTH
def test_an_error_is_kept_until_a_drain_succeeds(
    author: Any, store_path: Path, drain_in: str
) -> None:
    obstacle = store_path / "obstacle"
    obstacle.write_text("")
    lance = author.projection(uri=str(obstacle / "db"), drain_rows=10, drain_in=drain_in)
    author.add(10)
    lance.notify(10)
    lance.wait()
    assert "obstacle" in lance.stats()["error"]
    assert lance.stats()["error"].startswith("StoreCorruptError: ")
    assert lance.stats()["failures"] == 1
    author.add(1)
    lance.notify(11)  # not again for every commit
    lance.wait()
    assert lance.stats()["background_drains"] == 1
    with pytest.raises(StoreError, match="obstacle"):
        lance.drain()
    obstacle.unlink()
    assert lance.drain() == 11
    assert lance.stats()["error"] is None


def test_a_watermark_that_cannot_be_read_fails_no_commit(author: Any, store_path: Path) -> None:
    (store_path / "vectors.lance" / "watermark.json").mkdir(parents=True)
    lance = author.projection(drain_rows=10)
    author.add(10)
    lance.notify(10)
    assert "watermark.json" in lance.stats()["error"]
    with pytest.raises(StoreError, match=r"watermark\.json"):
        lance.drain()


def test_after_a_reset_the_tail_counts_from_its_start(author: Any) -> None:
    lance = author.projection(drain_rows=10)
    lance.notify(1_000_000)
    lance.wait()
    author.add(10)
    lance.notify(10)
    lance.wait()
    assert lance.seq == 10


@BOTH
def test_closing_stops_a_drain_at_its_next_batch(author: Any, drain_in: str) -> None:
    lance = author.projection(drain_rows=10, batch_rows=1, drain_in=drain_in)
    author.add(400)
    lance.notify(400)
    begin = time.monotonic()
    lance.close()
    assert time.monotonic() - begin < 5  # the whole of it would take ten times as long
    assert lance.seq < 400
    assert not {"agentmem-drain", "agentmem-child"} & names()
    again = author.projection()
    assert again.drain() == 400
    assert again.verify() == []


@BOTH
@pytest.mark.parametrize("ending", ["", "raise SystemExit(3)", "del lance, author"])
def test_a_program_ends_while_it_drains(
    author: Any, store_path: Path, ending: str, drain_in: str
) -> None:
    program = f"""
import sys, time
from runpy import run_path
author = run_path(sys.argv[1])["Author"](sys.argv[2])
lance = author.projection(drain_rows=10, batch_rows=1, drain_in={drain_in!r})
author.add(1000)
lance.notify(1000)
while lance.seq < 3:
    time.sleep(0.005)
print("ending", flush=True)
{ending}
"""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, CONFTEST, str(store_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ending\n"
    begin = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert process.returncode == (3 if "3" in ending else 0), said
    assert said == ""
    assert time.monotonic() - begin < 10
    lance = author.projection()
    assert 3 <= lance.seq < 1000
    assert lance.drain() == 1000
    assert lance.verify() == []


def test_runs_have_ended_before_lancedb_ends_its_threads(tmp_path: Path) -> None:
    """A call of LanceDB that is under way then would never return."""
    program = """
import atexit, sys, threading, time
register = atexit.register
def noted(call, *args):
    if getattr(call, "__name__", "") != "shutdown_runtime":
        return register(call, *args)
    def told():
        print("ends with a run:", any(t.name == "run" for t in threading.enumerate()))
        call()
    return register(told)
atexit.register = noted
from agentmem.vector.background import Background
def work(stopped):
    from agentmem.vector.table import tables
    while not stopped():
        tables(sys.argv[1], (), "")
        begun.set()
begun = threading.Event()
background = Background("run", work)
background.start()
begun.wait()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == "ends with a run: False\n"
    assert ended.stderr == ""


def test_a_run_that_does_not_end_keeps_no_program_alive() -> None:
    program = """
import threading
from agentmem.vector import background
background._PATIENCE = 0.2
stuck = background.Background("stuck", lambda stopped: threading.Event().wait())
stuck.start()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stderr == ""


def test_an_error_that_nobody_foresaw_is_kept_and_logged(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(_stopped: Any) -> None:
        if not background.failures:
            raise OverflowError("too large")

    background = Background("counting", work)
    background.start()
    background.join()
    assert "OverflowError: too large" in str(background.error)
    assert background.failures == 1
    assert "Traceback" in caplog.text
    assert capsys.readouterr().err == ""
    background.start()
    background.join()
    assert background.error is None
    background.stop()


@BOTH
@pytest.mark.parametrize("how", ["removed", "moved"])
def test_nothing_is_drained_into_a_folder_that_is_gone(
    author: Any, tmp_path: Path, how: str, drain_in: str
) -> None:
    path = tmp_path / "going"
    make = type(author)
    author = make(path)
    lance = author.projection(drain_rows=10, batch_rows=1, drain_in=drain_in)
    author.add(400)
    lance.notify(400)
    while lance.seq < 3:
        assert lance.stats()["error"] is None
        time.sleep(0.005)
    if how == "moved":
        path.rename(tmp_path / "there")
    while path.exists():  # a commit that is under way makes folders while they are removed
        shutil.rmtree(path, ignore_errors=True)
    lance.wait()
    assert lance.stats()["error"].startswith("StorePathError")
    with pytest.raises(StorePathError):
        lance.drain()
    assert not path.exists()
    lance.close()
    author.close()
    assert not path.exists()
    if how == "moved":
        again = make(tmp_path / "there")
        again.assert_whole(again.projection())
        again.close()
