"""The public shape of a memory: what ``get`` returns, and ``search`` with a score."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agentmem.ids import id_to_str
from agentmem.times import from_micros

if TYPE_CHECKING:
    from agentmem.types import Record

__all__ = ["item_of"]

_decode = json.JSONDecoder().decode
#: A batch shares its times, and the same memories are found again and again.
_iso = lru_cache(maxsize=8192)(from_micros)


def item_of(record: Record) -> dict[str, Any]:
    """A memory as ``get`` returns it.

    ``{"id", "memory", "hash", "metadata", "created_at", "updated_at", "user_id", "agent_id",
    "run_id", "org_id", "actor_id", "role", "memory_type", "level", "importance", "timestamp",
    "expiration_date"}``; times are ISO 8601, what was not given is None.
    """
    scope = record.scope
    metadata = record.metadata
    return {
        "id": id_to_str(record.id),
        "memory": record.content,
        "hash": record.content_hash.hex(),
        "metadata": None if metadata is None else _decode(metadata),
        "created_at": _iso(record.created_at),
        "updated_at": _iso(record.updated_at),
        "user_id": scope.user_id,
        "agent_id": scope.agent_id,
        "run_id": scope.run_id,
        "org_id": scope.org_id,
        "actor_id": record.actor_id,
        "role": record.role,
        "memory_type": record.memory_type,
        "level": record.level,
        "importance": record.importance,
        "timestamp": _iso(record.event_at),
        "expiration_date": _iso(record.expires_at),
    }
