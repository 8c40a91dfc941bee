"""The public shape of a memory."""

from __future__ import annotations

from dataclasses import replace

from agentmem.search.results import item_of
from agentmem.types import Record, Scope

RECORD = Record(
    key=7,
    id=bytes(range(16)),
    scope=Scope("alice", None, "r1", "acme"),
    content="I moved to Lisbon",
    content_hash=bytes.fromhex("00ff" * 8),
    actor_id="caroline",
    role="user",
    memory_type="episodic",
    level=3,
    importance=0.5,
    metadata='{"src":"crm","tags":["a","é"]}',
    event_at=1_683_554_160_000_000,
    created_at=1_700_000_000_000_001,
    updated_at=1_700_000_000_000_001,
    expires_at=None,
    position=0,
    seq=9,
    added_seq=7,
    idempotency_key=None,
)


def test_an_item_has_every_field() -> None:
    assert item_of(RECORD) == {
        "id": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "memory": "I moved to Lisbon",
        "hash": "00ff" * 8,
        "metadata": {"src": "crm", "tags": ["a", "é"]},
        "created_at": "2023-11-14T22:13:20.000001+00:00",
        "updated_at": "2023-11-14T22:13:20.000001+00:00",
        "user_id": "alice",
        "agent_id": None,
        "run_id": "r1",
        "org_id": "acme",
        "actor_id": "caroline",
        "role": "user",
        "memory_type": "episodic",
        "level": 3,
        "importance": 0.5,
        "timestamp": "2023-05-08T13:56:00+00:00",
        "expiration_date": None,
    }


def test_what_was_not_given_is_none() -> None:
    bare = replace(RECORD, metadata=None, role=None, importance=None, expires_at=0)
    item = item_of(bare)
    assert item["metadata"] is item["role"] is item["importance"] is None
    assert item["expiration_date"] == "1970-01-01T00:00:00+00:00"


def test_items_do_not_share_what_a_caller_may_change() -> None:
    item_of(RECORD)["metadata"]["tags"].append("mine")
    assert item_of(RECORD)["metadata"]["tags"] == ["a", "é"]
