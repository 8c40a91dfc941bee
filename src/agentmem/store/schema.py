"""Tables, and the named migrations that make them.

``memories``   one row per live memory.  Its ``key`` is the ``seq`` of its ADD event, so keys
               ascend with time, are never reused, and the ADD event needs no index.
``vectors``    float16 where the model made it (source 1), float32 where a caller did (2).
``terms``      keyword statistics: distinct term hashes (u64, ascending) and counts (u16),
               little-endian, and the text's length in terms.
``events``     the log.  ``seq`` is assigned under the write lock and only grows.
``versions``   for every UPDATE and DELETE the whole row before it; ``seq`` is the event's.
``past_vectors``  for those of them that replaced or removed a caller's vector, or put one in
               place of the model's, the vector before it: float32, NULL where it was the model's,
               which its text makes again (see ``past``).
``scopes``     the four scope ids of a run, interned; ``next_position`` numbers its memories.
``access``     how often and when last a memory was read; written in batches, no events.
``meta``       names and values: epoch, model, analyzer, watermarks.

No index over all rows stands on a random value: ids are time-ordered (UUIDv7), and content
hashes, looked up within their scope, are shelved: the memories of a scope stand on shelves in
the order of their positions, and a new one only touches the last (see ``shelf_of``).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from math import isqrt

from agentmem.errors import SchemaVersionError, StoreCorruptError
from agentmem.store.connection import Connection
from agentmem.times import now_micros

__all__ = [
    "MEMORY_COLUMNS",
    "MIGRATIONS",
    "Migration",
    "create_or_migrate",
    "is_current",
    "pending",
    "require_current",
    "shelf_of",
]

#: "AgMm": tells an AgentMem database from any other SQLite file.
APPLICATION_ID = 0x41674D6D

#: Columns of ``memories`` in their stored order, but for ``shelf``, which follows from the
#: position; ``versions`` repeats them after its ``seq``.
MEMORY_COLUMNS = (
    "key",
    "id",
    "scope",
    "content",
    "content_hash",
    "actor_id",
    "role",
    "memory_type",
    "level",
    "importance",
    "metadata",
    "event_at",
    "created_at",
    "updated_at",
    "expires_at",
    "position",
    "seq",
    "idempotency_key",
)

_MEMORY_ROW = """
    id BLOB NOT NULL,
    scope INTEGER NOT NULL,
    content TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    actor_id TEXT,
    role TEXT,
    memory_type TEXT NOT NULL,
    level,
    importance REAL,
    metadata TEXT,
    event_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER,
    position INTEGER NOT NULL,
"""

_INITIAL = f"""
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE scopes(
    scope INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT, agent_id TEXT, run_id TEXT, org_id TEXT,
    next_position INTEGER NOT NULL
);
-- NULLs are equal here, and '' is no scope id.
CREATE UNIQUE INDEX scopes_ids ON scopes(
    ifnull(user_id, ''), ifnull(agent_id, ''), ifnull(run_id, ''), ifnull(org_id, ''));
CREATE INDEX scopes_user ON scopes(user_id) WHERE user_id IS NOT NULL;
CREATE INDEX scopes_agent ON scopes(agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX scopes_run ON scopes(run_id) WHERE run_id IS NOT NULL;
CREATE INDEX scopes_org ON scopes(org_id) WHERE org_id IS NOT NULL;
CREATE TABLE memories(
    key INTEGER PRIMARY KEY,
    {_MEMORY_ROW}
    seq INTEGER NOT NULL,
    idempotency_key TEXT,
    shelf INTEGER NOT NULL
);
CREATE UNIQUE INDEX memories_id ON memories(id);
CREATE INDEX memories_text ON memories(scope, shelf, content_hash);
CREATE UNIQUE INDEX memories_idempotency ON memories(scope, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE TABLE vectors(key INTEGER PRIMARY KEY, source INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE terms(
    key INTEGER PRIMARY KEY, length INTEGER NOT NULL, terms BLOB NOT NULL, counts BLOB NOT NULL);
CREATE TABLE events(
    seq INTEGER PRIMARY KEY, key INTEGER NOT NULL, event INTEGER NOT NULL, at INTEGER NOT NULL,
    actor_id TEXT);
CREATE TABLE versions(
    seq INTEGER PRIMARY KEY,
    key INTEGER NOT NULL,
    {_MEMORY_ROW}
    previous_seq INTEGER NOT NULL,
    idempotency_key TEXT
);
CREATE INDEX versions_id ON versions(id);
CREATE INDEX versions_scope ON versions(scope);
CREATE TABLE access(key INTEGER PRIMARY KEY, count INTEGER NOT NULL, last_at INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """A step from one schema to the next, applied and recorded in one transaction."""

    name: str
    sql: str


_PAST_VECTORS = "CREATE TABLE past_vectors(seq INTEGER PRIMARY KEY, data BLOB)"

#: In order, append-only: a released one is never edited.
MIGRATIONS: tuple[Migration, ...] = (
    Migration("0001-initial", _INITIAL),
    Migration("0002-past-vectors", _PAST_VECTORS),
)


def shelf_of(position: int) -> int:
    """The shelf of a memory in its scope: shelf s holds positions 16 s^2 to 16 (s + 1)^2 - 1.

    An index on ``(scope, content_hash)`` puts a batch of 1,000 new texts of one large scope on
    1,000 different pages, each written whole (measured at 300,000 rows: 5 times the bytes, a
    rate of 0.4).  Shelves of a size that grows with the square root keep both costs small: a
    scope of a million writes to the 30 pages of its last shelf, and a look-up asks 250 shelves.
    """
    return isqrt(position >> 4)


def pending(connection: Connection) -> tuple[Migration, ...]:
    """The migrations that the database has yet to see.

    Raises:
        SchemaVersionError: it has seen one that this version does not know.
        StoreCorruptError: another program's database.
    """
    application = connection.value("PRAGMA application_id")
    has_tables = connection.value("SELECT count(*) FROM sqlite_schema")
    if application != APPLICATION_ID:
        if application or has_tables:
            raise StoreCorruptError(
                "the database in this folder was not made by AgentMem "
                f"(application id {application:#x}); give another folder"
            )
        return MIGRATIONS
    applied = set(connection.values("SELECT name FROM migrations"))
    known = {migration.name for migration in MIGRATIONS}
    unknown = sorted(applied - known)
    if unknown:
        raise SchemaVersionError(
            f"the store has schema {unknown[-1]!r}, this version of AgentMem knows only up to "
            f"{MIGRATIONS[-1].name!r}; upgrade it: pip install -U agentmem"
        )
    return tuple(migration for migration in MIGRATIONS if migration.name not in applied)


def require_current(seen: str) -> None:
    """
    Raises:
        SchemaVersionError: another version of AgentMem has migrated the store since it was
            opened here.
    """
    if seen != MIGRATIONS[-1].name:
        raise SchemaVersionError(
            f"the store now has schema {seen!r}, and was opened with {MIGRATIONS[-1].name!r}: a "
            "newer AgentMem has migrated it; upgrade this one: pip install -U agentmem"
        )


def is_current(connection: Connection) -> bool:
    """Whether nothing is left to apply."""
    return not pending(connection)


def create_or_migrate(connection: Connection) -> list[str]:
    """Apply what is pending, each migration in its own transaction; returns their names.

    The caller holds the write lock.
    """
    names = []
    for migration in pending(connection):
        connection.execute("BEGIN IMMEDIATE")
        try:
            _apply(connection, migration)
            connection.execute("COMMIT")
        except BaseException:  # an interrupt, too; raised again
            connection.rollback()
            raise
        names.append(migration.name)
    return names


def _apply(connection: Connection, migration: Migration) -> None:
    new = connection.value("PRAGMA application_id") != APPLICATION_ID
    if new:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(
            "CREATE TABLE migrations(name TEXT PRIMARY KEY, applied_at INTEGER NOT NULL)"
        )
    connection.execute(migration.sql)
    connection.execute(
        "INSERT INTO migrations(name, applied_at) VALUES (?, ?)", (migration.name, now_micros())
    )
    if new:
        connection.execute(
            "INSERT INTO meta(name, value) VALUES ('epoch', ?)", (secrets.token_hex(16),)
        )
