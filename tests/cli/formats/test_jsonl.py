"""One JSON object per line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from agentmem.cli.formats import FormatError


def jsonl(*values: object) -> str:
    return "\n".join(json.dumps(value) for value in values)


@pytest.mark.parametrize("name", ["content", "memory", "text", "data"])
def test_the_text_may_have_any_usual_name(items, name) -> None:
    assert items("jsonl", jsonl({name: "likes tea"})) == [{"content": "likes tea"}]


def test_bare_strings_and_arrays_are_read_too(items) -> None:
    assert items("jsonl", jsonl("likes tea")) == [{"content": "likes tea"}]
    assert items("jsonl", ["likes tea", {"text": "x"}]) == [
        {"content": "likes tea"},
        {"content": "x"},
    ]


def test_fields_keep_their_meaning_under_other_names(items) -> None:
    line = {
        "text": "likes tea",
        "user": "alice",
        "session_id": "s1",
        "speaker": "Alice",
        "role": "user",
        "type": "factual",
        "date": "2024-03-09",
        "importance": 0.5,
        "expires_at": "2030-01-01",
    }
    assert items("jsonl", jsonl(line)) == [
        {
            "content": "likes tea",
            "user_id": "alice",
            "run_id": "s1",
            "actor_id": "Alice",
            "role": "user",
            "memory_type": "factual",
            "timestamp": datetime(2024, 3, 9, tzinfo=UTC),
            "importance": 0.5,
            "expiration_date": datetime(2030, 1, 1, tzinfo=UTC),
        }
    ]


def test_fields_without_a_place_join_the_metadata(items) -> None:
    line = {"text": "likes tea", "source": "crm", "id": 17, "metadata": {"tags": ["a"]}}
    assert items("jsonl", jsonl(line))[0]["metadata"] == {"source": "crm", "id": 17, "tags": ["a"]}


def test_only_a_uuid_is_kept_as_the_id(items) -> None:
    identity = str(uuid4())
    assert items("jsonl", jsonl({"text": "x", "id": identity}))[0]["id"] == identity
    assert "id" not in items("jsonl", jsonl({"text": "x", "id": "row-1"}))[0]


def test_a_time_that_happened_goes_before_the_time_of_writing(items) -> None:
    line = {"text": "x", "timestamp": "2024-01-01", "created_at": "2025-01-01"}
    assert items("jsonl", jsonl(line))[0]["timestamp"].year == 2024
    del line["timestamp"]
    assert items("jsonl", jsonl(line))[0]["timestamp"].year == 2025


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{", "not JSON"),
        ("12", "expected an object or a string, found int"),
        ('{"title": "x"}', "no text under any of content, memory, text, data"),
        ('{"text": 5}', "content must be text, not int"),
        ('{"text": "x", "metadata": []}', "metadata must be an object, not list"),
        ('{"text": "x", "timestamp": "soon"}', "'soon'"),
        ('{"text": "x", "vector": "abc"}', "a vector must be a list of numbers"),
        ('{"text": "x", "vector": {"dtype": "float32", "data": "?"}}', "not base64"),
    ],
)
def test_a_bad_line_is_an_error_that_names_it(entries, bad, reason) -> None:
    with pytest.raises(FormatError) as caught:
        entries("jsonl", f'{{"text": "fine"}}\n{bad}\n')
    assert "file.txt, line 2: " in str(caught.value)
    assert reason in str(caught.value)
