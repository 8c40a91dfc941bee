"""The hot index follows the store: every write, any snapshot, beside writers."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest

from agentmem.ports import StaleSnapshot
from agentmem.types import Scope

ALICE = Scope("alice")


def test_every_write_is_in_the_next_search(bench: Any) -> None:
    vector = bench.vectors(1)[0]
    assert bench.ask("cat", vector) == []
    first = bench.add(["cat"])  # also sets the store's model, so nothing older is kept
    assert [h.key for h in bench.ask("cat", vector)] == first
    second = bench.add(["red cat"])
    assert {h.key for h in bench.ask("cat", vector)} == {*first, *second}
    bench.rewrite(first, ["piano"])
    assert [h.key for h in bench.ask("cat", vector, mode="keyword")] == second
    bench.delete(second)
    assert [h.key for h in bench.ask("cat", vector)] == first
    assert bench.index.stats()["loads"] == 2  # the rest came through the log


def test_writes_of_another_process_too(bench: Any) -> None:
    """A second store on the same folder: other connections, as another process has."""
    vector = bench.vectors(1)[0]
    keys = bench.add(["cat", "red cat"])
    assert len(bench.ask("cat", vector)) == 2
    mine, bench.store = bench.store, bench.open()
    bench.add(["cat houses"])
    bench.delete(keys[:1])
    bench.store.close()
    bench.store = mine
    assert {h.key for h in bench.ask("cat", vector)} == set(bench.truth)


def test_reset_forgets_everything(bench: Any) -> None:
    vector = bench.vectors(1)[0]
    bench.add(["cat", "red cat"])
    assert len(bench.ask("cat", vector)) == 2
    bench.store.reset()
    assert bench.ask("cat", vector) == []
    bench.truth.clear()
    keys = bench.add(["cat"])
    assert [h.key for h in bench.ask("cat", vector)] == keys


def test_a_long_tail_is_reloaded_rather_than_followed(bench: Any) -> None:
    vector = bench.vectors(1)[0]
    bench.add(["cat", "red cat"])
    bench.ask("cat", vector)
    bench.add(["piano guitar"] * 2500, Scope("bob"))
    assert len(bench.ask("cat", vector)) == 2
    stats = bench.index.stats()
    assert (stats["loads"], stats["tails"]) == (2, 0)


def test_many_deletions_between_uses_of_a_partition(bench: Any) -> None:
    """The journal of deletions is bounded; a partition that slept through it is still right."""
    vector = bench.vectors(1)[0]
    keys = bench.add(["cat"] * 600)
    bench.add(["cat"], Scope("bob"))
    bench.ask("cat", vector)
    for key in keys[:540:2]:
        bench.delete([key])
        bench.ask("cat", vector, Scope("bob"))
    for start in range(1, 540, 60):
        bench.delete(keys[start : start + 60 : 2])
    assert {h.key for h in bench.ask("cat", vector)} == set(keys[540:])


def test_an_older_snapshot_is_answered_as_of_then_or_refused(bench: Any) -> None:
    vector = bench.vectors(1)[0]
    first = bench.add(["cat"])
    bench.add(["cat"], Scope("bob"))
    bench.ask("cat", vector)
    bench.ask("cat", vector, Scope("bob"))
    with bench.store.read() as old:
        bench.add(["red cat"])
        bench.ask("cat", vector)  # the index follows
        with pytest.raises(StaleSnapshot):
            bench.ask_at(old, "cat", vector)
        # What has not changed since is still right.
        assert len(bench.ask_at(old, "cat", vector, Scope("bob"))) == 1
        # A private copy is always right.
        assert [h.key for h in bench.ask_at(old, "cat", vector, private=True)] == first
    assert bench.index.stats()["stale"] == 1


def test_an_older_snapshot_still_sees_what_was_deleted_since(bench: Any) -> None:
    vector = bench.vectors(1)[0]
    keys = bench.add(["cat", "red cat"])
    bench.ask("cat", vector)
    with bench.store.read() as old:
        bench.delete(keys[:1])
        assert len(bench.ask("cat", vector)) == 1
        with pytest.raises(StaleSnapshot):
            bench.ask_at(old, "cat", vector)


@pytest.mark.usefixtures("tight")
def test_searches_beside_writers_are_exact_at_their_snapshot(bench: Any) -> None:
    """Each answer equals that of a private copy read in the same snapshot."""
    bench.add(["cat running", "red house"] * 40)
    done = threading.Event()
    failures: list[BaseException] = []
    answered = [0]

    def search(seed: int) -> None:
        vector = np.random.default_rng(seed).standard_normal(bench.dim).astype(np.float32)
        dice = random.Random(seed)
        try:
            while not done.is_set():
                scope = dice.choice([ALICE, Scope("bob"), Scope()])
                with bench.store.read() as snapshot:
                    try:
                        hits = bench.ask_at(snapshot, "cat piano", vector, scope)
                    except StaleSnapshot:
                        continue
                    if dice.random() < 0.02:
                        bench.index.clear()
                    truth = bench.ask_at(snapshot, "cat piano", vector, scope, private=True)
                assert hits == truth
                answered[0] += 1
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=search, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    dice = random.Random(9)
    for _ in range(150):
        scope = dice.choice([ALICE, Scope("bob")])
        keys = bench.add(["piano", "cat guitar"], scope)
        if dice.random() < 0.5:
            bench.delete(dice.sample(sorted(bench.truth), 3))
        else:
            bench.rewrite(keys[:1], ["red cat"])
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert answered[0] > 50
