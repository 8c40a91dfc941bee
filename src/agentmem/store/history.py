"""What became of one memory, from the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentmem.store.connection import Connection
from agentmem.types import Event, HistoryEntry

__all__ = ["entries"]

_STATES = "content, actor_id, role, created_at, updated_at"


def entries(connection: Connection, memory_id: bytes) -> list[HistoryEntry]:
    """Every event of ``memory_id``, oldest first; of all its lives, if it was added again
    after a deletion."""
    before = connection.rows(
        f"SELECT key, seq, {_STATES} FROM versions WHERE id = ? ORDER BY seq", (memory_id,)
    )
    live = connection.rows(f"SELECT key, 0, {_STATES} FROM memories WHERE id = ?", (memory_id,))
    keys = sorted({row[0] for row in (*before, *live)})
    found: list[HistoryEntry] = []
    for key in keys:
        states = [row for row in (*before, *live) if row[0] == key]
        seqs = [key, *(row[1] for row in states if row[1])]
        found.extend(_one_life(memory_id, _events(connection, seqs), states))
    return found


def _events(connection: Connection, seqs: Sequence[int]) -> list[tuple[Any, ...]]:
    return [
        row
        for seq in seqs
        for row in connection.rows(
            "SELECT seq, event, at, actor_id FROM events WHERE seq = ?", (seq,)
        )
    ]


def _one_life(
    memory_id: bytes, events: Sequence[tuple[Any, ...]], states: Sequence[tuple[Any, ...]]
) -> list[HistoryEntry]:
    """Event ``i`` led from state ``i - 1`` to state ``i``: a version is the row before the
    event that recorded it, so an ADD needs no copy of its own."""
    found = []
    for i, (seq, event, at, actor) in enumerate(events):
        old = states[i - 1] if i else None
        new = states[i] if i < len(states) else None
        row = new or old
        assert row is not None  # a life has at least one state
        found.append(
            HistoryEntry(
                seq=seq,
                memory_id=memory_id,
                event=Event(event),
                at=at,
                actor_id=row[3] if event == Event.ADD else actor,
                role=row[4],
                old_content=old[2] if old else None,
                new_content=new[2] if new else None,
                created_at=row[5],
                updated_at=None if event == Event.ADD else at,
            )
        )
    return found
