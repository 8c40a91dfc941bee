"""Formats are told apart by how files begin."""

from __future__ import annotations

import json

import pytest

from agentmem.cli.formats import FORMATS, FormatError, Source
from agentmem.cli.formats.detect import detect

MESSAGE = {"role": "user", "content": "x"}
LOCOMO = {"sample_id": "c", "qa": [], "conversation": {"session_1": []}}
QUESTION = {"question_id": "q", "haystack_sessions": []}
MEM0 = {"id": "1", "memory": "x", "hash": "h"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("likes tea\nlikes coffee\n", "text"),
        ("", "text"),
        ("\n\n[2024-03-09 14:00] Ruth: hello\n", "chat"),
        ("[see note 3] not a turn: really\n", "text"),
        ([MESSAGE], "chat"),
        ({"messages": [MESSAGE]}, "chat"),
        ({"user_id": "u", "sessions": [{"turns": [MESSAGE]}]}, "chat"),
        ([{"turns": [MESSAGE]}], "chat"),
        ([[MESSAGE]], "chat"),
        (json.dumps(MESSAGE) + "\n" + json.dumps(MESSAGE), "chat"),
        ([LOCOMO], "locomo"),
        (LOCOMO, "locomo"),
        ([QUESTION], "longmemeval"),
        (json.dumps(QUESTION) + "\n", "longmemeval"),
        ([MEM0], "mem0"),
        ({"results": [MEM0]}, "mem0"),
        (json.dumps(MEM0) + "\n" + json.dumps(MEM0), "jsonl"),
        ('{"text": "x"}\n', "jsonl"),
        ('"x"\n"y"\n', "jsonl"),
        ([{"text": "x"}], "jsonl"),
        (["x"], "jsonl"),
    ],
)
@pytest.mark.parametrize("name", ["file.txt", "file.gz"])
def test_each_format_is_recognised(write, content, expected, name) -> None:
    assert expected in FORMATS
    assert detect(Source(write(content, name))) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"title": "x"}', "line 1: cannot tell the format; give --format"),
        ("[[1, 2], null]", "cannot tell the format; give --format"),
        ("[]", "holds no memories"),
        (b"PAR1\x15\x00", "is a Parquet or Arrow file"),
        (b"SQLite format 3\x00", "is a binary file"),
    ],
)
def test_what_cannot_be_told_is_an_error(write, content, reason) -> None:
    with pytest.raises(FormatError) as caught:
        detect(Source(write(content)))
    assert reason in str(caught.value)
