"""What a transaction sees of the store as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from agentmem.errors import StoreCorruptError
from agentmem.store.connection import Connection
from agentmem.types import Scope

__all__ = ["ScopeCache", "State", "read_state"]


@dataclass(frozen=True, slots=True)
class State:
    """What a transaction sees of the store as a whole."""

    seq: int
    epoch: str
    model_id: str  # "" before the first vector
    dim: int
    analyzer: str
    schema: str  # the last migration it has seen


_STATE = """
SELECT ifnull((SELECT max(seq) FROM events), 0), (SELECT max(name) FROM migrations), name, value
FROM meta
WHERE name IN ('epoch', 'model_id', 'dim', 'analyzer', 'seq_floor')
"""


def read_state(connection: Connection) -> State:
    """
    Raises:
        StoreCorruptError: what every store has is not there.
    """
    rows = connection.rows(_STATE)
    meta = {name: value for _, _, name, value in rows}
    if "epoch" not in meta or rows[0][1] is None:
        raise StoreCorruptError("the store's own records of itself are gone; restore a backup")
    return State(
        seq=rows[0][0] or meta.get("seq_floor", 0),
        epoch=meta["epoch"],
        model_id=meta.get("model_id", ""),
        dim=meta.get("dim", 0),
        analyzer=meta.get("analyzer", ""),
        schema=rows[0][1],
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
