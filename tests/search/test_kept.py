"""The same question asked again: the same answer, until anything in the partition changes."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.config import SearchConfig
from agentmem.search.kept import KeptAnswers
from agentmem.types import Hit, PartitionKey

TEXTS = ["a cat on the mat", "a dog in the fog", "an owl with a towel", "Ana saw a bee in the sea"]


@pytest.fixture
def mem(tmp_path: Path) -> Any:
    with Memory(tmp_path, embedder="static", user_id="a") as memory:
        memory.add_batch([{"content": t, "metadata": {"n": i}} for i, t in enumerate(TEXTS)])
        yield memory


def hits(mem: Memory) -> int:
    found: int = mem.stats()["search"]["answers"]["hits"]
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "keyword"},
        {"mode": "dense"},
        {"top_k": 2},
        {"threshold": 0.2},
        {"filters": {"metadata.n": {"gte": 2}}},
        {"show_expired": True},
        {"vector": True},
        {"vector": True, "mode": "dense"},
    ],
)
def test_one_question_is_answered_as_one_of_many(mem: Memory, options: dict[str, Any]) -> None:
    mem.warm_up()  # the search that loads the partition keeps nothing
    chance = np.random.default_rng(5)
    if "vector" in options:
        options = {**options, "vector": chance.standard_normal(256, np.float32)}
    batch = {k: v for k, v in options.items() if k != "vector"}
    batch["vectors"] = options.get("vector")
    for text in ("where is Ana's cat?", "dog", "nothing of the kind"):
        for _ in range(2):
            assert mem.search(text, **options) == mem.search_batch([text], **batch)[0]
    assert hits(mem) >= 3  # with a vector alone the text does not count


class Asked:
    """A user's embedder that notes what it is asked: a text's vector is its letters."""

    dim = 26

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.calls.append(list(texts))
        return np.array([[1e-3 + t.count(chr(97 + i)) for i in range(26)] for t in texts])


OPTIONS: list[dict[str, Any]] = [
    {},
    {"mode": "keyword"},
    {"mode": "dense", "top_k": 3},
    {"threshold": 0.2},
    {"filters": {"metadata.n": {"gte": 2}}},
    {"vectors": True},
    {"mode": "dense", "vectors": True},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("answers", [0, 1000])
def test_a_batch_is_its_questions_one_by_one(
    tmp_path: Path, options: dict[str, Any], answers: int
) -> None:
    asked = ["where is Ana's cat?", "dog", "the bee", "dog", "nothing of the kind"]
    vectors: Any = [None] * len(asked)
    if "vectors" in options:
        vectors = np.random.default_rng(5).standard_normal((len(asked), 26), np.float32)
        options = {**options, "vectors": vectors}
    single = {k: v for k, v in options.items() if k != "vectors"}
    config = {"search": {"answers": answers}}
    with Memory(tmp_path, embedder=Asked(), user_id="a", config=config) as mem:
        for turn in range(3):
            mem.add_batch(
                [{"content": f"{t} {turn}", "metadata": {"n": i}} for i, t in enumerate(TEXTS)],
            )
            mem.search(asked[2], vector=vectors[2], **single)  # that one may be kept
            found = mem.search_batch(asked, **options)
            assert found == [
                mem.search(text, vector=vector, **single)
                for text, vector in zip(asked, vectors, strict=True)
            ]
            assert found == mem.search_batch(asked, **options)
            assert any(answer["results"] for answer in found)


def test_a_batch_keeps_its_answers_and_computes_only_what_is_not_kept(tmp_path: Path) -> None:
    embedder = Asked()
    config = {"embedding": {"cache_entries": 0}}
    with Memory(tmp_path, embedder=embedder, user_id="a", config=config) as mem:
        mem.add_batch(TEXTS)
        mem.warm_up()
        embedder.calls.clear()
        mem.search("cat")
        mem.search_batch(["dog", "cat", "owl"])
        assert embedder.calls == [["cat"], ["dog", "owl"]]
        mem.search("owl")
        mem.search_batch(["cat", "dog"])
        assert embedder.calls == [["cat"], ["dog", "owl"]]
        assert hits(mem) == 4
        mem.add("one more")
        mem.search_batch(["cat", "dog"])
        assert embedder.calls[2:] == [["one more"], ["cat", "dog"]]
        kept = mem.stats()["search"]["answers"]["entries"]
        mem.search_batch(["seen yesterday", "fog"])  # another day tomorrow
        assert mem.stats()["search"]["answers"]["entries"] == kept + 1


def test_an_answer_is_the_callers_own(mem: Memory) -> None:
    first = mem.search("cat")
    wanted = [dict(item) for item in first["results"]]
    first["results"][0]["metadata"]["n"] = "mine"
    first["results"][0]["memory"] = "mine"
    first["results"].clear()
    again = mem.search("cat")["results"]
    assert hits(mem) == 1
    assert again[0]["memory"] == "a cat on the mat"
    assert again[0]["metadata"] == {"n": 0}
    assert len(again) == len(wanted)


def test_whatever_changes_is_in_the_next_answer(mem: Memory, tmp_path: Path) -> None:
    def answer() -> list[Any]:
        return [(r["memory"], r["metadata"]) for r in mem.search("cat", top_k=10)["results"]]

    with Memory(tmp_path, embedder="static", user_id="a") as other:
        for writer in (mem, other):
            before = answer()
            assert answer() == before
            added = writer.add("the cat again")["results"][0]["id"]
            assert len(answer()) == len(before) + 1
            writer.update(added, metadata={"n": 7})
            assert ("the cat again", {"n": 7}) in answer()
            writer.delete(added)
            assert answer() == before
            seen = hits(mem)
            writer.add("somebody else's", user_id="b")  # concerns nobody here
            assert answer() == before
            assert hits(mem) == seen + 1


def test_an_answer_outlasts_a_compaction(mem: Memory) -> None:
    mem.warm_up()
    mem.add("one part more")
    asked = [f"question {i}" for i in range(10)]
    for question in asked:  # until the parts are joined
        mem.search(question)
    before = hits(mem)
    for question in asked:
        mem.search(question)
    assert hits(mem) == before + 10


def test_an_answer_holds_until_the_next_expiry(mem: Memory) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    mem.add("a cat for an hour", expiration_date=soon)
    mem.search("cat")
    engine = mem._engine
    with engine.store.read() as snapshot:
        now = time.time_ns() // 1000
        key = PartitionKey("user_id", "a")
        version, until = engine.index.version(snapshot, key, now)
        assert until == int(soon.timestamp() * 1e6)
        assert engine.index.version(snapshot, key, until)[1] > until
        assert engine.index.version(snapshot, key, None)[0] == version
    (kept_until, *_), *_ = engine.kept._held.values()
    assert kept_until == until
    kept = next(iter(engine.kept._held))
    assert engine.kept.get(kept, until - 1) is not None
    assert engine.kept.get(kept, until) is None


def test_what_depends_on_the_time_is_not_kept(tmp_path: Path) -> None:
    config = {"ranking": {"recency_weight": 0.3}}
    with Memory(tmp_path, embedder="static", user_id="a", config=config) as mem:
        mem.add_batch(TEXTS)
        for _ in range(2):
            mem.search("cat")
            mem.search("cat", mode="keyword")
        assert mem.stats()["search"]["answers"]["entries"] == 1
    with Memory(tmp_path, embedder="static", user_id="a") as mem:
        for _ in range(2):
            mem.search("what was there yesterday?")
        assert hits(mem) == 0


def test_no_more_is_kept_than_allowed() -> None:
    held = (9, {"memory": "x"}, None, 1000)
    answer: Any = [(Hit(1, 0.5), held)]
    kept = KeptAnswers(SearchConfig(answers=3, answers_bytes=100_000))
    for i in range(5):
        kept.put(i, 10, answer, 1000, kept.life)
    assert [kept.get(i, 0) is not None for i in range(5)] == [False, False, True, True, True]
    kept.get(2, 0)
    kept.put(5, 10, answer, 1000, kept.life)
    assert kept.get(2, 0) is not None  # used last
    assert kept.get(3, 0) is None
    kept.put(6, 10, answer, 99_000, kept.life)
    assert kept.stats()["bytes"] <= 100_000
    assert kept.get(6, 0) is not None
    kept.put(7, 10, answer, 200_000, kept.life)
    assert kept.stats()["bytes"] == kept.stats()["entries"] == 0
    for nothing in (SearchConfig(answers=0), SearchConfig(answers_bytes=0)):
        assert not KeptAnswers(nothing).enabled


def test_the_collector_has_little_to_look_at(mem: Memory) -> None:
    """Its full collections stop all threads, and come the sooner the more it has to look at."""

    def seen() -> int:
        gc.collect()  # from now on it ignores tuples of numbers and texts
        return len(gc.get_objects())

    questions = [f"cat or dog {i}" for i in range(200)]
    for text in questions[:100]:
        mem.search(text)
    before = seen()
    for text in questions[100:]:
        mem.search(text)
    assert mem.stats()["search"]["answers"]["entries"] == 200
    assert seen() - before < 100 * 3


def test_nothing_is_kept_of_what_was_asked_before_a_purge(mem: Memory, tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="static", user_id="a") as other:
        for one in (mem, other):
            one.search("cat")
            assert one.stats()["search"]["answers"]["entries"] == 1
        life = mem._engine.kept.life
        mem.purge(mem.search("cat", top_k=1)["results"][0]["id"])
        assert mem.stats()["search"]["answers"]["entries"] == 0
        mem._engine.kept.put("late", 2**63, [], 0, life)
        assert mem.stats()["search"]["answers"]["entries"] == 0
        other.search("dog")
        held = other._engine.kept._held.values()
        assert "cat" not in str(list(held))
