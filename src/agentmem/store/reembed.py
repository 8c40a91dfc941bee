"""Moving a store to another embedding model while it serves.

``begin`` makes a side table, ``vectors_next``.  Chunk by chunk the caller asks a snapshot for
what is still pending, embeds it and puts it there; searches go on with the old vectors.  An
update, or a delete, removes its row from the side table, which makes it pending again, so an
interrupted run resumes where the table ends.  ``finish`` swaps the tables in one transaction
and renews the epoch: every projection was of the old vectors.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentmem.errors import StoreError, VectorError
from agentmem.store.connection import Connection
from agentmem.store.rows import integers
from agentmem.types import VectorSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["begin", "drop", "finish", "forget", "pending", "put", "remaining", "target"]

_SET = (
    "INSERT INTO meta(name, value) VALUES (?, ?)"
    " ON CONFLICT(name) DO UPDATE SET value = excluded.value"
)


def target(connection: Connection) -> tuple[str, int] | None:
    """Model id and dimension of the move under way, or None."""
    found: dict[str, Any] = dict(
        connection.rows("SELECT name, value FROM meta WHERE name IN ('next_model_id', 'next_dim')")
    )
    return (found["next_model_id"], found["next_dim"]) if found else None


def begin(connection: Connection, model_id: str, dim: int) -> None:
    """Start, or resume if the same move is under way; another move under way is dropped."""
    if target(connection) == (model_id, dim):
        return
    drop(connection)
    connection.execute(
        "CREATE TABLE vectors_next("
        "key INTEGER PRIMARY KEY, source INTEGER NOT NULL, data BLOB NOT NULL)"
    )
    connection.execute(_SET, ("next_model_id", model_id))
    connection.execute(_SET, ("next_dim", dim))


def drop(connection: Connection) -> None:
    """Give a move up; the old vectors were never touched."""
    connection.execute("DROP TABLE IF EXISTS vectors_next")
    connection.execute("DELETE FROM meta WHERE name IN ('next_model_id', 'next_dim')")


def pending(connection: Connection, after: int, limit: int) -> list[tuple[int, int, str]]:
    """``(key, seq, content)`` of memories beyond key ``after`` without a next vector."""
    return connection.rows(
        "SELECT m.key, m.seq, m.content FROM memories m WHERE m.key > ?"
        " AND NOT EXISTS (SELECT 1 FROM vectors_next n WHERE n.key = m.key)"
        " ORDER BY m.key LIMIT ?",
        (after, limit),
    )


def remaining(connection: Connection) -> int:
    """How many memories still lack a next vector."""
    found: int = connection.value(
        "SELECT count(*) FROM memories m"
        " WHERE NOT EXISTS (SELECT 1 FROM vectors_next n WHERE n.key = m.key)"
    )
    return found


def put(
    connection: Connection, rows: Sequence[tuple[int, int]], vectors: NDArray[np.float32]
) -> int:
    """Store next vectors of ``(key, seq)`` rows that are still as they were read; returns how
    many were."""
    from agentmem.store.arrays import slice_vectors

    moving = target(connection)
    if moving is None:
        raise StoreError("no re-embedding is under way; begin one first")
    if vectors.shape != (len(rows), moving[1]):
        raise VectorError(f"vectors have shape {vectors.shape}, not {(len(rows), moving[1])}")
    source = VectorSource.MODEL
    blobs = slice_vectors(vectors, [source] * len(rows))
    before = connection.raw.total_changes()
    connection.many(
        "INSERT OR REPLACE INTO vectors_next(key, source, data)"
        " SELECT key, ?, ? FROM memories WHERE key = ? AND seq = ?",
        [(int(source), blob, *row) for blob, row in zip(blobs, rows, strict=True)],
    )
    return connection.raw.total_changes() - before


def forget(connection: Connection, keys: Sequence[int]) -> None:
    """The text of ``keys`` changed or is gone."""
    if target(connection) is not None:
        connection.execute("DELETE FROM vectors_next WHERE key IN carray(?)", (integers(keys),))


def finish(connection: Connection) -> None:
    """Swap.

    Raises:
        StoreError: memories are still pending; embed them (they were written meanwhile).
    """
    moving = target(connection)
    if moving is None:
        raise StoreError("no re-embedding is under way; begin one first")
    if pending(connection, 0, 1):
        raise StoreError("memories were written meanwhile; embed what is pending, then finish")
    connection.execute("DELETE FROM past_vectors")  # callers' vectors belong to the old model
    connection.execute("DROP TABLE vectors")
    connection.execute("ALTER TABLE vectors_next RENAME TO vectors")
    for name, value in (
        ("model_id", moving[0]),
        ("dim", moving[1]),
        ("epoch", secrets.token_hex(16)),
    ):
        connection.execute(_SET, (name, value))
    connection.execute("DELETE FROM meta WHERE name IN ('next_model_id', 'next_dim')")
