"""``agentmem stress`` as a program: its page, its files, its exit code."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result
from rich.console import Console

from agentmem.cli.loadview import LoadView
from agentmem.store.connection import DATABASE_NAME
from agentmem.stress import Plan
from agentmem.stress.monitor import HIT_RATES, Sample

QUICK = ("--users", 10, "--seconds", 0.5, "--warm-up", 0, "--size", 100)


def test_the_page_tells_calls_times_and_checks(run: Callable[..., Result]) -> None:
    page = run("stress", "concurrent", "--kind", "tasks", *QUICK).stdout
    assert re.search(r"^search +\d", page, flags=re.MULTILINE)
    assert re.search(r"^all +\d", page, flags=re.MULTILINE)
    assert re.search(r"[\d,]+ answers checked, 0 wrong; \d+ memories", page)
    assert "p99.9" in page


def test_json_and_files_say_the_same(run_json: Callable[..., Any], tmp_path: Path) -> None:
    file, page = tmp_path / "report.json", tmp_path / "report.html"
    found = run_json("stress", "retrieval", *QUICK, "--report", file, "--report", page)
    assert found["ok"] is True
    assert json.loads(file.read_text("utf-8")) == found
    assert page.stat().st_size > 10_000


def test_a_report_that_cannot_be_written_does_not_take_the_page_away(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "report.json").symlink_to(tmp_path / "missing" / "report.json")
    done = run("stress", "retrieval", *QUICK, "--report", tmp_path / "report.json", code=4)
    assert "answers checked, 0 wrong" in done.stdout
    assert "report.json" in done.stderr


def test_the_page_tells_what_the_caches_knew(run: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    page = run("stress", "cache", *QUICK, "--report", file).stdout
    last = json.loads(file.read_text("utf-8"))["phases"][0]["samples"][-1]
    for name, what in HIT_RATES.items():
        if name != "embeddings_hit":  # asked for only where an answer is not known
            assert 0 < last[name] < 1
            assert f"{what} {100 * last[name]:.1f} %" in page


def test_mistakes_are_told_before_the_work(run: Callable[..., Result], tmp_path: Path) -> None:
    assert "rate" in run("stress", "mixed", "--rate", "soon", code=2).output
    assert ".html" in run("stress", "mixed", "--report", tmp_path / "report.doc", code=2).output
    for name in ("report.json", "report.html"):
        wrong = run("stress", "mixed", "--report", tmp_path / "missing" / name, code=2).output
        assert "there is no folder" in wrong
    store = tmp_path / "mine"
    assert "--keep" in run("--store", store, "stress", "mixed", "--seconds", "1", code=2).output
    assert not store.exists()


def test_a_wrong_answer_ends_with_exit_code_1(program: list[str], tmp_path: Path) -> None:
    """Rows are deleted with SQLite itself while the program runs."""
    folder = tmp_path / "kept"
    command = [*program, "stress", "retrieval", "--keep", str(folder), "--json"]
    command += ["--users", "10", "--seconds", "4", "--warm-up", "0", "--size", "300"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        deleted = 0
        while deleted < 300 and running.poll() is None:
            try:
                deleted += delete_all(folder / DATABASE_NAME)
            except sqlite3.OperationalError:
                continue  # not made yet
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 1
    found = json.loads(out)
    assert found["ok"] is False
    assert found["final"]["lost"] == 300


def delete_all(path: Path) -> int:
    """How many memories were deleted, once all have been stored."""
    database = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=5)
    try:
        (stored,) = database.execute("SELECT count(*) FROM memories").fetchone()
        if stored < 300:
            return 0
        with database:
            return database.execute("DELETE FROM memories").rowcount
    finally:
        database.close()


def test_the_live_view_shows_what_goes_on() -> None:
    view = LoadView(Plan("mixed", users=7), live=False)
    values: dict[str, Any] = dict.fromkeys(Sample.__dataclass_fields__, 3)
    for rate in (100.0, 2500.0):
        sample = Sample(**{**values, "phase": "closed loop", "calls_per_second": rate})
        view.tell(sample)
    shown = Console(width=100)
    with shown.capture() as captured:
        shown.print(view.render(sample))
    text = captured.get()
    assert "mixed, 4 threads, closed loop" in text
    assert "2,500" in text
