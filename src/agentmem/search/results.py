"""The public shape of a memory: what ``search``, ``get`` and ``get_all`` return."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agentmem.ids import id_to_str
from agentmem.times import from_micros

if TYPE_CHECKING:
    from agentmem.types import Hit, Record

__all__ = ["item_of", "result_of"]

_decode = json.JSONDecoder().decode


def item_of(record: Record) -> dict[str, Any]:
    """A memory as ``get`` returns it.

    ``{"id", "memory", "hash", "metadata", "created_at", "updated_at", "user_id", "agent_id",
    "run_id", "org_id", "actor_id", "role", "memory_type", "level", "importance", "timestamp",
    "expiration_date"}``; times are ISO 8601, what was not given is None.
    """
    scope = record.scope
    metadata = record.metadata
    created, updated, event = record.created_at, record.updated_at, record.event_at
    created_at = from_micros(created)
    return {
        "id": id_to_str(record.id),
        "memory": record.content,
        "hash": record.content_hash.hex(),
        "metadata": None if metadata is None else _decode(metadata),
        "created_at": created_at,
        "updated_at": created_at if updated == created else from_micros(updated),
        "user_id": scope.user_id,
        "agent_id": scope.agent_id,
        "run_id": scope.run_id,
        "org_id": scope.org_id,
        "actor_id": record.actor_id,
        "role": record.role,
        "memory_type": record.memory_type,
        "level": record.level,
        "importance": record.importance,
        "timestamp": created_at if event == created else from_micros(event),
        "expiration_date": from_micros(record.expires_at),
    }


def result_of(record: Record, hit: Hit) -> dict[str, Any]:
    """A memory as ``search`` returns it: with ``"score"`` and, if explained, ``"explain"``."""
    item = item_of(record)
    item["score"] = hit.score
    if hit.parts is not None:
        item["explain"] = hit.parts
    return item
