"""What a transaction sees of the store as a whole."""

from __future__ import annotations

from typing import NamedTuple

from agentmem.errors import StoreCorruptError
from agentmem.store.connection import Connection
from agentmem.types import Scope

__all__ = ["ScopeCache", "State", "read_state"]


class State(NamedTuple):
    """What a transaction sees of the store as a whole."""

    seq: int
    at: int  # commit time of the last event; 0 where none is left
    epoch: str
    model_id: str  # "" before the first vector
    dim: int
    analyzer: str
    schema: str  # the last migration it has seen

    @property
    def kind(self) -> tuple[object, ...]:
        """All but the last event: what most commits leave as it was."""
        return self[2:]


#: In one row: each row of SQLite's lets other threads have the interpreter lock.
_STATE = f"""
SELECT e.seq, e.at, (SELECT max(name) FROM migrations), {
    ", ".join(
        f"(SELECT value FROM meta WHERE name = '{name}')"
        for name in ("epoch", "model_id", "dim", "analyzer", "seq_floor")
    )
}
FROM (SELECT 1) LEFT JOIN (SELECT seq, at FROM events ORDER BY seq DESC LIMIT 1) e
"""


def read_state(connection: Connection) -> State:
    """
    Raises:
        StoreCorruptError: what every store has is not there.
    """
    seq, at, last, epoch, model_id, dim, analyzer, floor = connection.rows(_STATE)[0]
    if epoch is None or last is None:
        raise StoreCorruptError("the store's own records of itself are gone; restore a backup")
    return State(
        seq=seq or floor or 0,
        at=at or 0,
        epoch=epoch,
        model_id=model_id or "",
        dim=dim or 0,
        analyzer=analyzer or "",
        schema=last,
    )


class ScopeCache:
    """Interned scopes by id, of one epoch; only of committed transactions."""

    def __init__(self) -> None:
        self._held: tuple[str, dict[int, Scope]] = ("", {})  # replaced whole: threads share it

    def of(self, epoch: str) -> dict[int, Scope]:
        held = self._held
        if held[0] != epoch:
            held = self._held = (epoch, {})
        return held[1]
