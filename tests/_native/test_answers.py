"""The steps that are done once for each hit, against plain Python."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem._native import answers, twins
from agentmem.types import Hit

KEYS = st.integers(0, 2**63 - 1)
SCORES = st.floats(-1, 1, width=32)
HITS = st.builds(Hit, KEYS, SCORES, st.none() | st.just({"dense": 0.5}), st.integers(0, 2**62))


def held_of(hit: Hit, event: int, metadata: str | None) -> tuple[int, dict[str, Any], Any, int]:
    given = None if metadata is None else json.loads(metadata or '{"n":1}')
    return event, {"id": str(hit.key), "metadata": given}, metadata, 100


@given(st.lists(st.tuples(KEYS, SCORES, KEYS), max_size=30))
def test_hits_are_what_calling_the_class_makes(rows: list[tuple[int, float, int]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    made = answers.hits(Hit, *columns)
    assert made == twins.hits(Hit, *columns)
    assert all(type(hit) is Hit and hit.parts is None for hit in made)
    assert [(hit.key, hit.score, hit.seq) for hit in made] == rows


@given(st.lists(HITS, max_size=20, unique_by=lambda hit: hit.key), st.data())
def test_answers_are_those_of_plain_python(hits: list[Hit], data: st.DataObject) -> None:
    kinds = st.sampled_from([None, "", '{"n":[1,2]}'])
    held = {}
    for hit in hits:
        if data.draw(st.booleans()):
            event = hit.seq if data.draw(st.booleans()) else hit.seq + 1
            held[hit.key] = held_of(hit, event, data.draw(kinds))
    matched, missing = answers.match(hits, held)
    assert (matched, missing) == twins.match(hits, held)
    assert all(found is None or found is held[hit.key] for hit, found in matched)
    whole = [(hit, found or held_of(hit, hit.seq, None)) for hit, found in matched]
    assert answers.keys_of(whole) == twins.keys_of(whole) == [hit.key for hit in hits]
    items = answers.copies(whole, json.loads)
    assert items == twins.copies(whole, json.loads)
    for item, (_, found) in zip(items, whole, strict=True):
        assert item is not found[1]
        if found[2] is not None:
            assert item["metadata"] is not found[1]["metadata"]


def test_what_is_no_hit_is_refused() -> None:
    with pytest.raises(TypeError, match="named tuples"):
        answers.hits(dict, [1], [1.0], [1])  # type: ignore[type-var]
    with pytest.raises(ValueError, match="2 keys, 1 scores"):
        answers.hits(Hit, [1, 2], [1.0], [1, 1])
    with pytest.raises(TypeError, match="four fields"):
        answers.match([(1, 2)], {})  # type: ignore[list-item]
    with pytest.raises(TypeError, match="four fields"):
        answers.match([Hit(1, 0.5)], {1: (0, {})})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="four fields"):
        answers.copies([(Hit(1, 0.5), (1,))], json.loads)  # type: ignore[list-item]


def test_nothing_is_held_longer_than_it_is_used() -> None:
    """Reference counts: a hit made natively must own its values, and give them back."""
    keys, scores, seqs = [2**40 + i for i in range(50)], [0.5] * 50, [2**41 + i for i in range(50)]
    before = [sys.getrefcount(key) for key in keys]
    made = answers.hits(Hit, keys, scores, seqs)
    assert [sys.getrefcount(key) for key in keys] == [count + 1 for count in before]
    matched, missing = answers.match(made, {})
    assert list(missing) == keys
    assert len(answers.keys_of([(hit, None) for hit, _ in matched])) == 50  # type: ignore[misc]
    del made, matched, missing
    assert [sys.getrefcount(key) for key in keys] == before
