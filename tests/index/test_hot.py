"""The hot index over a real store: exact, current, scoped, within its budget."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem.config import IndexConfig, RankingConfig, StoreConfig
from agentmem.errors import ConfigError
from agentmem.index import hot, view
from agentmem.index.analyzer import EnglishAnalyzer
from agentmem.index.hot import HotIndex
from agentmem.index.large import LargeIndex
from agentmem.ports import Snapshot, StaleSnapshot
from agentmem.store import Store
from agentmem.types import Cues, Hit, NewMemory, PartitionKey, Scope, VectorSource
from agentmem.vector.background import Background

DIM = 16
#: Every part is on.
RANKING = RankingConfig(k1=1.2, b=0.6, recency_weight=0.1, importance_weight=0.1, recency_days=9.0)
DAY = 86_400_000_000
NOW = 20_000 * DAY
ALICE = Scope("alice")
ANALYZER = EnglishAnalyzer()


class Bench:
    """A store, an index over it, and the truth in a dictionary."""

    def __init__(self, path: Path, known: type, seed: int = 0) -> None:
        self.path = path
        self.store = self.open()
        self.index: Any = HotIndex(RANKING, IndexConfig())
        self.known = known
        self.noise = np.random.default_rng(seed)
        self.truth: dict[int, tuple[Scope, Any]] = {}
        self.dice = random.Random(seed)

    def open(self) -> Store:
        return Store(
            self.path,
            StoreConfig(durability="off"),
            model_id="test",
            dim=DIM,
            analyzer=ANALYZER.recipe,
        )

    def vectors(self, n: int) -> np.ndarray:
        made = self.noise.standard_normal((n, DIM)).astype(np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    def add(
        self,
        texts: Sequence[str],
        scope: Scope = ALICE,
        *,
        source: VectorSource = VectorSource.MODEL,
        expires_at: int | None = None,
    ) -> list[int]:
        dice = self.dice
        drafts = [
            NewMemory(
                id=uuid.uuid4().bytes,
                scope=scope,
                content=text,
                content_hash=bytes(16),
                expires_at=expires_at,
                actor_id=dice.choice([None, "Red Teacher", "Piano", "the cats"]),
                event_at=NOW - dice.randrange(60 * DAY),
                importance=dice.choice([None, 0.0, 0.5, 1.0]),
            )
            for text in texts
        ]
        vectors = self.vectors(len(texts))
        with self.store.write() as tx:
            keys = tx.insert(drafts, vectors, [source] * len(texts), ANALYZER.analyze(texts))
        kept = vectors.astype(np.float16) if source is VectorSource.MODEL else vectors
        run = None if scope.run_id is None else scope
        for key, draft, vector in zip(keys, drafts, kept, strict=True):
            rest = (run, draft.actor_id, draft.event_at, draft.importance)
            self.truth[key] = (scope, self.known(key, draft.content, vector, *rest))
        return keys

    def rewrite(self, keys: Sequence[int], texts: Sequence[str]) -> None:
        vectors = self.vectors(len(texts))
        with self.store.write() as tx:
            records = tx.view.records(keys)
            changed = [records[key] for key in keys]
            for record, text in zip(changed, texts, strict=True):
                record.content = text
            sources = [VectorSource.MODEL] * len(keys)
            tx.update(changed, vectors, sources, ANALYZER.analyze(texts))
        for key, text, vector in zip(keys, texts, vectors.astype(np.float16), strict=True):
            scope, known = self.truth[key]
            self.truth[key] = (scope, replace(known, text=text, vector=vector))

    def delete(self, keys: Sequence[int]) -> None:
        with self.store.write() as tx:
            tx.delete(keys)
        for key in keys:
            del self.truth[key]

    def ask(self, text: str, vector: np.ndarray, scope: Scope = ALICE, **options: Any) -> list[Hit]:
        with self.store.read() as snapshot:
            return self.ask_at(snapshot, text, vector, scope, **options)

    def ask_at(
        self,
        snapshot: Snapshot,
        text: str,
        vector: np.ndarray,
        scope: Scope = ALICE,
        **options: Any,
    ) -> list[Hit]:
        mode = options.get("mode", "hybrid")
        asked: dict[str, Any] = {
            "mode": mode,
            "vectors": None if mode == "keyword" else vector[None, :],
            "terms": None if mode == "dense" else ANALYZER.analyze([text]),
            "top_k": 1000,
            "now": None,
            "scope": scope,
            "allowed": None,
            "threshold": None,
            "explain": False,
            "at": NOW,
            **options,
        }
        return self.index.search(snapshot, PartitionKey.of(scope), **asked)[0]

    def partition(self, **given: str) -> list[Any]:
        return [
            m for s, m in self.truth.values() if all(getattr(s, k) == v for k, v in given.items())
        ]


@pytest.fixture
def bench(tmp_path: Path, known: type) -> Iterator[Bench]:
    made = Bench(tmp_path / "store", known)
    yield made
    made.store.close()


def sentence(dice: random.Random, words: list[str]) -> str:
    return " ".join(dice.choices(words, k=dice.randint(1, 9)))


def assert_same(hits: list[Hit], parts: dict[int, dict[str, float]]) -> None:
    """The same memories, the same scores, in the order of the scores."""
    assert {hit.key for hit in hits} == set(parts)
    for hit in hits:
        assert hit.score == pytest.approx(sum(parts[hit.key].values()), abs=1e-6)
        if hit.parts is not None:
            assert hit.parts == pytest.approx(parts[hit.key], abs=1e-6)
            assert sum(hit.parts.values()) == pytest.approx(hit.score, abs=1e-9)
    assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.key))


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a short test reaches."""
    monkeypatch.setattr(hot, "_TAIL_EVENTS", 5)
    monkeypatch.setattr(hot, "_JOURNAL_BATCHES", 3)
    monkeypatch.setattr(view, "_SMALL", 4)


@pytest.mark.usefixtures("tight")
def test_scores_under_tight_limits(bench: Bench, brute_force: type, vocabulary: list[str]) -> None:
    any_history(bench, brute_force, vocabulary, 7)


class OnDisk:
    """A ``LargeIndex`` that every partition is large enough for, asked like a hot one."""

    def __init__(self, bench: Bench) -> None:
        config = IndexConfig(large_rows=1)
        folder = bench.path / "volumes"
        self.index = LargeIndex(
            RANKING, config, folder, bench.store.read, lambda work: Background("test", work)
        )
        self.tails = 0

    def search(self, snapshot: Snapshot, partition: PartitionKey, **asked: Any) -> Any:
        assert asked.pop("allowed") is None
        asked.setdefault("cues", None)
        before = self.index.stats()["tail_rows"]
        found = self.index.search(snapshot, partition, where=None, **asked)
        self.tails += self.index.stats()["tail_rows"] != before
        return found

    def clear(self) -> None:
        self.index.clear()

    def stats(self) -> dict[str, int]:
        return {"tails": self.tails}


@pytest.mark.parametrize("seed", range(3))
def test_scores_of_volumes_equal_brute_force_after_any_history(
    bench: Bench, brute_force: type, vocabulary: list[str], seed: int
) -> None:
    bench.index = OnDisk(bench)
    any_history(bench, brute_force, vocabulary, seed)


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_brute_force_after_any_history(
    bench: Bench, brute_force: type, vocabulary: list[str], seed: int
) -> None:
    any_history(bench, brute_force, vocabulary, seed)


#: Around ``NOW``, 4 October 2024; two of them name no year, and one is no date.
DATES = [(2024, 9, 0), (0, 9, 20), (2024, 8, 25), (2024, 0, 0), (2023, 8, 0), (0, 8, 0), (0, 2, 30)]


def any_history(bench: Bench, brute_force: type, vocabulary: list[str], seed: int) -> None:
    """Random inserts, updates, deletes, compactions and fresh starts, then every mode against
    the brute-force evaluator."""
    dice = random.Random(seed)
    judge = brute_force(RANKING)
    scopes = [Scope("alice", run_id=f"r{i}") for i in range(3)] + [Scope("bob", "helper")]
    asked = {"user_id": "alice"}, {"user_id": "alice", "run_id": "r1"}, {"agent_id": "helper"}, {}
    for _ in range(60):
        step = dice.random()
        if step < 0.5 or len(bench.truth) < 4:
            texts = [sentence(dice, vocabulary) for _ in range(dice.choice([1, 1, 2, 40]))]
            source = dice.choice([VectorSource.MODEL, VectorSource.MODEL, VectorSource.CALLER])
            bench.add(texts, dice.choice(scopes), source=source)
        elif step < 0.65:
            keys = dice.sample(sorted(bench.truth), dice.randint(1, 4))
            bench.rewrite(keys, [sentence(dice, vocabulary) for _ in keys])
        elif step < 0.8:
            most = min(30, len(bench.truth))
            bench.delete(dice.sample(sorted(bench.truth), dice.randint(1, most)))
        elif step < 0.83:
            bench.index.clear()
        given = dice.choice(asked)
        scope = Scope(**given)
        # Statistics are those of the partition, hits those of the whole scope.
        partition = bench.partition(**dict([next(iter(given.items()))] if given else []))
        inside = {m.key for m in bench.partition(**given)}
        text, vector = sentence(dice, vocabulary), bench.vectors(1)[0]
        names = tuple(dice.sample(["cat", "guitar", "lisbon", "red"], dice.randint(0, 2)))
        dates = tuple(dice.sample(DATES, dice.randint(0, 2)))
        cues = Cues(tuple(ANALYZER.analyze([" ".join(names)]).terms.tolist()), dates)
        options = {"explain": True, "cues": [cues]}
        for mode in ("hybrid", "dense", "keyword"):
            parts = judge.scores(partition, text, vector, mode, names=names, dates=dates, at=NOW)
            hits = bench.ask(text, vector, scope, mode=mode, **options)
            assert_same(hits, {k: p for k, p in parts.items() if k in inside})
            best = bench.ask(text, vector, scope, mode=mode, top_k=5, **options)
            assert best == hits[:5]
    assert bench.index.stats()["tails"] > 5


def test_a_scope_narrower_than_its_partition_keeps_the_scores(bench: Bench) -> None:
    for run in ("r1", "r2"):
        bench.add(["cats running", "red house", "guitar and piano"], Scope("alice", run_id=run))
    vector = bench.vectors(1)[0]
    whole = {hit.key: hit.score for hit in bench.ask("cat guitar", vector)}
    inside = bench.ask("cat guitar", vector, Scope("alice", run_id="r2"))
    assert len(inside) == 3
    assert all(whole[hit.key] == hit.score for hit in inside)


def test_filters_and_expiry_only_hide(bench: Bench) -> None:
    keys = bench.add(["cats running", "red cats", "cat houses", "piano"])
    old = bench.add(["cat guitar"], expires_at=5_000)
    vector = bench.vectors(1)[0]
    everything = bench.ask("cat", vector)
    assert {hit.key for hit in everything} == {*keys, *old}
    assert bench.ask("cat", vector, now=4_999) == everything
    assert bench.ask("cat", vector, now=5_000) == [h for h in everything if h.key not in old]
    allowed = np.array(sorted([keys[1], *old]), np.int64)
    chosen = bench.ask("cat", vector, allowed=allowed, now=5_000)
    assert chosen == [h for h in everything if h.key == keys[1]]


def test_what_a_filter_hides_still_stands_around_others(bench: Bench) -> None:
    run = Scope("alice", run_id="r1")
    keys = bench.add(["the house", "cats running", "piano"], run)
    old = bench.add(["red cats"], run, expires_at=5_000)
    vector = bench.vectors(1)[0]
    everything = {hit.key: hit for hit in bench.ask("cat", vector, explain=True)}
    assert everything[keys[2]].parts is not None
    assert everything[keys[2]].parts["window"] > 0  # from both of its neighbours
    left = bench.ask("cat", vector, now=5_000, allowed=np.array([keys[2], *old]), explain=True)
    assert left == [everything[keys[2]]]
    # What is deleted is gone for its neighbours, too.
    bench.delete([keys[1], *old])
    after = {hit.key: hit for hit in bench.ask("cat", vector, explain=True)}
    assert after[keys[2]].parts is not None
    assert after[keys[2]].parts["window"] == 0


def test_without_a_run_a_memory_stands_alone(bench: Bench) -> None:
    first, second = bench.add(["cats running", "piano"])
    hits = {hit.key: hit for hit in bench.ask("cat", bench.vectors(1)[0], explain=True)}
    alone = hits[second].parts
    assert alone is not None
    assert alone["window"] == alone["neighbours"] == alone["run_keyword"] == 0
    other = hits[first].parts
    assert other is not None
    assert other["window"] / 0.5 == pytest.approx(other["keyword"] / 0.6)


def test_a_part_without_weight_is_not_computed_into_the_score(
    bench: Bench, brute_force: type
) -> None:
    bench.add(["cats running", "piano", "red cat", "the house"], Scope("alice", run_id="r1"))
    vector = bench.vectors(1)[0]
    for part in RankingConfig.__dataclass_fields__:
        if not part.endswith("_weight"):
            continue
        ranking = replace(RANKING, **{part: 0.0})
        bench.index = HotIndex(ranking, IndexConfig())
        hits = bench.ask("cat", vector, explain=True)
        assert_same(
            hits, brute_force(ranking).scores(bench.partition(), "cat", vector, "hybrid", at=NOW)
        )


def test_keyword_mode_returns_only_what_has_a_word_of_the_query(bench: Bench) -> None:
    keys = bench.add(["cats running", "red house", "the piano"])
    vector = bench.vectors(1)[0]
    assert [h.key for h in bench.ask("cat lisbon", vector, mode="keyword")] == [keys[0]]
    assert bench.ask("the and was", vector, mode="keyword") == []
    assert bench.ask("lisbon", vector, mode="keyword") == []


def test_an_unknown_word_lowers_every_keyword_score(bench: Bench) -> None:
    bench.add(["cats running", "red house", "the piano"])
    vector = bench.vectors(1)[0]
    alone = bench.ask("piano", vector, mode="keyword")[0].score
    beside = bench.ask("piano zurich", vector, mode="keyword")[0].score
    assert 0 < beside < alone / 2
    assert alone <= 1


def test_an_empty_partition_has_no_results(bench: Bench) -> None:
    bench.add(["cats"])
    vector = bench.vectors(1)[0]
    for mode in ("hybrid", "dense", "keyword"):
        assert bench.ask("cats", vector, Scope("nobody"), mode=mode) == []


def test_every_write_is_in_the_next_search(bench: Bench) -> None:
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


def test_writes_of_another_process_too(bench: Bench) -> None:
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


def test_reset_forgets_everything(bench: Bench) -> None:
    vector = bench.vectors(1)[0]
    bench.add(["cat", "red cat"])
    assert len(bench.ask("cat", vector)) == 2
    bench.store.reset()
    assert bench.ask("cat", vector) == []
    bench.truth.clear()
    keys = bench.add(["cat"])
    assert [h.key for h in bench.ask("cat", vector)] == keys


def test_a_long_tail_is_reloaded_rather_than_followed(bench: Bench) -> None:
    vector = bench.vectors(1)[0]
    bench.add(["cat", "red cat"])
    bench.ask("cat", vector)
    bench.add(["piano guitar"] * 2500, Scope("bob"))
    assert len(bench.ask("cat", vector)) == 2
    stats = bench.index.stats()
    assert (stats["loads"], stats["tails"]) == (2, 0)


def test_an_older_snapshot_is_answered_as_of_then_or_refused(bench: Bench) -> None:
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


def test_an_older_snapshot_still_sees_what_was_deleted_since(bench: Bench) -> None:
    vector = bench.vectors(1)[0]
    keys = bench.add(["cat", "red cat"])
    bench.ask("cat", vector)
    with bench.store.read() as old:
        bench.delete(keys[:1])
        assert len(bench.ask("cat", vector)) == 1
        with pytest.raises(StaleSnapshot):
            bench.ask_at(old, "cat", vector)


def test_the_byte_budget_holds_and_the_least_recently_used_leave(bench: Bench) -> None:
    vector = bench.vectors(1)[0]
    users = [Scope(f"u{i}") for i in range(12)]
    for user in users:
        bench.add(["cat running", "red house"] * 50, user)
    bench.ask("cat", vector, users[0])
    one = bench.index.stats()["bytes"]
    bench.index = HotIndex(RANKING, IndexConfig(max_bytes=4 * one))
    dice = random.Random(1)
    for _ in range(80):
        user = dice.choice(users)
        bench.ask("cat", vector, users[0])  # always in use
        if dice.random() < 0.3:
            bench.add(["piano"], user)
        assert len(bench.ask("cat", vector, user)) == len(bench.partition(user_id=user.user_id))
        assert bench.index.stats()["bytes"] <= 4 * one
    stats = bench.index.stats()
    assert stats["partitions"] <= 4
    assert stats["evictions"] > 20
    loads = stats["loads"]
    bench.ask("cat", vector, users[0])
    assert bench.index.stats()["loads"] == loads


def test_a_partition_larger_than_the_budget_is_searched_all_the_same(bench: Bench) -> None:
    bench.index = HotIndex(RANKING, IndexConfig(max_bytes=1))
    vector = bench.vectors(1)[0]
    bench.add(["cat"] * 30)
    assert len(bench.ask("cat", vector)) == 30
    assert bench.index.stats()["partitions"] == 1


def test_the_bytes_add_up(bench: Bench) -> None:
    vector = bench.vectors(1)[0]
    for step in range(30):
        keys = bench.add(["cat running", "red house", "piano"], Scope(f"u{step % 3}"))
        bench.delete(keys[:1])
        bench.rewrite(keys[1:2], ["guitar"])
        for user in range(3):
            bench.ask("cat", vector, Scope(f"u{user}"))
        held = bench.index._partitions.values()
        assert bench.index.stats()["bytes"] == sum(p.view.nbytes for p in held)


@pytest.mark.usefixtures("tight")
def test_searches_beside_writers_are_exact_at_their_snapshot(bench: Bench) -> None:
    """Each answer equals that of a private copy read in the same snapshot."""
    bench.add(["cat running", "red house"] * 40)
    done = threading.Event()
    failures: list[BaseException] = []
    answered = [0]

    def search(seed: int) -> None:
        vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
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


def test_threads_load_a_partition_once(bench: Bench) -> None:
    bench.add(["cat running", "red house"] * 500)
    vector = bench.vectors(1)[0]
    start = threading.Barrier(6)

    def search() -> None:
        start.wait()
        found.append(len(bench.ask("cat", vector, mode="keyword")))

    found: list[int] = []
    threads = [threading.Thread(target=search) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [500] * 6
    assert bench.index.stats()["loads"] == 1


def test_many_deletions_between_uses_of_a_partition(bench: Bench) -> None:
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


@pytest.mark.parametrize(
    "ranking",
    [
        RankingConfig(b=1.5),
        RankingConfig(dense_weight=0.0, keyword_weight=0.0),
        RankingConfig(window=1000),
        RankingConfig(recency_weight=0.1, recency_days=0.0),
    ],
)
def test_rankings_that_make_no_sense(ranking: RankingConfig) -> None:
    with pytest.raises(ConfigError, match=r"config\.ranking"):
        HotIndex(ranking, IndexConfig())
