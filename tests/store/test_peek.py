"""Snapshots that begin no transaction while nobody has committed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import ClosedError
from agentmem.ports import StaleSnapshot
from agentmem.store import Store, filters
from agentmem.store.state import State, read_state


def transactions(store: Store) -> list[bool]:
    """Of the read connections, whether one is open."""
    return [connection.in_transaction for connection in store._readers.all_connections()]


def test_a_second_look_begins_no_transaction(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    with store.peek() as snapshot:
        assert transactions(store) == [True]
        seq = snapshot.seq
    with store.peek() as snapshot:
        assert transactions(store) == [False]
        assert (snapshot.seq, snapshot.epoch) == (seq, snapshot.state.epoch)
        assert snapshot.count(filters.EVERYTHING) == 1
        assert transactions(store) == [True]
    assert transactions(store) == [False]


def test_a_commit_is_seen_at_once_whoever_made_it(store: Store, fill: Any, tmp_path: Path) -> None:
    fill.add(store, "a")
    for _ in range(3):
        with store.peek() as snapshot:
            before = snapshot.seq
    fill.add(store, "b")
    with store.peek() as snapshot:
        assert snapshot.seq == before + 1
    with store.peek():
        pass
    other = (
        "import sys; from agentmem.store import Store\n"
        "store = Store(sys.argv[1])\n"
        "with store.write() as transaction: transaction.put_meta('noted', 'x')\n"
        "store.close()"
    )
    subprocess.run([sys.executable, "-c", other, str(store.path)], check=True)
    with store.peek() as snapshot:
        assert snapshot.meta("noted") == "x"


def test_what_a_commit_leaves_is_known_without_asking(store: Store, fill: Any) -> None:
    """Whatever was done, it is the state that a new connection reads."""
    fill.add(store, "the first, which names the model")
    with store.peek():
        pass  # from now on there is something to know it by

    def known() -> State | None:
        with store.read() as snapshot:
            read = read_state(snapshot._db)
            assert store._watch.state() in (None, read)
            assert snapshot.state == read
        return store._watch.state()

    first, *_ = fill.add(store, "a", "b", "c")
    assert known() is not None
    with store.write() as tx:
        tx.put_meta("noted", 1)
    assert known() is not None
    with store.write() as tx:
        changed = [replace(first, content="A")]
        tx.update(changed, None, None, None)
    assert known() is not None
    with store.write() as tx:
        tx.delete([first.key])
    assert known() is not None
    with suppress(ZeroDivisionError), store.write() as tx:
        fill.insert(tx, [fill.new("never")])
        raise ZeroDivisionError
    known()
    with store.write() as tx:
        with suppress(ZeroDivisionError), tx.savepoint():
            fill.insert(tx, [fill.new("undone")])
            raise ZeroDivisionError
        fill.insert(tx, [fill.new("done")])
    assert known() is not None
    with store.write() as tx:
        tx.purge([first.id])
    known()
    store.note_access([1, 2])
    store.flush_access()
    known()
    with store.write() as tx:
        tx.begin_reembed("other", 7)
    known()
    with store.write() as tx:
        tx.finish_terms("words-1")  # a new epoch
    assert store._watch.state() is None
    known()
    store.scrub()
    known()
    store.reset()
    known()
    fill.add(store, "new")
    known()


def test_what_is_read_after_a_commit_is_refused(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    with store.peek():
        pass
    with store.peek() as snapshot:
        fill.add(store, "b")
        with pytest.raises(StaleSnapshot):
            snapshot.count(filters.EVERYTHING)
    assert transactions(store) == [False]
    with store.peek() as snapshot:
        assert snapshot.count(filters.EVERYTHING) == 2


def test_every_commit_is_seen_by_the_next_look(store: Store, fill: Any) -> None:
    """Many looks, in other threads, while somebody commits: each sees what was there before."""
    done = [0]
    late: list[tuple[int, int]] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            least = done[0]
            with store.peek() as snapshot:
                if snapshot.seq < least:
                    late.append((snapshot.seq, least))
            time.sleep(0)  # lets the one that commits have the interpreter lock

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(150):
        fill.add(store, f"text {i}")
        done[0] = i + 1
    stop.set()
    for thread in threads:
        thread.join()
    assert late == []
    with store.peek() as snapshot:
        assert snapshot.seq == 150


def test_a_checkpoint_or_a_rewrite_changes_nothing(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    with store.peek() as snapshot:
        seq = snapshot.seq
    store.scrub()
    for _ in range(2):
        with store.peek() as snapshot:
            assert snapshot.seq == seq
            assert snapshot.count(filters.EVERYTHING) == 1


def test_a_closed_store_has_nothing_to_look_at(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    with store.peek():
        pass
    with store.peek() as snapshot:
        store.close()
        with pytest.raises(ClosedError):
            snapshot.count(filters.EVERYTHING)
    with pytest.raises(ClosedError), store.peek():
        pass


def test_a_question_begins_no_transaction_while_nobody_commits(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    begun: list[list[bool]] = []

    def count(snapshot: Any) -> int:
        found: int = snapshot.count(filters.EVERYTHING)
        begun.append(transactions(store))
        return found

    assert [store.ask(count), store.ask(count)] == [1, 1]
    assert begun == [[True], [False]]
    fill.add(store, "b")
    assert store.ask(count) == 2


def test_a_question_is_asked_again_when_somebody_has_committed_meanwhile(
    open_store: Any, fill: Any
) -> None:
    """What it was told first may be of two states."""
    store, other = open_store(), open_store()
    fill.add(store, "a")
    store.ask(lambda snapshot: snapshot.seq)
    asked: list[tuple[int, int]] = []

    def count_twice(snapshot: Any) -> tuple[int, int]:
        first = snapshot.count(filters.EVERYTHING)
        if len(asked) < 2:
            fill.add(other, f"meanwhile {len(asked)}")
        asked.append((first, snapshot.count(filters.EVERYTHING)))
        return asked[-1]

    assert store.ask(count_twice) == (2, 2)
    assert asked == [(1, 2), (2, 2)]


def test_a_question_is_asked_again_when_its_connection_fails(store: Store, fill: Any) -> None:
    fill.add(store, "a")
    store.ask(lambda snapshot: snapshot.seq)
    with store.read() as snapshot:
        first = snapshot._db
    first.raw.close()  # as a fault would
    assert store.ask(lambda snapshot: snapshot.count(filters.EVERYTHING)) == 1
    with pytest.raises(LookupError, match="of the question"):
        store.ask(lambda snapshot: {}["of the question"])
    assert store._readers.stats()["in_use"] == 0


def test_what_a_mixed_state_makes_fail_is_asked_again(open_store: Any, fill: Any) -> None:
    """A row of one state, and its scope gone in the next."""
    store, other = open_store(), open_store()
    (record,) = fill.add(store, "a")
    with store.peek():
        pass
    ids: list[list[int]] = []

    def by_two(snapshot: Any) -> int:
        ids.append(list(snapshot.records([record.key])))
        if len(ids) == 1:
            other.reset()
            raise KeyError("the scope of a row that was there just now")
        return len(ids[-1])

    assert store.ask(by_two) == 0
    assert ids == [[record.key], []]
