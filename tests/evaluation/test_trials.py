"""Choosing among rankings, judged where the choice was not made."""

from __future__ import annotations

import pytest

from agentmem.evaluation import Evaluation, HeldOut, Question, held_out
from agentmem.evaluation.report import Outcome


def evaluation(**ranks: list[int]) -> Evaluation:
    """Per collection the rank of the answer of each question; 0: not found."""
    made = Evaluation(depth=9, mode="hybrid")
    for collection, found in ranks.items():
        for rank in found:
            ranking = [f"other {i}" for i in range(1, 9)]
            if rank:
                ranking.insert(rank - 1, "it")
            question = Question("?", frozenset({"it"}), {"user_id": collection})
            made.outcomes.append(Outcome(question, collection, ranking, 0.5, 0.5, 0.0, [], 0))
    made.outcomes.append(
        Outcome(Question("?", frozenset(), {}), "a", [], None, 0.0, 0.0, [], 0)  # not judged
    )
    return made


def test_each_collection_gets_what_is_best_for_the_others() -> None:
    """What is best for all three by far owes that to the first; the others choose differently."""
    trials = {
        "default": evaluation(a=[0, 0, 0], b=[1, 1], c=[1]),
        "other": evaluation(a=[1, 1, 1], b=[0, 1], c=[1]),
    }
    found = held_out(trials, 1)
    assert found == HeldOut(
        recall=pytest.approx((0 + 0 + 0 + 0 + 1 + 1) / 6),
        chosen={"a": "default", "b": "other", "c": "other"},
    )


def test_the_first_of_equals_is_chosen() -> None:
    trials = {"default": evaluation(a=[1], b=[2]), "other": evaluation(a=[1], b=[2])}
    found = held_out(trials, 2)
    assert found == HeldOut(1.0, {"a": "default", "b": "default"})
    assert held_out(trials, 1) == HeldOut(0.5, {"a": "default", "b": "default"})


def test_one_collection_leaves_nothing_to_choose_by() -> None:
    assert held_out({"default": evaluation(a=[1])}, 1) is None
    assert held_out({"default": evaluation()}, 1) is None
