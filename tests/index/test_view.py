"""Whatever was added, updated, deleted and compacted in whatever order, a view is its rows."""

from __future__ import annotations

import random

import numpy as np
import pytest

from agentmem.config import RankingConfig
from agentmem.index.analyzer import EnglishAnalyzer
from agentmem.index.hybrid import Hybrid
from agentmem.index.scoring import masks_of, rank
from agentmem.index.view import EMPTY, View
from agentmem.types import NEVER, Hit, IndexRows, Scope, TermBatch

DIM = 8
HYBRID_PARTS = {
    *("dense", "keyword", "window", "neighbours", "run_keyword", "run_dense"),
    *("actor", "date", "length"),
}
RANKING = RankingConfig()
HYBRID = Hybrid(RANKING, EnglishAnalyzer())


def rows_of(keys: list[int], version: int, *, wide: bool = False) -> IndexRows:
    """Rows that depend on key and version only."""
    n = len(keys)
    texts = [np.random.default_rng((key, version)) for key in keys]
    vectors = np.stack([t.standard_normal(DIM) for t in texts]).astype(np.float16)
    bags = [np.unique(t.integers(1, 30, size=t.integers(0, 9)), return_counts=True) for t in texts]
    offsets = np.cumsum([0, *(len(terms) for terms, _ in bags)]).astype(np.int64)
    zeros = np.zeros(n, np.int64)
    return IndexRows(
        keys=np.array(keys, np.int64),
        seqs=np.full(n, version, np.int64),
        scopes=np.array([key % 3 for key in keys], np.int64),
        event_at=zeros,
        expires_at=np.array([NEVER if key % 4 else 1000 + key for key in keys], np.int64),
        importance=np.full(n, np.nan, np.float32),
        actors=zeros,
        vectors=vectors.astype(np.float32) if wide else vectors,
        terms=TermBatch(
            offsets,
            np.concatenate([terms for terms, _ in bags]).astype(np.uint64),
            np.concatenate([counts for _, counts in bags]).astype(np.uint16),
            np.array([counts.sum() for _, counts in bags], np.uint32),
        ),
        scope_table={i: Scope("alice", run_id=f"r{i}") for i in range(3)},
    )


def search(view: View, seed: int, **options: object) -> list[Hit]:
    noise = np.random.default_rng(seed)
    asked: dict[str, object] = {
        "mode": "hybrid",
        "vector": noise.standard_normal(DIM).astype(np.float32),
        "terms": np.unique(noise.integers(1, 33, size=4)).astype(np.uint64),
        "top_k": 40,
        "threshold": None,
        "explain": False,
        "masks": masks_of(view, scope=Scope(), now=None, allowed=None),
        **options,
    }
    if asked["mode"] == "keyword":
        asked["vector"] = None
    if asked["mode"] == "dense":
        asked["terms"] = asked["counts"] = None
    else:
        asked["counts"] = np.ones(len(asked["terms"]), np.uint16)  # type: ignore[arg-type]
    return rank(view, RANKING, HYBRID, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
def test_scores_do_not_depend_on_the_past(seed: int) -> None:
    dice = random.Random(seed)
    truth: dict[int, int] = {}  # key -> version
    view = EMPTY
    following = 0
    for version in range(120):
        step = dice.random()
        if step < 0.45 or not truth:
            keys = list(range(following, following + dice.choice([1, 1, 2, 9, 400])))
            following = keys[-1] + 1
            view = view.adding(rows_of(keys, version, wide=dice.random() < 0.2))
            truth |= dict.fromkeys(keys, version)
        elif step < 0.65:
            keys = sorted(dice.sample(sorted(truth), min(len(truth), dice.choice([1, 3, 30]))))
            view = view.adding(rows_of(keys, version))
            truth |= dict.fromkeys(keys, version)
        elif step < 0.9:
            keys = sorted(dice.sample(sorted(truth), min(len(truth), dice.choice([1, 5, 300]))))
            view = view.without(np.array(keys, np.int64))
            for key in keys:
                del truth[key]
        while view.merge_span is not None and dice.random() < 0.7:
            view = view.merged(view.merge())

    by_version: dict[int, list[int]] = {}
    for key in sorted(truth):
        by_version.setdefault(truth[key], []).append(key)
    fresh = EMPTY
    for version, keys in by_version.items():
        fresh = fresh.adding(rows_of(keys, version))
    assert view.n == len(truth) == fresh.n
    assert view.length == fresh.length
    for query in range(5):
        for mode in ("hybrid", "dense", "keyword"):
            one = search(view, query, mode=mode)
            other = search(fresh, query, mode=mode)
            assert [hit.key for hit in one] == [hit.key for hit in other]
            assert [hit.score for hit in one] == [hit.score for hit in other]
    # Few parts, so few native calls, and little memory of the dead.
    while view.merge_span is not None:
        view = view.merged(view.merge())
    assert len(view.parts) <= 8
    assert sum(part.segment.n for part in view.parts) <= 1.4 * view.n + 8


def test_a_merge_computed_aside_keeps_what_happened_meanwhile() -> None:
    view = EMPTY.adding(rows_of([0, 1, 2, 3], 0)).adding(rows_of([4, 5], 1))
    merge = view.merge()
    later = view.without(np.array([1, 4])).adding(rows_of([3, 6], 2))
    done = later.merged(merge)
    assert len(done.parts) == 2
    assert done.n == later.n == 5
    assert done.length == later.length
    assert search(done, 1) == search(later, 1)


def test_a_merge_waits_for_many_parts_or_many_searches() -> None:
    view = EMPTY.adding(rows_of([0], 0)).adding(rows_of([1], 0))
    assert [view.merge_due() for _ in range(10)] == [False] * 8 + [True] * 2
    for key in range(2, 8):
        view = view.adding(rows_of([key], 0))
    assert not view.merge_due()
    view = view.adding(rows_of([8], 0))
    assert view.merge_due()
    merged = view.merged(view.merge())
    assert not any(merged.merge_due() for _ in range(20))
    assert merged.stamp == view.stamp  # and other contents have another
    assert view.adding(rows_of([9], 0)).stamp != view.stamp
    assert view.without(np.array([3])).stamp != view.stamp


def test_views_never_change() -> None:
    first = EMPTY.adding(rows_of(list(range(10)), 0))
    before = search(first, 3)
    second = first.adding(rows_of([3, 20], 1)).without(np.array([5]))
    assert search(first, 3) == before
    assert (first.n, second.n) == (10, 10)


def test_everything_deleted_leaves_nothing() -> None:
    view = EMPTY.adding(rows_of([1, 2, 3], 0)).without(np.array([1, 2, 3]))
    assert search(view, 0) == []
    view = view.merged(view.merge())
    assert view.parts == ()
    assert search(view, 0) == []


def test_deleting_what_is_not_there_changes_nothing() -> None:
    view = EMPTY.adding(rows_of([1, 5], 0))
    assert view.without(np.array([0, 2, 9])) is view


def test_masks() -> None:
    view = EMPTY.adding(rows_of(list(range(30)), 0)).adding(rows_of(list(range(30, 40)), 0))
    view = view.without(np.array([3, 31]))

    def keys(**options: object) -> set[int]:
        given: dict[str, object] = {"scope": Scope(), "now": None, "allowed": None, **options}
        masks = masks_of(view, **given)  # type: ignore[arg-type]
        return {hit.key for hit in search(view, 0, masks=masks, top_k=100)}

    live = set(range(40)) - {3, 31}
    assert keys() == live
    assert keys(scope=Scope(run_id="r1")) == {k for k in live if k % 3 == 1}
    assert keys(scope=Scope("alice", run_id="r1")) == {k for k in live if k % 3 == 1}
    assert keys(scope=Scope("bob")) == set()
    assert keys(now=1016) == {k for k in live if k % 4 or k > 16}
    assert keys(allowed=np.array([2, 3, 30, 31, 77])) == {2, 30}
    both = keys(scope=Scope(run_id="r2"), now=1016, allowed=np.arange(9))
    assert both == {2, 5}
    # A second scope mask of the same segment must not disturb the first.
    assert keys(scope=Scope(run_id="r0")) == {k for k in live if k % 3 == 0}


def test_ties_go_to_the_smaller_key() -> None:
    rows = rows_of([0] * 1, 0)
    view = EMPTY
    for key in (5, 1, 9, 3):
        twin = IndexRows(**{f: getattr(rows, f) for f in rows.__slots__})
        twin.keys = np.array([key], np.int64)
        twin.scope_table = {0: Scope("alice")}  # in a run, the neighbours would count
        view = view.adding(twin)
    assert [hit.key for hit in search(view, 0, top_k=3)] == [1, 3, 5]


def test_threshold_is_inclusive_and_exact() -> None:
    view = EMPTY.adding(rows_of(list(range(50)), 0))
    hits = search(view, 2)
    cut = hits[4].score
    assert search(view, 2, threshold=cut) == hits[:5]
    just_above = float(np.nextafter(cut, np.inf))  # between two float32 numbers
    assert search(view, 2, threshold=just_above) == hits[:4]
    assert search(view, 2, threshold=99.0) == []


@pytest.mark.parametrize("mode", ["hybrid", "dense", "keyword"])
def test_explained_parts_add_up(mode: str) -> None:
    view = EMPTY.adding(rows_of(list(range(200)), 0)).adding(rows_of(list(range(300, 700)), 1))
    plain = search(view, 5, mode=mode)
    explained = search(view, 5, mode=mode, explain=True)
    assert [(h.key, h.score) for h in plain] == [(h.key, h.score) for h in explained]
    named = {"hybrid": HYBRID_PARTS, "dense": {"dense"}, "keyword": {"keyword"}}[mode]
    for hit in explained:
        assert hit.parts is not None
        assert set(hit.parts) == named
        assert sum(hit.parts.values()) == pytest.approx(hit.score, abs=1e-12)
        if mode == "keyword":
            assert hit.parts["keyword"] > 0
