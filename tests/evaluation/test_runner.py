"""An evaluation of a real store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from agentmem import InvalidInputError
from agentmem.evaluation import Collection, Labelled, Question, evaluate

if TYPE_CHECKING:
    from agentmem import Memory

ALICE = {"user_id": "alice"}


def facts(*texts: str, user: str = "alice") -> list[Labelled]:
    """Memories labelled by their first word."""
    return [Labelled(t.split()[0], {"content": t, "user_id": user}) for t in texts]


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_answers_are_judged_by_what_was_found(memory: Memory) -> None:
    collection = Collection(
        "alice",
        facts(
            "m1 She plays the cello in an orchestra",
            "m2 Works at the bakery on the corner",
            "m3 Is allergic to hazelnuts",
        ),
        [
            Question("who plays the cello?", frozenset({"m1"}), ALICE, "music"),
            Question("cello and bakery", frozenset({"m1", "m2"}), ALICE, "both"),
            Question("quantum chromodynamics", frozenset(), ALICE, "unknown"),
        ],
        left_out=2,
    )
    found = evaluate(memory, [collection], depth=2, count_tokens=words)
    summary = found.summary((1, 2))
    assert (summary["memories"], summary["questions"], summary["unanswerable"]) == (3, 2, 1)
    assert summary["left_out"] == 2
    assert summary["overall"]["recall@1"] == 0.75  # 1 of 1, then 1 of 2
    assert summary["overall"]["recall@2"] == 1
    assert summary["overall"]["all@1"] == 0.5
    assert summary["overall"]["any@1"] == 1
    assert summary["overall"]["mrr"] == 1
    assert list(summary["categories"]) == ["both", "music"]
    assert summary["categories"]["both"]["recall@1"] == 0.5
    assert summary["abstention_auroc"] == 1
    assert summary["ingest"]["added"] == 3
    assert summary["ingest"]["rate"] > 0
    assert 0 < summary["search_ms"]["p50"] <= summary["search_ms"]["p99"]
    # 8 + 8 + 5 words in all, m1 and m2 have 8 each.
    assert summary["tokens"]["collection"] == 21
    assert summary["tokens"]["first@1"] == 8
    assert summary["tokens"]["first@2"] == 16
    assert summary["tokens"]["saved@2"] == pytest.approx(1 - 16 / 21, abs=1e-4)


def test_a_shared_label_ranks_by_its_best_memory(memory: Memory) -> None:
    """Ten turns of one session come first; the second label is found behind them all."""
    talk = [Labelled("s1", {"content": f"cello rehearsal {i}", **ALICE}) for i in range(10)]
    talk.append(Labelled("s2", {"content": "the cello was sold", **ALICE}))
    question = Question("cello rehearsal", frozenset({"s2"}), ALICE)
    found = evaluate(memory, [Collection("alice", talk, [question])], depth=2)
    assert found.outcomes[0].ranking == ["s1", "s2"]
    assert found.summary((1, 2))["overall"]["recall@2"] == 1


def test_memories_that_were_there_before_take_their_ranks(memory: Memory) -> None:
    memory.add("who plays the cello? who plays the cello?", user_id="alice")
    question = Question("who plays the cello?", frozenset({"m1"}), ALICE)
    collection = Collection("alice", facts("m1 She plays the cello in an orchestra"), [question])
    found = evaluate(memory, [collection], depth=5)
    assert found.outcomes[0].ranking.index("m1") == 1
    assert found.details()[0]["ranks"] == {"m1": 2}


def test_collections_do_not_see_one_another(memory: Memory) -> None:
    collections = [
        Collection(
            user,
            facts(f"m1 {user} plays the cello", f"m2 {user} sings", user=user),
            [Question("who plays the cello?", frozenset({"m1"}), {"user_id": user})],
        )
        for user in ("alice", "bob")
    ]
    seen: list[int] = []
    found = evaluate(memory, collections, done=lambda e: seen.append(len(e.outcomes)))
    assert [sorted(outcome.ranking) for outcome in found.outcomes] == [["m1", "m2"]] * 2
    assert seen == [1, 2]


def test_evaluating_again_stores_nothing_again(memory: Memory) -> None:
    """Nor does it take two turns of the same words for one."""
    talk = facts("m1 yes", "m2 She plays the cello", "m1 yes")
    question = Question("who plays the cello?", frozenset({"m2"}), ALICE)
    collection = Collection("alice", talk, [question])
    first = evaluate(memory, [collection])
    again = evaluate(memory, [collection])
    assert (first.added, again.added, memory.count(user_id="alice")) == (3, 0, 3)
    assert again.outcomes[0].ranking == first.outcomes[0].ranking


def test_another_text_under_a_key_is_refused(memory: Memory) -> None:
    def collection(text: str) -> Collection:
        item = {"content": text, "idempotency_key": "k", **ALICE}
        return Collection("alice", [Labelled("m1", item)], [])

    evaluate(memory, [collection("Plays the cello")])
    with pytest.raises(InvalidInputError, match=r"'m1'.*another text, 'Plays the cello'"):
        evaluate(memory, [collection("Plays the viola")])


def test_nothing_asked_is_no_mistake(memory: Memory) -> None:
    summary = evaluate(memory, []).summary((1, 5))
    assert summary["overall"]["recall@5"] is None
    assert summary["search_ms"]["p50"] is None
    assert summary["ingest"]["rate"] is None
    assert summary["abstention_auroc"] is None


def test_the_mode_is_the_one_asked_for(memory: Memory) -> None:
    """Keyword search finds nothing for words that were never used; meaning finds all."""
    collection = Collection(
        "alice",
        facts("m1 She plays the cello"),
        [Question("zebras", frozenset({"m1"}), ALICE)],
    )
    assert evaluate(memory, [collection], mode="keyword").outcomes[0].ranking == []
    again = Collection("again", [], collection.questions)
    assert len(evaluate(memory, [again], mode="dense").outcomes[0].ranking) == 1


def test_a_context_is_judged_by_what_is_in_it(memory: Memory) -> None:
    """12 of 24 words: room for the two memories of cellos, and not for the third of a group."""
    texts = (
        "m1 She plays the cello with her friends",
        "m2 He sold his old cello last year",
        "m3 The boat needs a coat of paint",
    )
    questions = [
        Question("cello cello cello", frozenset({"m1", "m2"}), ALICE, "two"),
        Question("cello", frozenset({"m1", "m3"}), ALICE, "far"),
    ]
    found = evaluate(
        memory,
        [Collection("alice", facts(*texts), questions)],
        count_tokens=words,
        context=0.7,
        template={"head": ""},
    ).summary((1,))["context"]
    assert found["categories"] == {"two": 1.0, "far": 0.5}
    assert found["kept"] == 0.75
    assert found["tokens"] == 16
    assert found["saved"] == pytest.approx(1 - 16 / 24, abs=1e-4)
    plain = evaluate(memory, [Collection("alice", [], questions)], count_tokens=words)
    assert plain.summary((1,))["context"] is None


def test_tokens_are_those_of_the_scope_that_is_asked(memory: Memory) -> None:
    """What others say is nothing that a prompt for this user would hold."""
    mine = facts("m1 She plays the cello with her friends", "m2 The boat needs a coat of paint")
    others = facts(*(f"o{i} He sold his old cello last year" for i in range(9)), user="bob")
    question = Question("cello", frozenset({"m1"}), ALICE)
    for memories in (mine, mine + others):
        found = evaluate(
            memory,
            [Collection("all", memories, [question])],
            count_tokens=words,
            context=0.5,
            template={"head": ""},
        ).summary((1,))
        assert found["tokens"]["collection"] == 16
        assert found["tokens"]["saved@1"] == 0.5
        assert found["context"]["tokens"] == 8
        memory.delete_all(user_id="alice")
