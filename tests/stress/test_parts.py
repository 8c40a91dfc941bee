"""Plans, arrivals, ledgers, bulletins: the parts that a run is judged by."""

from __future__ import annotations

import random
import threading
import time
from itertools import pairwise
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import InvalidInputError
from agentmem.stress import SCENARIOS, Plan
from agentmem.stress.content import Questions, code_word, sentences
from agentmem.stress.drivers import Arrivals
from agentmem.stress.ledger import Bulletin, Checks, Entry, UserLedger
from agentmem.stress.recorder import Recorder

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"scenario": "knitting"}, "knitting"),
        ({"kind": "fibres"}, "fibres"),
        ({"workers": 0}, "20,000"),
        ({"users": 30_000}, "20,000"),
        ({"workers": 9, "users": 3}, "9 workers"),
        ({"seconds": 0}, "positive"),
        ({"verify": 2}, "share"),
        ({"rate": "fast"}, "fast"),
        ({"rate": "-5%"}, "-5%"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        Plan(**({"scenario": "mixed"} | given))


def test_the_concurrent_mix_is_what_it_says() -> None:
    mix = SCENARIOS["concurrent"].mix
    assert mix["search"] + mix["get"] == pytest.approx(0.7)
    assert mix["add"] == pytest.approx(0.2)
    assert mix["update"] + mix["delete"] == pytest.approx(0.1)


def test_every_mix_adds_up() -> None:
    assert {name: pytest.approx(1.0) for name in SCENARIOS} == {
        name: sum(scenario.mix.values()) for name, scenario in SCENARIOS.items()
    }


def due_times(arrivals: Arrivals) -> list[int]:
    found: list[int] = []
    while (due := arrivals.next()) is not None:
        found.append(due)
    return found


def test_arrivals_come_at_their_rate_whoever_asks() -> None:
    found = due_times(Arrivals(1000, 0, 10 * SECOND, "seed"))
    assert len(found) == pytest.approx(10_000, rel=0.05)
    assert found == sorted(found)
    assert found == due_times(Arrivals(1000, 0, 10 * SECOND, "seed"))
    assert found != due_times(Arrivals(1000, 0, 10 * SECOND, "another"))
    gaps = [b - a for a, b in pairwise(found)]
    short = sum(gap < SECOND / 1000 for gap in gaps) / len(gaps)
    assert short == pytest.approx(0.632, abs=0.03)  # 1 - 1/e: exponential, not even


def test_no_arrival_is_given_to_two_threads() -> None:
    arrivals = Arrivals(10_000, 0, SECOND, "seed")
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.extend(due_times(arrivals))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == due_times(Arrivals(10_000, 0, SECOND, "seed"))


def test_what_is_due_and_not_begun_is_behind() -> None:
    arrivals = Arrivals(100, 0, 10 * SECOND, "seed")
    assert arrivals.behind(5 * SECOND) == 500
    assert arrivals.behind(60 * SECOND) == 1000
    due_times(arrivals)
    assert arrivals.behind(60 * SECOND) == 0


@given(st.lists(st.integers(0, 1_000_000), max_size=60))
def test_a_ledger_knows_what_is_live(choices: list[int]) -> None:
    """Even numbers add, odd ones delete one of those that are there."""
    ledger = UserLedger("ann")
    live: dict[str, Entry] = {}
    for number, choice in enumerate(choices):
        if choice % 2 == 0 or not live:
            entry = Entry(str(number), "ann", f"z{number}", "text")
            ledger.added(entry)
            live[entry.id] = entry
        else:
            gone = live.pop(sorted(live)[choice % len(live)])
            ledger.removed(gone)
            assert gone.id in ledger.gone
    assert ledger.live == live
    chance = random.Random(1)
    drawn = {entry.id for _ in range(600) if (entry := ledger.any(chance)) is not None}
    assert drawn == live.keys()


def test_what_was_announced_is_never_changed() -> None:
    ledger, bulletin, chance = UserLedger("ann"), Bulletin(), random.Random(1)
    entry = Entry("1", "ann", "z1", "text")
    ledger.added(entry)
    assert ledger.any(chance, changeable=True) is entry
    bulletin.announce(entry)
    assert ledger.any(chance, changeable=True) is None
    assert bulletin.any(chance) is entry


def test_what_nobody_asks_for_any_more_may_be_changed_again() -> None:
    bulletin = Bulletin()
    entries = [Entry(str(i), "ana", f"z{i}", "text") for i in range(1_100)]
    for entry in entries:
        bulletin.announce(entry)
    assert [entry.public for entry in entries] == [False] * 600 + [True] * 500
    chance = random.Random(1)
    chosen = {one.id for _ in range(2_000) if (one := bulletin.any(chance))}
    assert chosen.isdisjoint(entry.id for entry in entries[:600])


def test_what_somebody_may_still_be_asking_for_is_not_changed() -> None:
    """Who chose it just before it left the list has not had the answer yet."""
    bulletin = Bulletin(patience=0.2)
    entries = [Entry(str(i), "ana", f"z{i}", "text") for i in range(501)]
    for entry in entries:
        bulletin.announce(entry)
    left = time.monotonic()
    while entries[0].public:
        bulletin.announce(Entry("later", "ana", "z", "text"))
    assert time.monotonic() >= left + 0.15


def test_as_much_is_deleted_as_added_in_a_long_run() -> None:
    scenario = SCENARIOS["mixed"]

    def rows(one: str) -> float:
        return scenario.mix[one] + scenario.batch * scenario.mix[f"{one}_batch"]

    assert rows("delete") == pytest.approx(rows("add"))


def test_announcements_reach_other_processes_through_the_file(tmp_path: Path) -> None:
    chance = random.Random(1)
    writer, reader = (Bulletin(tmp_path / "bulletin") for _ in range(2))
    assert reader.any(chance) is None
    for i in range(300):
        writer.announce(Entry(f"id{i}", "ann", f"z{i}", f"text {i} ({'é' * i})", i))
    found: dict[str, Entry] = {}
    for _ in range(5_000):
        entry = reader.any(chance)
        assert entry is not None
        found[entry.id] = entry
    assert len(found) == 300
    assert found["id7"] == Entry("id7", "ann", "z7", "text 7 (ééééééé)", 7, public=True)
    writer.close()
    reader.close()


def test_code_words_are_different_and_stay_whole_in_the_index() -> None:
    from agentmem.index.analyzer import EnglishAnalyzer

    words = [code_word(p, w, n) for p in (0, 11) for w in (0, 1, 300) for n in (1, 11, 111)]
    batch = EnglishAnalyzer().analyze(words)
    assert batch.lengths.tolist() == [1] * len(words)
    assert len(set(batch.terms.tolist())) == len(words)


def test_few_questions_are_asked_often_and_the_first_most() -> None:
    chance, questions = random.Random(3), Questions(seed=3, different=50)
    asked = [questions.one(chance) for _ in range(5_000)]
    assert len(set(asked)) <= 50
    most = max(set(asked), key=asked.count)
    assert asked.count(most) > 5 * 5_000 / 50
    free = Questions(seed=3, different=0)
    assert len({free.one(chance) for _ in range(500)}) > 300
    assert len(sentences()) > 200


def test_calls_before_the_warm_up_ends_are_not_counted() -> None:
    recorder = Recorder(timeout=1.0)
    recorder.since = now = perf_counter_ns()
    recorder.done("get", now - 1, now)
    recorder.done("get", now, now + 2 * SECOND)
    recorder.done("add", now, now + 1000, rows=0, error="StoreFullError")
    summary = recorder.summary(seconds=1.0)
    assert (summary["get"]["calls"], summary["get"]["timeouts"]) == (1, 1)
    assert summary["add"]["errors"] == {"StoreFullError": 1}
    assert summary["add"]["error_rate"] == 1.0
    both = Recorder.merged([recorder.to_dict(), recorder.to_dict()])
    assert both.summary(1.0)["get"]["calls"] == 2


def test_a_violated_check_is_counted_and_told() -> None:
    checks = Checks()
    assert checks.that(True, "sums are right", "never seen")
    assert not checks.that(False, "sums are right", "1 + 1 = 3")
    told = checks.to_dict()
    assert told["made"] == {"sums are right": 2}
    assert told["violations"] == {"sums are right": 1}
    assert told["examples"] == ["sums are right: 1 + 1 = 3"]
