"""Scores over a real store: exact, scoped, filtered, whatever was written before."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentmem.config import IndexConfig, RankingConfig
from agentmem.errors import ConfigError
from agentmem.index.analyzer import EnglishAnalyzer
from agentmem.index.hot import HotIndex
from agentmem.index.large import LargeIndex
from agentmem.ports import Snapshot
from agentmem.types import Cues, Hit, PartitionKey, Scope, VectorSource
from agentmem.vector.background import Background

ANALYZER = EnglishAnalyzer()


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


@pytest.mark.usefixtures("tight")
def test_scores_under_tight_limits(bench: Any, brute_force: type, vocabulary: list[str]) -> None:
    any_history(bench, brute_force, vocabulary, 7)


class OnDisk:
    """A ``LargeIndex`` that every partition is large enough for, asked like a hot one."""

    def __init__(self, bench: Any) -> None:
        config = IndexConfig(large_rows=1)
        folder = bench.path / "volumes"
        self.index = LargeIndex(
            bench.ranking,
            config,
            folder,
            bench.store.read,
            bench.store.settle,
            lambda work: Background("test", work),
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
    bench: Any, brute_force: type, vocabulary: list[str], seed: int
) -> None:
    bench.index = OnDisk(bench)
    any_history(bench, brute_force, vocabulary, seed)


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_brute_force_after_any_history(
    bench: Any, brute_force: type, vocabulary: list[str], seed: int
) -> None:
    any_history(bench, brute_force, vocabulary, seed)


#: Around ``bench.now``, 4 October 2024; two of them name no year, and one is no date.
DATES = [(2024, 9, 0), (0, 9, 20), (2024, 8, 25), (2024, 0, 0), (2023, 8, 0), (0, 8, 0), (0, 2, 30)]


def any_history(bench: Any, brute_force: type, vocabulary: list[str], seed: int) -> None:
    """Random inserts, updates, deletes, compactions and fresh starts, then every mode against
    the brute-force evaluator."""
    dice = random.Random(seed)
    judge = brute_force(bench.ranking)
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
            parts = judge.scores(
                partition, text, vector, mode, names=names, dates=dates, at=bench.now
            )
            hits = bench.ask(text, vector, scope, mode=mode, **options)
            assert_same(hits, {k: p for k, p in parts.items() if k in inside})
            best = bench.ask(text, vector, scope, mode=mode, top_k=5, **options)
            assert best == hits[:5]
    assert bench.index.stats()["tails"] > 5


def test_a_scope_narrower_than_its_partition_keeps_the_scores(bench: Any) -> None:
    for run in ("r1", "r2"):
        bench.add(["cats running", "red house", "guitar and piano"], Scope("alice", run_id=run))
    vector = bench.vectors(1)[0]
    whole = {hit.key: hit.score for hit in bench.ask("cat guitar", vector)}
    inside = bench.ask("cat guitar", vector, Scope("alice", run_id="r2"))
    assert len(inside) == 3
    assert all(whole[hit.key] == hit.score for hit in inside)


def test_filters_and_expiry_only_hide(bench: Any) -> None:
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


def test_what_a_filter_hides_still_stands_around_others(bench: Any) -> None:
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


def test_without_a_run_a_memory_stands_alone(bench: Any) -> None:
    first, second = bench.add(["cats running", "piano"])
    hits = {hit.key: hit for hit in bench.ask("cat", bench.vectors(1)[0], explain=True)}
    alone = hits[second].parts
    assert alone is not None
    assert alone["window"] == alone["neighbours"] == alone["run_keyword"] == 0
    other = hits[first].parts
    assert other is not None
    assert other["window"] / 0.5 == pytest.approx(other["keyword"] / 0.6)


def test_a_part_without_weight_is_not_computed_into_the_score(
    bench: Any, brute_force: type
) -> None:
    bench.add(["cats running", "piano", "red cat", "the house"], Scope("alice", run_id="r1"))
    vector = bench.vectors(1)[0]
    for part in RankingConfig.__dataclass_fields__:
        if not part.endswith("_weight"):
            continue
        ranking = replace(bench.ranking, **{part: 0.0})
        bench.index = HotIndex(ranking, IndexConfig())
        hits = bench.ask("cat", vector, explain=True)
        assert_same(
            hits,
            brute_force(ranking).scores(bench.partition(), "cat", vector, "hybrid", at=bench.now),
        )


def test_keyword_mode_returns_only_what_has_a_word_of_the_query(bench: Any) -> None:
    keys = bench.add(["cats running", "red house", "the piano"])
    vector = bench.vectors(1)[0]
    assert [h.key for h in bench.ask("cat lisbon", vector, mode="keyword")] == [keys[0]]
    assert bench.ask("the and was", vector, mode="keyword") == []
    assert bench.ask("lisbon", vector, mode="keyword") == []


def test_an_unknown_word_lowers_every_keyword_score(bench: Any) -> None:
    bench.add(["cats running", "red house", "the piano"])
    vector = bench.vectors(1)[0]
    alone = bench.ask("piano", vector, mode="keyword")[0].score
    beside = bench.ask("piano zurich", vector, mode="keyword")[0].score
    assert 0 < beside < alone / 2
    assert alone <= 1


def test_an_empty_partition_has_no_results(bench: Any) -> None:
    bench.add(["cats"])
    vector = bench.vectors(1)[0]
    for mode in ("hybrid", "dense", "keyword"):
        assert bench.ask("cats", vector, Scope("nobody"), mode=mode) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"b": 1.5}, "b must be from 0 to 1, not 1.5"),
        ({"k1": 1e30}, "k1 must be from 0 to 1,000, not 1e[+]30"),
        ({"date_weight": 1e308}, "date_weight must be from 0 to 1,000,000, not 1e[+]308"),
        ({"dense_weight": 0.0, "keyword_weight": 0.0}, "dense_weight and keyword_weight"),
        ({"window": 1000}, "window must be from 0 to 100, not 1000"),
        ({"recency_weight": 0.1, "recency_days": 0.0}, "recency_days must be at least 1e-06"),
    ],
)
def test_rankings_that_make_no_sense(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=rf"config\.ranking\.{told}"):
        RankingConfig(**settings)
