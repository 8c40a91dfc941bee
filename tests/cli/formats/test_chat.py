"""Chat transcripts, as JSON and as text."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from agentmem.cli.formats import FormatError

MESSAGES = [
    {"role": "user", "name": "Ruth", "content": "We moved.", "timestamp": "2024-03-09T14:00:00Z"},
    {"role": "assistant", "content": "Where to?"},
]
TEXT = """\
[2024-03-09 14:00] Ruth: We moved.
To Leeds: near the station [finally].

[2024-03-09 14:01] assistant: Noted.
"""


def without_keys(items) -> list[dict]:
    assert all(item.pop("idempotency_key") for item in items)
    return items


def test_messages_keep_role_name_time_and_number(items) -> None:
    assert without_keys(items("chat", MESSAGES, "talk.json")) == [
        {
            "content": "We moved.",
            "role": "user",
            "actor_id": "Ruth",
            "run_id": "talk",
            "timestamp": datetime(2024, 3, 9, 14, tzinfo=UTC),
            "metadata": {"turn": 0},
        },
        {
            "content": "Where to?",
            "role": "assistant",
            "run_id": "talk",
            "metadata": {"turn": 1},
        },
    ]


@pytest.mark.parametrize("as_lines", [False, True])
def test_a_list_and_lines_of_messages_are_the_same(items, as_lines) -> None:
    lines = "\n".join(json.dumps(message) for message in MESSAGES)
    content = lines if as_lines else MESSAGES
    assert items("chat", content) == items("chat", MESSAGES)


def test_the_run_of_loose_messages_can_be_named(items) -> None:
    assert {item["run_id"] for item in items("chat", MESSAGES, run_id="monday")} == {"monday"}


@pytest.mark.parametrize("messages", ["messages", "turns"])
def test_sessions_become_runs_with_their_dates(items, messages) -> None:
    sessions = [
        {"id": "s1", "date": "2024-03-09", messages: [{"role": "user", "content": "one"}]},
        {"run_id": "s2", "date": "2024-03-10", messages: [{"role": "user", "content": "two"}]},
    ]
    expected = [("s1", 9, "one"), ("s2", 10, "two")]
    lines = "\n".join(json.dumps(session) for session in sessions)
    for content in (sessions, {"sessions": sessions}, lines):
        found = items("chat", content)
        assert [(i["run_id"], i["timestamp"].day, i["content"]) for i in found] == expected
        assert [i["metadata"]["turn"] for i in found] == [0, 0]


def test_a_file_may_name_the_user(items) -> None:
    whole = {"user_id": "ruth", "sessions": [{"id": "s", "messages": MESSAGES}]}
    assert {item["user_id"] for item in items("chat", whole)} == {"ruth"}


def test_a_turns_own_time_goes_before_its_sessions(items) -> None:
    session = {"id": "s", "date": "2020-01-01", "messages": MESSAGES}
    assert [item["timestamp"].year for item in items("chat", session)] == [2024, 2020]


def test_keys_are_the_same_when_a_transcript_grows_at_either_end(items) -> None:
    def keys(messages):
        return [item["idempotency_key"] for item in items("chat", messages)]

    more = [{"role": "user", "content": "Hello"}, *MESSAGES, {"role": "user", "content": "Leeds"}]
    assert keys(more)[1:3] == keys(MESSAGES)


def test_a_text_said_twice_is_two_memories(items) -> None:
    said = [{"role": "user", "content": "ok"}] * 2
    assert len({item["idempotency_key"] for item in items("chat", said)}) == 2


def test_turns_without_text_are_left_out_but_counted(entries) -> None:
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}]},
        {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url"}]},
    ]
    found = entries("chat", messages)
    assert found[0].item is None
    assert found[1].item["content"] == "look"
    assert found[1].item["metadata"] == {"turn": 1}


def test_ids_and_other_fields_join_the_metadata(items) -> None:
    message = {"role": "user", "content": "x", "id": "m1", "mood": "good", "metadata": {"a": 1}}
    assert items("chat", [message])[0]["metadata"] == {
        "turn": 0,
        "a": 1,
        "message_id": "m1",
        "mood": "good",
    }


def test_text_lines_with_time_and_name(items) -> None:
    assert without_keys(items("chat", TEXT, "talk.txt")) == [
        {
            "content": "We moved.\nTo Leeds: near the station [finally].",
            "actor_id": "Ruth",
            "run_id": "talk",
            "timestamp": datetime(2024, 3, 9, 14, tzinfo=UTC),
            "metadata": {"turn": 0},
        },
        {
            "content": "Noted.",
            "role": "assistant",
            "run_id": "talk",
            "timestamp": datetime(2024, 3, 9, 14, 1, tzinfo=UTC),
            "metadata": {"turn": 1},
        },
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("Ruth said nothing\n", "line 1: expected '[2024-03-09 14:00] Name: text'"),
        ("[2024-03-09 14:00] A: x\n[2024-13-09 14:00] B: y", "line 2: time"),
        ('[{"role": "user", "content": "x"},\n 5]', "line 2: expected messages or sessions"),
        ('[{"role": "user", "content": {"a": 1}}]', "content must be text, not dict"),
        ('[{"role": "user", "content": "x", "timestamp": "noon"}]', "file turn 0: timestamp"),
        ('{"sessions": [{"id": "s"}]}', "a session must be an object with 'messages'"),
        ('{"messages": [{"text": "x"}, "y"]}', "turn 1: a message must be an object"),
    ],
)
def test_bad_transcripts_name_the_place(entries, content, reason) -> None:
    with pytest.raises(FormatError) as caught:
        entries("chat", content, "file.txt")
    assert reason.replace("timestamp", "time") in str(caught.value)
