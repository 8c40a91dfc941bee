"""mem0's exports."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from agentmem.cli.formats import FormatError

ITEM = {
    "id": "f4cbdb08-7062-4f3e-8eb2-9f5c80dfe64c",
    "memory": "Likes tea",
    "hash": "5d41402abc4b2a76b9719d911017c592",
    "metadata": {"src": "crm"},
    "score": None,
    "created_at": "2024-07-20T01:30:36.275141-07:00",
    "updated_at": "2024-07-21T01:30:36.275141-07:00",
    "user_id": "alice",
    "agent_id": None,
    "run_id": "r1",
    "actor_id": "Alice",
    "role": "user",
    "categories": ["food"],
}
EXPECTED = {
    "id": ITEM["id"],
    "content": "Likes tea",
    "user_id": "alice",
    "run_id": "r1",
    "actor_id": "Alice",
    "role": "user",
    "timestamp": datetime(2024, 7, 20, 8, 30, 36, 275141, tzinfo=UTC),
    "metadata": {"src": "crm", "categories": ["food"]},
}


@pytest.mark.parametrize(
    "content",
    [[ITEM], {"results": [ITEM]}, {"memories": [ITEM], "relations": []}, json.dumps(ITEM)],
    ids=["list", "results", "memories", "line"],
)
def test_items_keep_id_scope_and_time(items, content) -> None:
    assert items("mem0", content) == [EXPECTED]


def test_an_empty_result_has_no_memories(items) -> None:
    assert items("mem0", {"results": []}) == []


def test_a_memory_without_text_is_left_out(entries) -> None:
    assert [entry.item for entry in entries("mem0", [{**ITEM, "memory": " "}])] == [None]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"answers": []}, "not a mem0 export"),
        ([ITEM, {"id": "x"}], "not a mem0 export"),
        ({"results": [ITEM, {"id": "x"}]}, "item 2 is not an object with a 'memory' text"),
        ([{**ITEM, "metadata": "x"}], "item 1: metadata must be an object"),
    ],
)
def test_other_shapes_are_an_error(entries, content, reason) -> None:
    with pytest.raises(FormatError) as caught:
        entries("mem0", content)
    assert reason in str(caught.value)
