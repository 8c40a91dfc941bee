"""Search from volumes on disk: the same answers as from memory, whatever happens meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory
from agentmem.errors import ScopeError
from agentmem.index import by_vector, finding, large, volume_file
from agentmem.index.codes import CODED_FROM
from agentmem.index.question import Found
from agentmem.index.scoring import rank
from agentmem.index.view import View
from agentmem.search import searcher
from agentmem.types import Hit, PartitionKey

_WORDS = """
Lisbon Porto surfing piano lessons bread cat dog garden train station coffee doctor knee
marathon guitar violin kitchen paint winter summer market letter sister brother boat
"""
WORDS = _WORDS.split()
QUESTIONS = [
    "Who takes piano lessons in Lisbon?",
    "What did Ana say about the doctor in June?",
    "bread and coffee at the market",
    "knee",
    "Did Ben paint the boat on 3 July 2024?",
]
FILTERS: list[dict[str, Any] | None] = [
    None,
    {"metadata.even": True},
    {"metadata.number": {"lt": 12}},
    {"OR": [{"run_id": "run-3"}, {"actor_id": "Ana"}]},
    {"metadata.number": {"gt": 10_000}},
]


def items(first: int, n: int) -> list[dict[str, Any]]:
    """Memories of four users; runs of eight, and some that stand alone."""
    made = []
    for i in range(first, first + n):
        said = " ".join(WORDS[(i * k + k * k) % len(WORDS)] for k in range(1, 3 + i % 7))
        item = {
            "content": f"{said} {i}",
            "user_id": f"user-{i // 8 % 4}",
            "run_id": f"run-{i // 8}" if i % 40 < 32 else None,
            "actor_id": (None, "Ana", "Ben")[i % 3],
            "timestamp": f"2024-{1 + i % 12:02}-{1 + i % 28:02}",
            "metadata": {"even": i % 2 == 0, "number": i},
        }
        if i % 17 == 0:
            item["expiration_date"] = "2020-01-01"
        made.append(item)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Memory(tmp_path / "mem", embedder="static", config={"index": {"large_rows": 0}}) as memory:
        memory.add_batch(items(0, 200))
    return tmp_path / "mem"


@pytest.fixture
def hot(path: Path) -> Iterator[Memory]:
    with Memory(path, embedder="static", config={"index": {"large_rows": 0}}) as memory:
        yield memory


@pytest.fixture
def disk(path: Path) -> Iterator[Memory]:
    with Memory(path, embedder="static", config={"index": {"large_rows": 20}}) as memory:
        yield memory


def assert_same(disk: Memory, hot: Memory, **options: Any) -> int:
    """Every question in every mode and with every filter; how many hits there were."""
    hits = 0
    for mode in ("hybrid", "dense", "keyword"):
        for filters in FILTERS:
            asked: dict[str, Any] = {"mode": mode, "filters": filters, "explain": True, **options}
            for ours, theirs in zip(
                disk.search_batch(QUESTIONS, **asked),
                hot.search_batch(QUESTIONS, **asked),
                strict=True,
            ):
                mine, wanted = ours["results"], theirs["results"]
                assert [i["id"] for i in mine] == [i["id"] for i in wanted]
                for one, other in zip(mine, wanted, strict=True):
                    assert one["score"] == pytest.approx(other["score"], abs=1e-5)
                    assert one.pop("explain") == pytest.approx(other.pop("explain"), abs=1e-5)
                    del one["score"], other["score"]
                    assert one == other
                hits += len(mine)
    return hits


SCOPES = [{"unscoped": True}, {"user_id": "user-1"}, {"user_id": "user-1", "run_id": "run-1"}]


@pytest.mark.parametrize("scope", SCOPES)
def test_the_same_answers_while_the_store_is_written(
    disk: Memory, hot: Memory, scope: dict[str, Any]
) -> None:
    assert assert_same(disk, hot, **scope) > 100
    everything = disk.get_all(unscoped=True, limit=1000)["results"]
    chosen = [item["id"] for item in everything]
    hot.add_batch(items(200, 40))  # new runs, and some of run-25, which there is already
    disk.add("piano lessons with Ana", user_id="user-1", run_id="run-1")
    assert_same(disk, hot, **scope)
    hot.update_batch([{"id": i, "text": "coffee in the garden of Porto"} for i in chosen[3:60:9]])
    disk.update(chosen[61], metadata={"even": True, "number": 3})
    assert_same(disk, hot, **scope)
    hot.delete_batch(chosen[4:80:7])
    disk.delete(chosen[8])
    assert_same(disk, hot, **scope)
    assert assert_same(disk, hot, show_expired=True, top_k=50, **scope) > 100
    assert disk.stats()["large"]["searches"] > 0
    assert disk.stats()["index"]["searches"] == 0
    assert hot.stats()["large"]["searches"] == 0


def test_a_threshold_cuts_and_a_batch_is_in_order(disk: Memory, hot: Memory) -> None:
    everything = hot.search(QUESTIONS[0], unscoped=True)["results"]
    cut = everything[3]["score"] - 1e-5
    found = disk.search(QUESTIONS[0], unscoped=True, threshold=cut)["results"]
    assert [item["id"] for item in found] == [item["id"] for item in everything[:4]]


def test_few_candidates_are_enough_for_words(
    disk: Memory, hot: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keyword search is complete: its candidates are its answer."""
    monkeypatch.setattr(finding, "_WORDS", 1)
    for question in QUESTIONS:
        ours = disk.search(question, unscoped=True, mode="keyword", top_k=3)["results"]
        theirs = hot.search(question, unscoped=True, mode="keyword", top_k=3)["results"]
        assert [item["id"] for item in ours] == [item["id"] for item in theirs]


def test_the_runs_that_can_have_the_best_are_scored_first(
    disk: Memory, hot: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 200 memories 48 are enough for the best of each question."""
    monkeypatch.setattr(finding, "_ROWS", 48)
    scored = []

    def noted(view: View, *arguments: Any, **options: Any) -> list[Hit]:
        scored.append(view.n)
        return rank(view, *arguments, **options)

    monkeypatch.setattr(finding, "rank", noted)
    for question in QUESTIONS:
        ours = disk.search(question, unscoped=True, top_k=1)["results"][0]
        theirs = hot.search(question, unscoped=True, top_k=1)["results"][0]
        assert ours["id"] == theirs["id"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)
    assert 0 < max(scored) <= 48


def test_a_filter_that_leaves_little_is_asked_first(
    disk: Memory, hot: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever few candidates there are, all that pass the filter are found."""
    for name in ("_WORDS", "_NEAREST", "_FILTERED"):
        monkeypatch.setattr(finding, name, 1)
    narrow = {"metadata.number": {"in": [7, 77, 133]}}
    for mode in ("hybrid", "dense"):
        asked: dict[str, Any] = {"unscoped": True, "filters": narrow, "mode": mode, "top_k": 3}
        ours = disk.search("violin", **asked)["results"]
        theirs = hot.search("violin", **asked)["results"]
        assert [i["id"] for i in ours] == [i["id"] for i in theirs]
        assert len(ours) == 3


def test_small_partitions_stay_in_memory(disk: Memory) -> None:
    disk.add("only one", user_id="alone")
    assert len(disk.search("one", user_id="alone")["results"]) == 1
    assert disk.stats()["large"]["searches"] == 0
    assert disk.stats()["index"]["searches"] == 1
    with pytest.raises(ScopeError):
        disk.search("one")


def test_another_process_writes_and_this_one_sees_it(path: Path, disk: Memory) -> None:
    assert disk.search("submarine", unscoped=True, mode="keyword")["results"] == []
    script = (
        "import sys; from agentmem import Memory\n"
        "with Memory(sys.argv[1], embedder='static', config={'index': {'large_rows': 20}}) as m:\n"
        "    m.add('a yellow submarine', user_id='user-2', run_id='run-2')\n"
        "    found = m.search('submarine', unscoped=True, mode='keyword')['results']\n"
        "    m.delete(m.search('knee', unscoped=True)['results'][0]['id'])\n"
        "    print(found[0]['id'], m.stats()['large']['written'])\n"
    )
    gone = disk.search("knee", unscoped=True)["results"][0]["id"]
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    added, written = done.stdout.split()
    assert written == "0"  # it used the volume that is there
    found = disk.search("submarine", unscoped=True, mode="keyword")["results"]
    assert [item["id"] for item in found] == [added]
    assert gone not in [i["id"] for i in disk.search("knee", unscoped=True, top_k=200)["results"]]


@pytest.mark.parametrize(("added", "waits"), [(40, False), (120, True)])
def test_a_long_tail_becomes_a_new_volume(
    path: Path, disk: Memory, hot: Memory, monkeypatch: pytest.MonkeyPatch, added: int, waits: bool
) -> None:
    """Beside the searches, unless it is so long that a search had better wait for it."""
    disk.search("knee", unscoped=True)
    before = set((path / "volumes").iterdir())
    left = path / "volumes" / "all-1-00.new"  # by a process that was killed
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    monkeypatch.setattr(large, "_LONG_TAIL", 10)
    hot.add_batch(items(200, added))
    disk.search("knee", unscoped=True)
    assert (disk.stats()["large"]["tail_rows"] == 0) >= waits
    disk._engine.large._aside.join()
    assert_same(disk, hot, unscoped=True)
    after = set((path / "volumes").iterdir())
    assert len(before) == len(after) == 1
    assert before != after
    assert disk.stats()["large"]["tail_rows"] == 0


def test_what_is_purged_is_in_no_file(path: Path, disk: Memory, hot: Memory) -> None:
    disk.search("knee", unscoped=True)
    gone = disk.search("violin", unscoped=True)["results"][0]["id"]
    disk.purge(gone)
    assert not (path / "volumes").exists()
    assert_same(disk, hot, unscoped=True)
    assert gone not in [i["id"] for i in disk.search("violin", unscoped=True, top_k=99)["results"]]
    # Nor in one that somebody was writing meanwhile.
    volumes = disk._engine.large._volumes
    before = volumes.erasures()
    disk.purge(disk.search("violin", unscoped=True)["results"][0]["id"])
    with disk._engine.store.read() as snapshot, pytest.raises(volume_file.Overtaken):
        volumes.write(
            PartitionKey(None, None),
            volume_file.Life(snapshot.epoch, snapshot.model_id, "recipe"),
            snapshot.load_parts(PartitionKey(None, None)),
            dim=snapshot.dim,
            window=2,
            seq=snapshot.seq,
            erasures=before,
        )
    assert list((path / "volumes").iterdir()) == []
    disk.reset()
    assert disk.search("violin", unscoped=True)["results"] == []
    assert not (path / "volumes").exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "foreign", "old"])
def test_a_file_that_cannot_be_used_is_written_anew(
    path: Path, disk: Memory, hot: Memory, damage: str
) -> None:
    disk.search("knee", unscoped=True)
    (file,) = (path / "volumes").iterdir()
    content = file.read_bytes()
    if damage == "old":
        disk.reset()
        disk.add_batch(items(300, 100))
        file.parent.mkdir()
    # Replaced as a whole, as every program replaces it: what is mapped stays as it is.
    file.unlink(missing_ok=True)
    file.write_bytes(
        {"empty": b"", "cut": content[:-1], "foreign": b"x" * 9_000}.get(damage, content)
    )
    with Memory(path, embedder="static", config={"index": {"large_rows": 20}}) as other:
        assert assert_same(other, hot, unscoped=True) > 0
        assert other.stats()["large"]["written"] == 1


def test_many_vectors_are_found_by_their_clusters(
    disk: Memory, hot: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking into every cluster, the answers are those of a scan, with a tail, too."""
    monkeypatch.setattr(volume_file, "CLUSTERED_FROM", 50)
    monkeypatch.setattr(by_vector, "PROBED", {"hybrid": 1.0, "dense": 1.0})
    assert_same(disk, hot, unscoped=True)
    hot.add_batch(items(200, 30))
    hot.delete_batch([i["id"] for i in hot.get_all(unscoped=True, limit=9)["results"]])
    assert_same(disk, hot, unscoped=True)
    assert disk._engine.large.stats()["clustered"] == 1


def test_what_is_no_candidate_has_less_than_is_said_of_its_holding(
    disk: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By which runs are chosen: of a volume and its tail, each has a bound of its own."""
    asked: list[tuple[Any, ...]] = []
    ranked = finding.Finder._rank

    def noted(*arguments: Any) -> list[Hit]:
        asked.append(arguments)
        return ranked(*arguments)

    disk.search("knee", unscoped=True)
    disk.add_batch(items(200, 60))
    monkeypatch.setattr(finding, "_WORDS", 4)
    monkeypatch.setattr(finding, "_NEAREST", 4)
    monkeypatch.setattr(finding.Finder, "_rank", noted)
    for question in QUESTIONS:
        disk.search(question, unscoped=True, top_k=1)
    others = 0
    for finder, inquiry, masks, found in asked:
        assert len(inquiry.shelf.holdings) == 2
        for part, every in (
            (found.words, finder._by_words.find(inquiry, masks, 1000)),
            (found.near, by_vector.nearest(inquiry.shelf, inquiry.asked, masks, 1000)),
        ):
            known = set(zip(part.numbers.tolist(), part.slots.tolist(), strict=True))
            for number, slot, score in zip(every.numbers, every.slots, every.scores, strict=True):
                if (number, slot) not in known:
                    assert score <= part.below[number] + 1e-6
                    others += 1
    assert others > 500


def test_candidates_are_not_coded_for_one_search(
    disk: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making codes takes longer than all the rest of a search; nothing would use them again."""
    ranked = []

    def noted(view: View, *arguments: Any, **options: Any) -> list[Hit]:
        ranked.append(view)
        return rank(view, *arguments, **options)

    monkeypatch.setattr(finding, "rank", noted)
    disk.add_batch(items(200, 1000))
    assert disk.search("bread and coffee at the market", unscoped=True)["results"]
    segments = [part.segment for view in ranked for part in view.parts]
    assert max(segment.n for segment in segments) >= CODED_FROM
    assert all(segment._codes is None for segment in segments)


def test_a_second_thread_changes_nothing(
    path: Path, hot: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def noted(*arguments: Any) -> Found:
        threads.add(threading.current_thread())
        return by_vector.nearest(*arguments)

    monkeypatch.setattr(finding, "nearest", noted)
    monkeypatch.setattr(finding, "_TOGETHER", 1)
    monkeypatch.setattr(large, "usable_cores", lambda: 2)
    config = {"index": {"large_rows": 20, "parallel": True}}
    with Memory(path, embedder="static", config=config) as together:
        assert assert_same(together, hot, unscoped=True) > 50
        beside = {t for t in threads if t.name.startswith("agentmem-beside")}
        assert len(beside) == 1
    assert not beside.pop().is_alive()
    threads.clear()
    config = {"index": {"large_rows": 20, "parallel": False}}
    with Memory(path, embedder="static", config=config) as alone:
        assert assert_same(alone, hot, unscoped=True) > 50
    assert threads == {threading.current_thread()}


def test_pages_and_the_past_are_those_of_the_hot_index(disk: Memory, hot: Memory) -> None:
    """Page by page while others write, as of a time, and with what supports an answer."""
    asked: dict[str, Any] = {"unscoped": True, "filters": {"metadata.number": {"lt": 150}}}
    for mode in ("hybrid", "keyword"):
        whole = hot.search(QUESTIONS[0], top_k=500, mode=mode, **asked)["results"]
        shown, cursor = [], ""
        while cursor is not None:
            page = disk.search(QUESTIONS[0], top_k=40, mode=mode, cursor=cursor, **asked)
            shown += page["results"]
            cursor = page["next_cursor"]
            disk.add("piano lessons in Lisbon", user_id="user-1", metadata={"number": 1})
        assert [item["id"] for item in shown] == [item["id"] for item in whole]
        assert [i["score"] for i in shown] == pytest.approx([i["score"] for i in whole], abs=1e-5)
    now = max(item["created_at"] for item in whole)
    for question in QUESTIONS:
        of_then, expected = (m.search(question, as_of=now, **asked) for m in (disk, hot))
        assert of_then == expected
        supports = [m.search(question, support=True, **asked)["support"] for m in (disk, hot)]
        assert supports[0] == pytest.approx(supports[1], abs=1e-5)


def test_no_page_is_made_from_candidates(
    disk: Memory, hot: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few there are, the pages show every memory once, and a deep search finds them all."""
    for name in ("_WORDS", "_NEAREST", "_ROWS"):
        monkeypatch.setattr(finding, name, 1)
    monkeypatch.setattr(searcher, "_DEEPEST", 100)
    asked: dict[str, Any] = {"unscoped": True, "query": QUESTIONS[0]}
    for mode in ("hybrid", "dense"):
        whole = [i["id"] for i in hot.search(top_k=500, mode=mode, **asked)["results"]]
        shown: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = disk.search(top_k=3, mode=mode, cursor=cursor, **asked)
            shown += [item["id"] for item in page["results"]]
            cursor = page["next_cursor"]
        assert shown == whole
        assert [i["id"] for i in disk.search(top_k=101, mode=mode, **asked)["results"]] == whole[
            :101
        ]
    assert disk.stats()["large"]["searches"] == 0
    disk.search(top_k=100, **asked)
    assert disk.stats()["large"]["searches"] == 1


def test_threads_see_what_they_wrote(
    path: Path, disk: Memory, hot: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While volumes are being written beside them, by this process and by another opening."""
    monkeypatch.setattr(large, "_LONG_TAIL", 8)
    monkeypatch.setattr(large, "_TAIL_SHARE", 0.01)

    def work(number: int) -> None:
        memory = (disk, hot)[number % 2]
        for i in range(12):
            word = f"word{number}x{i}"
            added = memory.add(f"{word} in the garden", user_id="user-1", run_id=f"run-{i % 3}")
            wanted = added["results"][0]["id"]
            found = disk.search(word, unscoped=True, mode="keyword")["results"]
            assert [item["id"] for item in found] == [wanted]
            if i % 3 == 0:
                memory.delete(wanted)
                assert disk.search(word, unscoped=True, mode="keyword")["results"] == []

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, number) for number in range(4)]:
            done.result()
    disk._engine.large._aside.join()
    assert_same(disk, hot, unscoped=True)
    assert disk.stats()["large"]["written"] > 1
    assert len(list((path / "volumes").iterdir())) == 1
