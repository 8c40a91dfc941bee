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


_STATE = """
SELECT e.seq, e.at, (SELECT max(name) FROM migrations), m.name, m.value
FROM meta m LEFT JOIN (SELECT seq, at FROM events ORDER BY seq DESC LIMIT 1) e
WHERE m.name IN ('epoch', 'model_id', 'dim', 'analyzer', 'seq_floor')
"""


def read_state(connection: Connection) -> State:
    """
    Raises:
        StoreCorruptError: what every store has is not there.
    """
    rows = connection.rows(_STATE)
    meta = {row[3]: row[4] for row in rows}
    if "epoch" not in meta or rows[0][2] is None:
        raise StoreCorruptError("the store's own records of itself are gone; restore a backup")
    return State(
        seq=rows[0][0] or meta.get("seq_floor", 0),
        at=rows[0][1] or 0,
        epoch=meta["epoch"],
        model_id=meta.get("model_id", ""),
        dim=meta.get("dim", 0),
        analyzer=meta.get("analyzer", ""),
        schema=rows[0][2],
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
