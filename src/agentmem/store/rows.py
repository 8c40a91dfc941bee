"""Between rows of ``memories`` and ``types.Record``; scope ids are interned here."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any

import apsw

from agentmem.store.connection import Connection
from agentmem.store.places import ScopePlace
from agentmem.store.schema import MEMORY_COLUMNS
from agentmem.types import SCOPE_FIELDS, PartitionKey, Record, Scope

__all__ = [
    "RECORD_COLUMNS",
    "find_scopes",
    "integers",
    "make_scope",
    "partition_scopes",
    "read_texts",
    "scope_table",
    "scopes_in",
    "scopes_matching",
    "to_records",
]

#: ``SELECT`` list of a record, of table ``m``.
RECORD_COLUMNS = ", ".join(f"m.{name}" for name in MEMORY_COLUMNS)

_FIND = (
    "SELECT ?5, scope, next_position FROM scopes WHERE ifnull(user_id, '') = ifnull(?1, '')"
    " AND ifnull(agent_id, '') = ifnull(?2, '') AND ifnull(run_id, '') = ifnull(?3, '')"
    " AND ifnull(org_id, '') = ifnull(?4, '')"
)


def integers(values: Iterable[int]) -> Any:
    """A parameter for ``carray``: any number of int64 values in one parameter."""
    from array import array

    data = array("q", values)
    # A carray cannot be empty; a key is never negative.
    return apsw.carray(data if data else array("q", [-1]))


def find_scopes(connection: Connection, scopes: Iterable[Scope]) -> dict[Scope, ScopePlace]:
    """The place of each exact scope that was ever used; remembered with the connection."""
    known = connection.places
    known.make_room()
    places = {scope: known.get(scope) for scope in scopes}
    unknown = [scope for scope, place in places.items() if place is None]
    if unknown:
        for i, number, position in connection.rows_of_many(
            _FIND, [(*scope.as_tuple(), i) for i, scope in enumerate(unknown)]
        ):
            place = places[unknown[i]] = ScopePlace(number, position)
            known.put(unknown[i], place)
    return {scope: place for scope, place in places.items() if place is not None}


def make_scope(connection: Connection, scope: Scope) -> ScopePlace:
    """The place of a scope that is new.  Needs the write transaction."""
    connection.execute(
        "INSERT INTO scopes(user_id, agent_id, run_id, org_id, next_position)"
        " VALUES (?, ?, ?, ?, 0)",
        scope.as_tuple(),
    )
    place = ScopePlace(connection.raw.last_insert_rowid(), 0, set())
    connection.places.put(scope, place)
    return place


def read_texts(connection: Connection, place: ScopePlace) -> None:
    """Learn which texts a scope has.  Needs the write transaction, or others add some meanwhile."""
    place.texts = set()
    connection.places.note(
        place,
        connection.values(
            "SELECT m.content_hash FROM memories m INDEXED BY memories_text WHERE m.scope = ?",
            (place.number,),
        ),
    )


def scopes_matching(connection: Connection, scope: Scope) -> list[int]:
    """Ids of all scopes that have the given values; of all scopes if none is given."""
    given = scope.given()
    where = " AND ".join(f"{name} = ?" for name in given) or "1"
    return connection.values(f"SELECT scope FROM scopes WHERE {where}", list(given.values()))


def partition_scopes(connection: Connection, partition: PartitionKey) -> list[int] | None:
    """Scope ids of a partition; None for the whole store."""
    if partition.column is None:
        return None
    return connection.values(
        f"SELECT scope FROM scopes WHERE {_scope_column(partition)} = ?", (partition.value,)
    )


def scopes_in(
    connection: Connection, partition: PartitionKey, known: MutableMapping[int, Scope]
) -> list[int]:
    """Scope ids of a partition that is not the whole store; ``known`` is a cache that learns what
    they are, which whoever reads the partition's rows will want to know."""
    rows = connection.rows(
        "SELECT scope, user_id, agent_id, run_id, org_id FROM scopes"
        f" WHERE {_scope_column(partition)} = ?",
        (partition.value,),
    )
    known.update((row[0], Scope(*row[1:])) for row in rows)
    return [row[0] for row in rows]


def _scope_column(partition: PartitionKey) -> str:
    """
    Raises:
        ValueError: the partition is by no column of a scope.
    """
    if partition.column not in SCOPE_FIELDS:
        raise ValueError(f"no scope column {partition.column!r}; use one of {SCOPE_FIELDS}")
    return partition.column


def scope_table(
    connection: Connection, ids: Iterable[int], known: MutableMapping[int, Scope]
) -> dict[int, Scope]:
    """The scopes of ``ids``; ``known`` is a cache that this fills."""
    wanted = set(ids)
    missing = [scope for scope in wanted if scope not in known]
    if missing:
        for row in connection.rows(
            "SELECT scope, user_id, agent_id, run_id, org_id FROM scopes WHERE scope IN carray(?)",
            (integers(missing),),
        ):
            known[row[0]] = Scope(*row[1:])
    return {scope: known[scope] for scope in wanted}


def to_records(
    connection: Connection, rows: Sequence[tuple[Any, ...]], known: MutableMapping[int, Scope]
) -> list[Record]:
    """Records of rows selected as ``RECORD_COLUMNS``, in their order."""
    if any(row[2] not in known for row in rows):
        scope_table(connection, (row[2] for row in rows), known)
    return [
        Record(
            row[0],  # key
            row[1],  # id
            known[row[2]],
            row[3],  # content
            row[4],  # content_hash
            row[5],  # actor_id
            row[6],  # role
            row[7],  # memory_type
            row[8],  # level
            row[9],  # importance
            row[10],  # metadata
            row[11],  # event_at
            row[12],  # created_at
            row[13],  # updated_at
            row[14],  # expires_at
            row[15],  # position
            row[16],  # seq
            row[0],  # added_seq: a key is the seq of its ADD
            row[17],  # idempotency_key
        )
        for row in rows
    ]
