"""Is the store sound?  Everything that its tables promise each other, looked at."""

from __future__ import annotations

from agentmem.errors import StoreCorruptError
from agentmem.store.connection import Connection
from agentmem.store.snapshot import Snapshot
from agentmem.times import MAX_TIME, MIN_TIME
from agentmem.types import MEMORY_TYPES, Event, VectorSource

__all__ = ["problems"]

_SHOWN = 10  # keys named per problem
_CHUNK = 10_000  # texts hashed at a time

_TYPES = ", ".join(f"'{name}'" for name in MEMORY_TYPES)
_YEARS = f"NOT BETWEEN {MIN_TIME} AND {MAX_TIME}"  # 1 to 9999; NULL is not outside
_TIMES = " OR ".join(
    f"{name} {_YEARS}" for name in ("event_at", "created_at", "updated_at", "expires_at")
)

#: What must not be found: a sentence, and the query of the keys that break it.
_RULES: tuple[tuple[str, str], ...] = (
    (
        "memories whose id or hash is not 16 bytes",
        "SELECT key FROM memories WHERE length(id) <> 16 OR length(content_hash) <> 16",
    ),
    (
        "memories without a vector",
        "SELECT key FROM memories WHERE key NOT IN (SELECT key FROM vectors)",
    ),
    (
        "memories without keyword terms",
        "SELECT key FROM memories WHERE key NOT IN (SELECT key FROM terms)",
    ),
    (
        "vectors without a memory",
        "SELECT key FROM vectors WHERE key NOT IN (SELECT key FROM memories)",
    ),
    (
        "keyword terms without a memory",
        "SELECT key FROM terms WHERE key NOT IN (SELECT key FROM memories)",
    ),
    (
        "keyword terms whose counts do not match",
        "SELECT key FROM terms WHERE length(terms) <> 4 * length(counts) OR length(terms) % 8",
    ),
    (
        "memories whose metadata is no JSON object",
        "SELECT key FROM memories WHERE metadata IS NOT NULL"
        " AND CASE WHEN json_valid(metadata) THEN json_type(metadata) <> 'object' ELSE 1 END",
    ),
    (
        "memories whose text is empty or has a NUL character",
        "SELECT key FROM memories WHERE content = '' OR instr(content, char(0))",
    ),
    (
        "memories of an unknown memory_type",
        f"SELECT key FROM memories WHERE memory_type NOT IN ({_TYPES})",
    ),
    (
        "memories with an importance outside 0 to 1",
        "SELECT key FROM memories WHERE importance NOT BETWEEN 0 AND 1",
    ),
    (
        "memories with a time outside the years 1 to 9999",
        f"SELECT key FROM memories WHERE {_TIMES}",
    ),
    (
        "versions with a time outside the years 1 to 9999",
        f"SELECT key FROM versions WHERE {_TIMES}",
    ),
    (
        "events with a time outside the years 1 to 9999",
        f"SELECT key FROM events WHERE at {_YEARS}",
    ),
    (
        "scopes without an id",
        "SELECT scope FROM scopes WHERE coalesce(user_id, agent_id, run_id, org_id) IS NULL",
    ),
    (
        "memories of an unknown scope",
        "SELECT key FROM memories WHERE scope NOT IN (SELECT scope FROM scopes)",
    ),
    (
        "positions given twice in one scope",
        "SELECT max(key) FROM memories GROUP BY scope, position HAVING count(*) > 1",
    ),
    (
        "positions beyond their scope's next one",
        "SELECT m.key FROM memories m JOIN scopes s ON s.scope = m.scope"
        " WHERE m.position >= s.next_position",
    ),
    (
        "memories without their ADD event",
        "SELECT m.key FROM memories m LEFT JOIN events e ON e.seq = m.key"
        f" WHERE e.key IS NOT m.key OR e.event IS NOT {int(Event.ADD)}",
    ),
    (
        "memories that were added, never deleted, and are not there",
        f"SELECT key FROM events WHERE event = {int(Event.ADD)}"
        " AND key NOT IN (SELECT key FROM memories)"
        f" AND key NOT IN (SELECT key FROM events WHERE event = {int(Event.DELETE)})",
    ),
    (
        "memories whose last event is not the one they name",
        "SELECT m.key FROM memories m LEFT JOIN events e ON e.seq = m.seq"
        f" WHERE e.key IS NOT m.key OR e.event IS {int(Event.DELETE)}",
    ),
    (
        "versions without their event",
        "SELECT v.key FROM versions v LEFT JOIN events e ON e.seq = v.seq"
        f" WHERE e.key IS NOT v.key OR e.event NOT IN ({int(Event.UPDATE)}, {int(Event.DELETE)})",
    ),
    (
        "past vectors without their version",
        "SELECT seq FROM past_vectors WHERE seq NOT IN (SELECT seq FROM versions)",
    ),
    (
        "updates that kept no version of what they replaced",
        f"SELECT key FROM events WHERE event = {int(Event.UPDATE)}"
        " AND seq NOT IN (SELECT seq FROM versions)",
    ),
    (
        "versions that do not follow one another",
        "SELECT key FROM (SELECT key, previous_seq, lag(seq, 1, key) OVER"
        " (PARTITION BY key ORDER BY seq) AS expected FROM versions)"
        " WHERE previous_seq <> expected",
    ),
    (
        "memories that do not follow their last version",
        "SELECT m.key FROM memories m WHERE m.seq <> ifnull("
        "(SELECT max(v.seq) FROM versions v WHERE v.id = m.id AND v.key = m.key), m.key)",
    ),
    (
        "deleted memories that are still there",
        f"SELECT key FROM events WHERE event = {int(Event.DELETE)}"
        " AND key IN (SELECT key FROM memories)",
    ),
    (
        "events whose time goes back",
        "SELECT key FROM (SELECT key, at, lag(at) OVER (ORDER BY seq) AS earlier FROM events)"
        " WHERE at < earlier",
    ),
)


def problems(snapshot: Snapshot) -> list[str]:
    """One sentence per kind of problem, naming some of the keys; empty when sound."""
    connection = snapshot._db
    try:
        answer = connection.values("PRAGMA integrity_check")
    except StoreCorruptError as error:
        answer = [str(error)]
    if answer != ["ok"]:
        return [f"SQLite: {row}" for row in answer]  # the tables cannot be trusted to answer
    found: list[str] = []
    for sentence, sql in _RULES:
        found.extend(_sentence(sentence, connection.values(sql)))
    found.extend(_sentence("vectors of a wrong size", _odd_vectors(connection, snapshot.dim)))
    found.extend(_sentence("vectors without a direction", _undirected(connection, snapshot.dim)))
    found.extend(_sentence("texts that do not match their hash", _wrong_hashes(connection)))
    return found


def _sentence(what: str, keys: list[int]) -> list[str]:
    if not keys:
        return []
    shown = ", ".join(map(str, keys[:_SHOWN])) + (", ..." if len(keys) > _SHOWN else "")
    return [f"{len(keys)} {what}: keys {shown}"]


def _odd_vectors(connection: Connection, dim: int) -> list[int]:
    return connection.values(
        "SELECT key FROM vectors WHERE length(data) <>"
        f" CASE source WHEN {int(VectorSource.MODEL)} THEN 2 * ?1"
        f" WHEN {int(VectorSource.CALLER)} THEN 4 * ?1 ELSE -1 END",
        (dim,),
    )


def _undirected(connection: Connection, dim: int) -> list[int]:
    """Vectors that are not of unit length.  A model may have made zeros, of a text in which it
    knows no token; a caller's zeros are refused."""
    import numpy as np

    dtypes = {int(VectorSource.MODEL): np.float16, int(VectorSource.CALLER): np.float32}
    found = []
    for key, source, data in connection.raw.execute("SELECT key, source, data FROM vectors"):
        dtype = dtypes.get(source)
        if dtype is None or len(data) != dim * np.dtype(dtype).itemsize:
            continue  # named as a vector of a wrong size
        vector = np.frombuffer(data, dtype).astype(np.float32)
        squared = float(vector @ vector)
        made_zeros = squared == 0 and source == VectorSource.MODEL
        if not (abs(squared - 1) < 0.01 or made_zeros):
            found.append(key)
    return found


def _wrong_hashes(connection: Connection) -> list[int]:
    from agentmem._native.hashing import hash_texts

    wrong: list[int] = []
    last = 0
    while rows := connection.rows(
        "SELECT key, content, content_hash FROM memories WHERE key > ? ORDER BY key LIMIT ?",
        (last, _CHUNK),
    ):
        digests = hash_texts([content for _, content, _ in rows])
        if digests != b"".join([stored for _, _, stored in rows]):
            wrong.extend(
                key
                for i, (key, _, stored) in enumerate(rows)
                if digests[16 * i : 16 * i + 16] != stored
            )
        last = rows[-1][0]
    return wrong
