"""Search through the public face, with the real static model."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agentmem import errors
from agentmem.search import searcher
from agentmem.types import Scope

if TYPE_CHECKING:
    from agentmem import Memory

TEXTS = [
    "I moved to Lisbon in March",
    "My sister Ana plays the piano in a jazz band",
    "The cat likes to sleep on the warm laptop",
    "We booked flights to Zurich for the climbing trip",
    "Surfing lessons start every Saturday morning",
    "I am allergic to peanuts",
    "The new job at Acme begins on Monday",
    "Grandma taught me how to bake sourdough bread",
]


@pytest.fixture
def alice(memory: Memory) -> Memory:
    memory.add_batch(
        [
            {"content": text, "metadata": {"number": i, "even": i % 2 == 0}}
            for i, text in enumerate(TEXTS)
        ],
        user_id="alice",
    )
    return memory


def found(answer: dict[str, list[dict[str, Any]]]) -> list[str]:
    return [item["memory"] for item in answer["results"]]


def test_meaning_and_words_find_what_was_meant(alice: Memory) -> None:
    for question, answer in (
        ("Where does she live since March?", 0),
        ("musical instrument of my sister", 1),
        ("what food must I avoid, peanuts?", 5),
        ("When does the job begin?", 6),
    ):
        assert found(alice.search(question, user_id="alice", top_k=1)) == [TEXTS[answer]]


@pytest.mark.parametrize("mode", ["hybrid", "dense"])
def test_everything_is_ranked_up_to_top_k(alice: Memory, mode: Any) -> None:
    everything = alice.search("cat", user_id="alice", mode=mode)["results"]
    assert len(everything) == len(TEXTS)
    scores = [item["score"] for item in everything]
    assert scores == sorted(scores, reverse=True)
    assert alice.search("cat", user_id="alice", mode=mode, top_k=3)["results"] == everything[:3]


def test_keyword_mode_needs_a_common_word(alice: Memory) -> None:
    assert found(alice.search("cats!", user_id="alice", mode="keyword")) == [TEXTS[2]]
    assert found(alice.search("submarine", user_id="alice", mode="keyword")) == []
    assert found(alice.search("what is it?", user_id="alice", mode="keyword")) == []


def test_threshold_cuts_by_score(alice: Memory) -> None:
    everything = alice.search("Lisbon", user_id="alice")["results"]
    cut = everything[2]["score"]
    assert alice.search("Lisbon", user_id="alice", threshold=cut)["results"] == everything[:3]
    assert alice.search("Lisbon", user_id="alice", threshold=2)["results"] == []


def test_a_score_is_the_same_in_any_company(alice: Memory) -> None:
    """Whatever filters, top_k, batches or explanations."""
    question = "piano lessons in Lisbon"
    score = {i["memory"]: i["score"] for i in alice.search(question, user_id="alice")["results"]}
    for answer in (
        alice.search(question, user_id="alice", filters={"metadata.even": True}),
        alice.search(question, user_id="alice", top_k=2),
        alice.search(question, user_id="alice", explain=True),
        alice.search_batch(["cat", question], user_id="alice")[1],
    ):
        assert answer["results"]
        for item in answer["results"]:
            assert item["score"] == pytest.approx(score[item["memory"]], abs=1e-6)


def test_explained_parts_add_up(alice: Memory) -> None:
    hybrid = {
        *("dense", "keyword", "window", "neighbours", "run_keyword", "run_dense"),
        *("actor", "date", "length"),
    }
    named = {"hybrid": hybrid, "dense": {"dense"}, "keyword": {"keyword"}}
    for mode, names in named.items():
        options: dict[str, Any] = {"user_id": "alice", "mode": mode}
        explained = alice.search("cat in Lisbon", explain=True, **options)["results"]
        assert explained
        for item in explained:
            assert set(item["explain"]) == names
            assert math.fsum(item["explain"].values()) == pytest.approx(item["score"], abs=1e-9)
        plain = alice.search("cat in Lisbon", **options)["results"]
        for item in explained:
            del item["explain"]
        assert plain == explained


def test_a_batch_answers_in_order(alice: Memory) -> None:
    questions = ["cat", "Zurich", "bread"]
    batch = alice.search_batch(questions, user_id="alice", top_k=3)
    assert [found(answer) for answer in batch] == [
        found(alice.search(question, user_id="alice", top_k=3)) for question in questions
    ]
    assert alice.search_batch([], user_id="alice") == []


def test_a_vector_takes_the_place_of_the_embedding(alice: Memory) -> None:
    embedder = alice._engine.embedder
    vector = embedder.embed_queries(["peanuts"])
    for mode in ("hybrid", "dense"):
        expected = alice.search("peanuts", user_id="alice", mode=mode)["results"]
        for given in (vector[0], vector, vector[0].tolist(), 1e3 * vector[0].astype(np.float64)):
            answer = alice.search("peanuts", user_id="alice", mode=mode, vector=given)["results"]
            assert [i["id"] for i in answer] == [i["id"] for i in expected]
            assert [i["score"] for i in answer] == pytest.approx(
                [i["score"] for i in expected], abs=1e-6
            )
    dense = alice.search(None, user_id="alice", mode="dense", vector=vector[0])
    assert found(dense) == found(alice.search("peanuts", user_id="alice", mode="dense"))


@pytest.mark.parametrize("text", ["", "  \n", None])
@pytest.mark.parametrize("mode", ["hybrid", "dense", "keyword"])
def test_a_query_without_text_is_an_error_that_names_the_mode(
    alice: Memory, text: Any, mode: Any
) -> None:
    with pytest.raises(errors.InvalidInputError, match=f'mode="{mode}"'):
        alice.search(text, user_id="alice", mode=mode)


def test_a_hybrid_query_needs_a_text_beside_its_vector(alice: Memory) -> None:
    """Without words its scores would be on another scale."""
    with pytest.raises(errors.InvalidInputError, match='mode="dense" with a vector'):
        alice.search("", user_id="alice", vector=np.ones(alice._engine.embedder.dim))


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"mode": "fuzzy"}, errors.InvalidInputError, "'fuzzy'"),
        ({"threshold": math.nan}, errors.InvalidInputError, "threshold"),
        ({"threshold": "0.5"}, errors.InvalidInputError, "threshold"),
        ({"threshold": True}, errors.InvalidInputError, "threshold"),
        ({"top_k": 0}, errors.InvalidInputError, "top_k"),
        ({"top_k": 10**9}, errors.LimitError, "max_top_k"),
        ({"vector": [1.0, 2.0]}, errors.VectorError, r"\(2,\)|\(1, 2\)"),
        ({"vector": [[1.0], [2.0]]}, errors.VectorError, "shape"),
        ({"vector": "peanuts"}, errors.VectorError, "numbers"),
        ({"vector": [1.0], "mode": "keyword"}, errors.InvalidInputError, "keyword"),
    ],
)
def test_options_that_cannot_be(
    alice: Memory, options: dict[str, Any], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        alice.search("cat", user_id="alice", **options)


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_vectors_without_a_direction(alice: Memory, bad: float) -> None:
    vector = np.full(alice._engine.embedder.dim, bad)
    with pytest.raises(errors.VectorError):
        alice.search("cat", user_id="alice", vector=vector)


def test_texts_that_cannot_be(alice: Memory) -> None:
    with pytest.raises(errors.InvalidInputError, match="surrogate"):
        alice.search("cat \ud800", user_id="alice")
    with pytest.raises(errors.LimitError, match="max_query_bytes"):
        alice.search("cat " * 300_000, user_id="alice")
    with pytest.raises(errors.InvalidInputError, match="list"):
        alice.search_batch("cat", user_id="alice")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidInputError, match="string"):
        alice.search(7, user_id="alice")  # type: ignore[arg-type]


def test_a_scope_sees_only_itself(alice: Memory) -> None:
    alice.add("The cat of Bob", user_id="bob", run_id="monday")
    alice.add("A star is a name like any other, cat", user_id="*")
    assert found(alice.search("cat", user_id="bob")) == ["The cat of Bob"]
    assert found(alice.search("cat", user_id="bob", run_id="tuesday")) == []
    assert found(alice.search("cat", run_id="monday")) == ["The cat of Bob"]
    assert len(found(alice.search("cat", user_id="*"))) == 1
    assert found(alice.search("cat", user_id="nobody")) == []
    assert len(found(alice.search("cat", unscoped=True, top_k=50))) == len(TEXTS) + 2


def test_no_scope_at_all_is_an_error(alice: Memory) -> None:
    with pytest.raises(errors.ScopeError, match="user_id="):
        alice.search("cat")
    with pytest.raises(errors.ScopeError):
        alice.search("cat", user_id="alice", unscoped=True)
    lower = alice._engine.searcher
    with pytest.raises(errors.ScopeError, match="unscoped=True"):
        lower.search_batch(["cat"], scope=Scope())
    with pytest.raises(errors.ScopeError, match="user_id='alice'"):
        lower.search_batch(["cat"], scope=Scope("alice"), unscoped=True)


FILTERS: list[dict[str, Any]] = [
    {"metadata.even": True},
    {"metadata.number": {"gte": 3, "lt": 6}},
    {"NOT": [{"metadata.number": {"in": [0, 1, 2]}}]},
    {"OR": [{"metadata.number": 1}, {"metadata.number": 7}]},
    {"memory_type": "semantic"},
]


@pytest.mark.parametrize("given", FILTERS)
def test_filters_mean_what_they_mean_everywhere(alice: Memory, given: dict[str, Any]) -> None:
    listed = {item["id"] for item in alice.get_all(user_id="alice", filters=given)["results"]}
    for mode in ("hybrid", "dense"):
        hits = alice.search("cat", user_id="alice", filters=given, mode=mode, top_k=100)
        assert {item["id"] for item in hits["results"]} == listed


def test_expired_memories_are_in_no_answer(alice: Memory) -> None:
    alice.add("The cat was sold", user_id="alice", expiration_date="2001-01-01T00:00:00+00:00")
    hidden = found(alice.search("cat sold", user_id="alice"))
    shown = found(alice.search("cat sold", user_id="alice", show_expired=True))
    assert "The cat was sold" not in hidden
    assert shown[0] == "The cat was sold"


def test_results_have_the_shape_of_items(alice: Memory) -> None:
    hit = alice.search("peanuts", user_id="alice", top_k=1)["results"][0]
    item = alice.get(hit["id"])
    assert hit.pop("score") > 0
    assert hit == item


def test_a_search_that_others_always_outrun_still_answers(
    alice: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = alice.search("cat", user_id="alice")
    monkeypatch.setattr(searcher, "_ATTEMPTS", 0)
    assert alice.search("cat", user_id="alice") == expected


@pytest.mark.parametrize("mode", ["hybrid", "dense", "keyword"])
def test_a_loaded_index_stops_showing_what_expires_at_once(alice: Memory, mode: Any) -> None:
    asked: dict[str, Any] = {"user_id": "alice", "mode": mode, "top_k": 100}
    until = datetime.now(UTC) + timedelta(seconds=0.4)
    alice.add("A cat for one moment", user_id="alice", expiration_date=until)
    while True:
        before = datetime.now(UTC)
        shown = "A cat for one moment" in found(alice.search("cat", **asked))
        after = datetime.now(UTC)
        assert shown or after >= until
        assert not shown or before < until
        if before >= until:
            break
    assert "A cat for one moment" in found(alice.search("cat", show_expired=True, **asked))
    stays = alice.add("Another cat", user_id="alice")["results"][0]["id"]
    assert "Another cat" in found(alice.search("cat", **asked))
    alice.update(stays, expiration_date=datetime.now(UTC))
    assert "Another cat" not in found(alice.search("cat", **asked))
    alice.update(stays, expiration_date="never")
    assert "Another cat" in found(alice.search("cat", **asked))


@pytest.mark.parametrize(
    "given",
    [
        {"NOT": {"metadata.even": True}},
        {"OR": [{"metadata.number": {"in": [0, 7, 2**70]}}, {"memory": {"icontains": "CAT"}}]},
        {"AND": [{"metadata.number": {"gte": 2, "lt": 2**64}}, {"NOT": {"metadata.number": 5}}]},
        {"metadata.number": {"nin": [1, 2, 3]}, "user_id": {"exists": True}},
        {"position": {"gt": 3}},
        {"metadata.missing": {"ne": 1}},
        {"OR": []},
    ],
)
def test_every_path_finds_what_the_filter_leaves(alice: Memory, given: dict[str, Any]) -> None:
    """By scope, unscoped, in the past and page by page, nothing is left out and nothing let in."""
    expected = {item["memory"] for item in alice.get_all(user_id="alice", filters=given)["results"]}
    now = max(item["updated_at"] for item in alice.get_all(user_id="alice")["results"])
    alice.add_batch(["one more", "cat"], user_id="bob")
    alice.add("later", user_id="alice", metadata={"number": 4})
    for mode in ("hybrid", "dense"):
        asked: dict[str, Any] = {"filters": given, "mode": mode}
        for scope in ({"user_id": "alice"}, {"unscoped": True}):
            for way in ({"top_k": 100}, {"top_k": 3, "cursor": ""}):
                page = alice.search("cat", as_of=now, **asked, **scope, **way)
                shown = found(page)
                while page.get("next_cursor"):
                    page = alice.search(
                        "cat", as_of=now, **asked, **scope, **way | {"cursor": page["next_cursor"]}
                    )
                    shown += found(page)
                assert len(shown) == len(expected)
                assert set(shown) == expected
        present = found(alice.search("cat", user_id="alice", top_k=100, **asked))
        assert set(present) == {
            item["memory"] for item in alice.get_all(user_id="alice", filters=given)["results"]
        }
