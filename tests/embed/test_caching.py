"""What is remembered of embedded texts, for how long, and that nobody can tell by the vectors."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import ClosedError, Memory
from agentmem.config import EmbeddingConfig
from agentmem.embed import remember, wrap
from agentmem.embed.caching import CachingEmbedder
from agentmem.errors import InvalidInputError


class Letters:
    """A user's embedder: counts letters, notes what it is asked, knows queries from passages."""

    dim = 27

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.asked.append(list(texts))
        rows = [[t.count(chr(97 + i)) for i in range(26)] + [1] for t in texts]
        return np.array(rows, dtype=np.float64)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self.embed([f"query {text}" for text in texts])


def make(entries: int = 100, size: int = 1 << 20, ttl: float = 0.0) -> CachingEmbedder:
    config = EmbeddingConfig(cache_entries=entries, cache_bytes=size, cache_ttl=ttl)
    return remember(wrap(Letters()), config)


def asked(embedder: CachingEmbedder) -> list[list[str]]:
    found: list[list[str]] = embedder.inner._user.asked  # type: ignore[attr-defined]
    return found


def test_a_text_is_computed_once_in_a_call_and_after() -> None:
    embedder = make()
    first = embedder.embed(["b", "a", "b"])
    again = embedder.embed(["c", "b", "c", "a"])
    assert asked(embedder) == [["b", "a"], ["c"]]
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(again, wrap(Letters()).embed(["c", "b", "c", "a"]))
    stats = embedder.stats()
    assert (stats["entries"], stats["hits"], stats["misses"], stats["repeats"]) == (3, 2, 3, 2)


def test_a_query_is_not_a_passage() -> None:
    embedder = make()
    passage, query = embedder.embed(["a"]), embedder.embed_queries(["a"])
    assert not np.allclose(passage, query)
    assert np.array_equal(embedder.embed(["a"]), passage)
    assert np.array_equal(embedder.embed_queries(["a"]), query)
    assert asked(embedder) == [["a"], ["query a"]]


def test_the_least_recently_used_leave_first() -> None:
    embedder = make(entries=3)
    embedder.embed(["a", "b", "c"])
    embedder.embed(["a"])
    embedder.embed(["d"])
    embedder.embed(["a", "c", "d"])
    embedder.embed(["b"])
    assert asked(embedder) == [["a", "b", "c"], ["d"], ["b"]]
    assert embedder.stats()["evictions"] == 2


def test_a_call_larger_than_all_the_room() -> None:
    embedder = make(entries=4)
    texts = [chr(97 + i) for i in range(20)]
    assert np.array_equal(embedder.embed(texts), wrap(Letters()).embed(texts))
    assert embedder.stats()["entries"] == 4
    embedder.embed(texts[-4:])
    assert len(asked(embedder)) == 1


def test_bytes_bound_it_too() -> None:
    embedder = make(size=2000)
    embedder.embed([chr(97 + i) for i in range(20)])
    assert 0 < embedder.stats()["bytes"] <= 2000
    nothing = make(size=100)
    nothing.embed(["a"])
    nothing.embed(["a"])
    assert asked(nothing) == [["a"], ["a"]]


def test_entries_die_of_age() -> None:
    embedder = make(ttl=1e-9)
    embedder.embed(["a"])
    embedder.embed(["a"])
    assert asked(embedder) == [["a"], ["a"]]
    assert embedder.stats()["entries"] == 1


def test_answers_belong_to_the_caller() -> None:
    embedder = make()
    embedder.embed(["a", "b"])[:] = 0
    hit = embedder.embed(["a", "b"])
    hit[:] = 0
    assert np.array_equal(embedder.embed(["a", "b"]), wrap(Letters()).embed(["a", "b"]))


def test_clearing_forgets_also_what_is_being_computed() -> None:
    embedder = make()
    inside, go = threading.Event(), threading.Event()
    user = embedder.inner._user  # type: ignore[attr-defined]
    plain = user.embed

    def slow(texts: Sequence[str]) -> NDArray[np.float64]:
        inside.set()
        assert go.wait(30)
        found: NDArray[np.float64] = plain(texts)
        return found

    user.embed = slow
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(embedder.embed, ["secret"])
        assert inside.wait(30)
        embedder.clear()
        go.set()
        call.result(30)
    assert embedder.stats()["entries"] == 0


def test_bad_texts_and_a_closed_model_raise_as_without_it() -> None:
    embedder = make()
    with pytest.raises(InvalidInputError, match=r"texts\[1\]"):
        embedder.embed(["a", 3])  # type: ignore[list-item]
    assert embedder.embed([]).shape == (0, 27)
    embedder.embed(["a"])
    embedder.close()
    with pytest.raises(ClosedError):
        embedder.embed(["a"])


def test_threads_share_it() -> None:
    embedder = make(entries=50)
    expected = wrap(Letters())

    def work(seed: int) -> None:
        chance = np.random.default_rng(seed)
        for _ in range(200):
            texts = ["".join(chance.choice(list("abcdefg"), 2)) for _ in range(8)]
            assert np.array_equal(embedder.embed(texts), expected.embed(texts))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    stats = embedder.stats()
    assert stats["entries"] <= 50
    assert stats["hits"] + stats["misses"] + stats["repeats"] == 6 * 200 * 8


def test_a_memory_remembers_by_default_and_forgets_what_is_purged(tmp_path: Path) -> None:
    with Memory(tmp_path / "mem", embedder="static", user_id="u") as mem:
        [one] = mem.add("I moved to Lisbon in March")["results"]
        mem.add("I moved to Lisbon in March", user_id="somebody else")
        vector = mem._engine.embedder.embed(["I moved to Lisbon in March"])
        mem.search("where does she live?")
        mem.search("where does she live?", top_k=3)  # no answer is kept for that
        cache = mem.stats()["embedder"]["cache"]
        assert (cache["hits"], cache["misses"], cache["entries"]) == (3, 2, 2)
        assert np.allclose(
            vector, mem._engine.embedder.inner.embed(["I moved to Lisbon in March"]), atol=1e-6
        )
        mem.purge(one["id"])
        assert mem.stats()["embedder"]["cache"]["entries"] == 0


def test_what_is_stored_already_is_told_besides(tmp_path: Path) -> None:
    for _ in range(2):
        with Memory(tmp_path / "mem", embedder="static", user_id="u") as mem:
            mem.add_batch(["likes tea"] * 3 + ["plays chess"])
            cache = mem.stats()["embedder"]["cache"]
    assert (cache["hits"], cache["misses"], cache["repeats"], cache["stored"]) == (0, 0, 0, 4)
    assert cache["hit_rate"] == 0
