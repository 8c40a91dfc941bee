"""The LongMemEval layout, on a made-up question."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from agentmem.cli.formats import FormatError

QUESTION = {
    "question_id": "q1",
    "question": "What did I buy?",
    "answer": "a kite",
    "haystack_dates": [
        "2023/05/20 (Sat) 02:21",
        "2023/05/21 (Sun) 10:00",
        "2023/05/22 (Mon) 11:00",
    ],
    "haystack_session_ids": ["a", "b", "a"],
    "haystack_sessions": [
        [
            {"role": "user", "content": "I bought a kite.", "has_answer": True},
            {"role": "assistant", "content": "Nice."},
        ],
        [{"role": "user", "content": ""}, {"role": "assistant", "content": "Pardon?"}],
        [{"role": "user", "content": "I bought a kite."}],
    ],
    "answer_session_ids": ["a"],
}


def test_every_turn_is_a_memory_of_its_question_and_session(items) -> None:
    found = items("longmemeval", [QUESTION])
    assert found[0] == {
        "content": "I bought a kite.",
        "user_id": "q1",
        "run_id": "a",
        "role": "user",
        "metadata": {"turn": 0},
        "idempotency_key": "a:0",
        "timestamp": datetime(2023, 5, 20, 2, 21, tzinfo=UTC),
    }
    assert len(found) == 4


def test_turns_without_text_are_left_out(entries) -> None:
    found = entries("longmemeval", [QUESTION])
    assert [entry.where for entry in found if entry.item is None] == ["q1 b:0"]


def test_a_session_that_comes_twice_is_two(items) -> None:
    keys = [item["idempotency_key"] for item in items("longmemeval", [QUESTION])]
    assert keys == ["a:0", "a:1", "b:1", "a#2:0"]


def test_answers_and_labels_are_not_imported(items) -> None:
    text = json.dumps([{**i, "timestamp": ""} for i in items("longmemeval", [QUESTION])])
    assert "has_answer" not in text
    assert "What did I buy" not in text


def test_lines_and_gzip_are_read_too(items) -> None:
    lines = f"{json.dumps(QUESTION)}\n{json.dumps({**QUESTION, 'question_id': 'q2'})}\n"
    found = items("longmemeval", lines, "questions.jsonl.gz")
    assert [item["user_id"] for item in found] == ["q1"] * 4 + ["q2"] * 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"haystack_sessions": None}, "no 'haystack_sessions' list"),
        ({"question_id": 5}, "question_id must be a string, not 5"),
        ({"haystack_dates": ["2023/05/20"]}, "haystack_dates does not have one entry"),
        ({"haystack_sessions": [[], [], [{"role": "user"}]]}, "q1 a#2:0: a turn must be"),
        ({"haystack_dates": ["soon"] * 3}, "'soon'"),
    ],
)
def test_what_is_no_question_is_an_error(entries, change, reason) -> None:
    with pytest.raises(FormatError) as caught:
        entries("longmemeval", [{**QUESTION, **change}])
    assert reason in str(caught.value)
