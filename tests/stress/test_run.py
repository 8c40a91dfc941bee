"""Short runs of every scenario on real stores; what is wrong with a store is found."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentmem import InvalidInputError, Memory
from agentmem.store.connection import DATABASE_NAME
from agentmem.stress import KINDS, SCENARIOS, Plan, Report, run
from agentmem.stress.drivers import immediately
from agentmem.stress.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentmem.stress.monitor import Sample

#: Calls that a scenario must be seen to make, under the names of the report.
CALLS = {
    "creation": {"add"},
    "retrieval": {"search", "get", "page"},
    "vector": {"search_vector"},
    "batch": {"add_batch"},
    "concurrent": {"search", "get", "add", "update", "delete"},
    "cache": {"search"},
    "mixed": {"search", "get", "add", "update", "delete", "page", "count"},
}


def test_a_long_run_keeps_the_store_as_large_as_it_was(tmp_path: Path) -> None:
    """As many adds as deletes are a walk by chance, which leads ever further up."""
    plan = short("mixed", users=2, workers=1, size=20)
    session = Session(plan, tmp_path)
    try:
        session.preload()
        most = 2 * plan.load.batch
        for _ in range(1_500):
            immediately(session.actors[0].act())
            # A batch may come when one memory would have had room.
            assert all(len(one.live) < most + plan.load.batch for one in session.actors[0].ledgers)
        assert session.checks.to_dict()["violations"] == {}
    finally:
        session.close()


def short(scenario: str, **given: object) -> Plan:
    settings: dict[str, object] = {"users": 20, "seconds": 0.6, "warm_up": 0.0, "size": 200}
    return Plan(scenario, **(settings | given))  # type: ignore[arg-type]


def checked(report: Report) -> set[str]:
    return {kind for kind, times in report.checks["made"].items() if times}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_sound_store_passes_every_scenario(scenario: str) -> None:
    report = run(short(scenario, verify=1.0))
    assert report.ok, report.checks["examples"]
    (phase,) = report.phases
    assert CALLS[scenario] <= phase.operations.keys()
    assert phase.all["errors"] == {}
    assert phase.per_second > 0
    assert report.final["lost"] == 0
    # The mixed load deletes as much as it adds, and never the same twice.
    assert report.final["memories"] >= (100 if scenario == "mixed" else 200)
    assert {"everything acknowledged is stored", "the store is sound"} <= checked(report)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_worker_sees_what_others_wrote(kind: str) -> None:
    report = run(short("concurrent", kind=kind, workers=2, seconds=1.5, size=60))
    assert report.ok, report.checks["examples"]
    assert {
        "a read sees its own writes",
        "a read sees others' writes",
        "a result obeys its scope",
        "a search finds what was written",
    } <= checked(report)
    last = report.phases[0].samples[-1]
    # Each of two processes takes its last sample when it is done itself.
    under_way = 2 if kind == "processes" else 0
    assert abs(report.final["memories"] - last["memories"]) <= under_way
    assert last["rss_bytes"] > 0


#: What the answers of a call that others do not make are held against.
CHECKED = {
    "search_batch": "a search finds what was written",
    "search_page": "pages are parts of one ranking",
    "as_of": "the past stays as it was",
    "update_batch": "an update tells what was there before",
    "delete_batch": "what was deleted is gone",
}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``load("get", "add")``: the mixed scenario makes these calls, equally often."""

    def load(*calls: str) -> None:
        mix = dict.fromkeys(calls, 1 / len(calls))
        monkeypatch.setitem(SCENARIOS, "mixed", replace(SCENARIOS["mixed"], mix=mix))

    return load


def test_every_call_of_the_mixed_load_is_made_and_checked(load: Callable[..., None]) -> None:
    calls = SCENARIOS["mixed"].mix
    assert calls.keys() >= CHECKED.keys()
    load(*calls)
    report = run(short("mixed", seconds=2.0, size=2_000, verify=1.0))
    assert report.ok, report.checks["examples"]
    (phase,) = report.phases
    assert phase.operations.keys() >= calls.keys()
    assert phase.all["errors"] == {}
    assert checked(report) >= set(CHECKED.values())


def test_a_past_that_is_not_what_it_was_is_noticed(
    load: Callable[..., None], tmp_path: Path
) -> None:
    load("as_of", "update_batch")
    changed = 0

    def vandal(sample: Sample) -> None:
        """Again and again: what was noted after one change is found to have met the next."""
        nonlocal changed
        changed += damage(tmp_path, "UPDATE versions SET content = content || '!'")

    report = run(short("mixed", seconds=6.0), tmp_path, tell=vandal)
    assert changed > 0
    assert report.checks["violations"]["the past stays as it was"] > 0


_DAMAGE = """
import sqlite3
import sys
with sqlite3.connect(sys.argv[1], timeout=20) as database:
    print(database.execute(sys.argv[2]).rowcount)
"""


def damage(folder: Path, statement: str) -> int:
    """Change the database behind everybody's back; returns the number of rows.  In a process of its
    own: a second SQLite in this one would let go of the locks of the first."""
    command = [sys.executable, "-c", _DAMAGE, str(folder / DATABASE_NAME), statement]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_memories_that_vanish_while_it_runs_are_missed(tmp_path: Path) -> None:
    done = threading.Event()

    def vandal(sample: Sample) -> None:
        if not done.is_set():
            done.set()
            assert damage(tmp_path, "DELETE FROM memories WHERE key % 2 = 0") > 0

    report = run(short("retrieval", seconds=2.5, size=400), tmp_path, tell=vandal)
    assert not report.ok
    violations = report.checks["violations"]
    assert violations["a read sees its own writes"] > 0
    assert violations["everything acknowledged is stored"] > 0
    assert violations["the store is sound"] > 0
    assert report.final["lost"] == pytest.approx(200, abs=1)


def test_a_text_changed_on_the_disk_is_seen_when_the_store_is_opened_again(tmp_path: Path) -> None:
    def vandal(folder: Path) -> None:
        changed = damage(folder, "UPDATE memories SET content = 'something else' WHERE key = 7")
        assert changed == 1

    report = run(short("retrieval"), tmp_path, before_reopening=vandal)
    violations = report.checks["violations"]
    assert violations["what is stored is what was last acknowledged"] == 1
    assert "everything acknowledged is stored" not in violations
    assert any("something else" in example for example in report.checks["examples"])


def test_a_memory_of_another_user_in_a_scope_is_a_violation(tmp_path: Path) -> None:
    done = threading.Event()

    def intruder(sample: Sample) -> None:
        if not done.is_set():
            done.set()
            with Memory(tmp_path, embedder="static") as other:
                other.add_batch(["nobody acknowledged this"] * 50, user_id="user-0")

    plan = short("retrieval", users=1, workers=1, seconds=2.5, size=20)
    report = run(plan, tmp_path, tell=intruder)
    violations = report.checks["violations"]
    assert violations["a result is what was last written"] > 0
    assert violations["nothing is stored that was not acknowledged, or was deleted"] == 50


def test_an_open_loop_counts_the_wait_of_calls_that_could_not_begin(tmp_path: Path) -> None:
    """Somebody holds the write lock for a second: every call that was due meanwhile waited."""
    rate, held = 40, 1.0
    done = threading.Event()

    def blocker(sample: Sample) -> None:
        if not done.is_set():
            done.set()
            with Memory(tmp_path, embedder="static") as other, other._engine.store.write():
                threading.Event().wait(held)

    plan = short("creation", rate=str(rate), workers=2, seconds=4.0, size=0, verify=0.0)
    report = run(plan, tmp_path, tell=blocker)
    assert report.ok, report.checks["examples"]
    (phase,) = report.phases
    assert phase.rate == rate
    # Due evenly while it was held: half of them waited more than half of it.
    adds = phase.operations["add"]
    assert adds["calls"] == pytest.approx(rate * 4, rel=0.4)
    assert adds["p95_ms"] > 1000 * held / 4


def test_a_rate_in_percent_follows_a_closed_loop() -> None:
    report = run(short("retrieval", rate="25%", seconds=1.0))
    closed, opened = report.phases
    assert closed.rate is None
    assert opened.rate == pytest.approx(closed.per_second / 4)
    assert opened.all["calls"] == pytest.approx(opened.rate, rel=0.5)
    assert report.ok, report.checks["examples"]


def test_a_failing_call_is_counted_by_its_class(tmp_path: Path) -> None:
    """The database is swapped for another file while it runs: writes are refused, not lost."""
    done = threading.Event()

    def swapper(sample: Sample) -> None:
        if not done.is_set():
            done.set()
            (tmp_path / DATABASE_NAME).rename(tmp_path / "moved.db")

    def back(folder: Path) -> None:
        (folder / DATABASE_NAME).unlink(missing_ok=True)
        (folder / "moved.db").rename(folder / DATABASE_NAME)

    plan = short("creation", seconds=2.5, size=0, verify=0.0)
    report = run(plan, tmp_path, tell=swapper, before_reopening=back)
    phase = report.phases[0]
    assert phase.operations["add"]["errors"]["StorePathError"] > 0
    assert 0 < phase.operations["add"]["error_rate"] < 1
    assert report.final["lost"] == 0


def test_the_warm_up_is_not_reported() -> None:
    report = run(short("creation", warm_up=1.0, seconds=0.5, size=0))
    (phase,) = report.phases
    assert phase.all["calls"] < report.final["memories"]


def test_a_folder_with_a_store_is_refused(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="static") as memory:
        memory.add("precious", user_id="ann")
    with pytest.raises(InvalidInputError, match="holds a store already"):
        run(short("creation"), tmp_path)


def test_the_same_seed_stores_the_same(tmp_path: Path) -> None:
    def stored(folder: Path) -> list[tuple[str, str]]:
        run(short("retrieval", seconds=0.1), folder)
        with Memory(folder, embedder="static") as memory:
            page = memory.get_all(unscoped=True, limit=1000)["results"]
        return [(item["user_id"], item["memory"]) for item in page]

    assert stored(tmp_path / "a") == stored(tmp_path / "b")


def test_plots_have_each_sample_at_its_time() -> None:
    """Seconds of a phase count from the end of its warm-up, which is drawn, too."""
    from agentmem.stress.chart import timeline

    report = run(short("retrieval", rate="50%", seconds=1.5, warm_up=1.2))
    samples, ((at_first, _), (at_second, _)) = timeline(report)
    first, second = (phase.samples for phase in report.phases)
    assert at_first == -1.2
    assert [one["at"] for one in samples[: len(first)]] == [one["second"] for one in first]
    assert at_second == first[-1]["second"]
    assert [one["at"] for one in samples[len(first) :]] == pytest.approx(
        [at_second + 1.2 + one["second"] for one in second]
    )


def test_the_report_is_json_and_pictures(tmp_path: Path) -> None:
    from agentmem.stress.chart import draw

    report = run(short("concurrent", seconds=1.5))
    report.save(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert read == json.loads(json.dumps(report.to_dict()))
    draw(report, tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    draw(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "data:image/png;base64," in page
    assert "every check held" in page
