"""Removing memories, and removing every trace of them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from agentmem.errors import StoreFullError, StoreTimeoutError
from agentmem.store import reembed
from agentmem.store.connection import Connection
from agentmem.store.faults import no_space, translate
from agentmem.store.rows import integers

if TYPE_CHECKING:
    from agentmem.store.reserve import Reserve

__all__ = [
    "UNFINISHED",
    "drop_everything",
    "forget_keys",
    "ids_of",
    "purge",
    "rewrite",
    "scrub",
]

#: In ``meta`` the seq of the last purge, until nothing of it is in any file, of projections, too.
UNFINISHED = "erasing"
_FINISH = "run `agentmem check --repair` to finish"


def forget_keys(connection: Connection, keys: Sequence[int]) -> None:
    """Remove the live rows of ``keys``; the log stays."""
    for table in ("memories", "vectors", "terms", "access"):
        connection.execute(f"DELETE FROM {table} WHERE key IN carray(?)", (integers(keys),))
    reembed.forget(connection, keys)


def ids_of(connection: Connection, scopes: Sequence[int]) -> list[bytes]:
    """Ids of all memories of these scopes, live or only in the history."""
    found: dict[bytes, None] = {}
    for table in ("versions", "memories"):
        for memory_id in connection.values(
            f"SELECT id FROM {table} WHERE scope IN carray(?)", (integers(scopes),)
        ):
            found[memory_id] = None
    return list(found)


def purge(connection: Connection, ids: Sequence[bytes]) -> tuple[list[int], int]:
    """Remove rows, versions and events of ``ids`` and scopes that nothing uses any more.

    Returns the keys these ids ever had, ascending, and how many of the ids were known.
    """
    if not ids:
        return [], 0
    connection.forget()  # the last event may go, and scopes
    wanted = apsw.carray(tuple(ids))
    live = connection.rows("SELECT key, id, scope FROM memories WHERE id IN carray(?)", (wanted,))
    past = connection.rows(
        "SELECT key, id, scope, seq FROM versions WHERE id IN carray(?)", (wanted,)
    )
    keys = sorted({row[0] for row in (*live, *past)})
    forget_keys(connection, keys)
    seqs = sorted({*keys, *(row[3] for row in past)})  # an ADD's seq is its key
    for table in ("versions", "past_vectors", "events"):
        connection.execute(f"DELETE FROM {table} WHERE seq IN carray(?)", (integers(seqs),))
    connection.execute(
        "DELETE FROM scopes WHERE scope IN carray(?)"
        " AND NOT EXISTS (SELECT 1 FROM memories m WHERE m.scope = scopes.scope)"
        " AND NOT EXISTS (SELECT 1 FROM versions o WHERE o.scope = scopes.scope)",
        (integers({row[2] for row in (*live, *past)}),),
    )
    return keys, len({row[1] for row in (*live, *past)})


def drop_everything(connection: Connection, seq: int) -> None:
    """Empty every table and start a new epoch.  ``seq`` and keys go on from ``seq``, so that
    not even a reader that missed the new epoch takes an old row for a new one."""
    connection.forget()
    reembed.drop(connection)
    for table in (
        *("memories", "vectors", "terms", "events", "versions", "past_vectors", "access"),
        "scopes",
    ):
        connection.execute(f"DELETE FROM {table}")
    connection.execute("DELETE FROM meta")
    connection.execute(
        "INSERT INTO meta(name, value) VALUES ('epoch', ?), ('seq_floor', ?), (?, ?)",
        (secrets.token_hex(16), seq, UNFINISHED, seq),
    )


def rewrite(connection: Connection) -> None:
    """Write the whole database anew, without what lies between and behind its rows.

    ``secure_delete`` alone would not do: when SQLite balances a tree it moves cells and leaves
    their old bytes in the gap of the page.
    """
    large = 256 << 20
    size = connection.value("PRAGMA page_count") * connection.value("PRAGMA page_size")
    connection.execute(f"PRAGMA temp_store = {'FILE' if size > large else 'MEMORY'}")
    try:
        connection.execute("VACUUM")
    finally:
        connection.execute("PRAGMA temp_store = MEMORY")


def scrub(writer: Connection, folder: Path, reserve: Reserve, patience: float) -> int:
    """Write the database anew, empty the WAL, and remove what a restore that was killed has left
    in ``folder``.  For the holder of the write lock; readers are waited for ``patience`` seconds.

    Returns the seq of the last purge, 0 if none is unfinished.

    Raises:
        StoreTimeoutError, StoreFullError: see ``Store.scrub``.
    """
    from agentmem.store import copies

    patience_ms = int(patience * 1000)
    try:
        covered: int = writer.value("SELECT value FROM meta WHERE name = ?", (UNFINISHED,)) or 0
        copies.remove_part(folder)  # whoever makes a copy here holds the lock, too
        reserve.make_room_to_rewrite(writer, patience_ms)
        rewrite(writer)
        emptied = bool(writer.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE, patience_ms))
        if not emptied and no_space(folder):
            raise StoreFullError
    except StoreFullError as error:
        raise StoreFullError(
            f"the disk that holds {str(folder)!r} has no room to write the database anew,"
            f" so erased content may still be in its files; free some space, then {_FINISH}"
        ) from error
    except apsw.Error as error:
        raise translate(error, folder) from error
    if not emptied:
        raise StoreTimeoutError(
            f"a reader held the store {str(folder)!r} for {patience:g} s, so erased content may"
            f" still be in its files; finish readers, then {_FINISH}"
        )
    return covered
