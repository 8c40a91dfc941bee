"""``support``: whether the memories answer at all."""

from __future__ import annotations

from typing import Any

import pytest

from agentmem import Memory
from agentmem.search.support import margin, support
from agentmem.types import Hit


def hits(*rows: tuple[float, float]) -> list[Hit]:
    """Of (score, actor part)."""
    return [Hit(i, score, {"dense": score - part, "actor": part}) for i, (score, part) in
            enumerate(rows)]  # fmt: skip


def test_it_is_the_best_score_where_nobody_is_asked_about() -> None:
    assert support([]) == 0.0
    assert support(hits((0.7, 0.0), (0.2, 0.0))) == 0.7
    assert support(hits((0.7, 0.1), (0.2, 0.1))) == 0.7  # everybody
    assert support([Hit(1, 0.4, {"keyword": 0.4})]) == 0.4


def test_it_falls_where_others_said_it() -> None:
    asked = hits((0.8, 0.0), (0.5, 0.05), (0.3, 0.05))
    assert margin(asked) == pytest.approx((0.45 + 0.25) / 2 - 0.8)
    assert support(asked) == pytest.approx(0.32 + (0.45 + 0.25) / 2 - 0.8)
    assert support(hits((0.9, 0.1), (0.2, 0.0))) == 0.9


@pytest.fixture
def talk(memory: Memory) -> Memory:
    for actor, text in (
        ("Ana", "I adopted a puppy from the shelter yesterday"),
        ("Ben", "Congratulations! What is it called?"),
        ("Ana", "Biscuit, and he already sleeps on my bed"),
        ("Ben", "I started to take piano lessons in March"),
        ("Ana", "Lovely, I always wanted to play an instrument"),
        ("Ben", "My teacher says that I should practise every day"),
    ):
        memory.add(text, user_id="u", run_id="1", actor_id=actor)
    return memory


def test_answers_carry_it_on_request(talk: Memory) -> None:
    queries = [
        "What is the name of Ana's puppy?",
        "What is the name of Ben's puppy?",
        "Which volcano erupted in Iceland?",
    ]
    answers = talk.search_batch(queries, user_id="u", support=True, top_k=2)
    known, other, unknown = (answer["support"] for answer in answers)
    assert known > other > unknown >= -1
    plain = talk.search_batch(queries, user_id="u", top_k=2)
    assert [a["results"] for a in answers] == [a["results"] for a in plain]
    assert all(set(answer) == {"results"} for answer in plain)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "keyword"])
def test_it_does_not_depend_on_what_is_shown(talk: Memory, mode: Any) -> None:
    asked: dict[str, Any] = {"user_id": "u", "mode": mode, "support": True}
    query = "When did Ben start with the piano?"
    whole = talk.search(query, **asked)
    cut = talk.search(query, top_k=1, threshold=whole["results"][0]["score"], **asked)
    assert cut == {"results": whole["results"][:1], "support": whole["support"]}
    assert talk.search(query, threshold=9, **asked) == {"results": [], "support": whole["support"]}
    paged = talk.search(query, top_k=1, cursor="", explain=True, **asked)
    assert paged["support"] == whole["support"]
    assert "explain" in paged["results"][0]
    assert "explain" not in whole["results"][0]
    assert talk.search("xylophone", user_id="nobody", support=True) == {
        "results": [],
        "support": 0.0,
    }
