"""The SQL of a filter finds what the algebra says, on rows and filters of every kind."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem.config import Limits
from agentmem.errors import FilterError, LimitError
from agentmem.ports import Snapshot
from agentmem.store import Store, filters
from agentmem.types import NewMemory, PartitionKey, Record, Scope

WHOLE = PartitionKey(None, None)

# -- the algebra again, written plainly: the judge ------------------------------------------


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else type(value).__name__


def fields_of(record: Record) -> dict[str, Any]:
    scope = record.scope
    return {
        "id": str(uuid.UUID(bytes=record.id)),
        "user_id": scope.user_id,
        "agent_id": scope.agent_id,
        "run_id": scope.run_id,
        "org_id": scope.org_id,
        "actor_id": record.actor_id,
        "role": record.role,
        "content": record.content,
        "memory": record.content,
        "hash": record.content_hash.hex(),
        "memory_type": record.memory_type,
        "level": record.level,
        "importance": record.importance,
        "timestamp": record.event_at,
        "event_at": record.event_at,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "expires_at": record.expires_at,
        "expiration_date": record.expires_at,
        "position": record.position,
        "idempotency_key": record.idempotency_key,
    }


TIMES = {"timestamp", "event_at", "created_at", "updated_at", "expires_at", "expiration_date"}


def stored(record: Record, name: str) -> Any:
    if not name.startswith("metadata."):
        return fields_of(record)[name]
    value = json.loads(record.metadata) if record.metadata else None
    for key in name.split(".")[1:]:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def alike(value: Any, operand: Any) -> bool:
    return kind(value) == kind(operand) and kind(value) in ("bool", "number", "string")


def equal(value: Any, operand: Any) -> bool:
    return alike(value, operand) and bool(value == operand)


def compares(name: str, operator: str, operand: Any, value: Any) -> bool:
    if operator == "exists":
        return (value is not None) == operand
    if operator == "ne":
        return not compares(name, "eq", operand, value)
    if operator == "nin":
        return not compares(name, "in", operand, value)
    if value is None:
        return False
    if name in TIMES:
        seconds = operand if isinstance(operand, list) else [operand]
        micros = [one * 1_000_000 for one in seconds]
        operand = micros if isinstance(operand, list) else micros[0]
    if operator == "eq":
        return equal(value, operand)
    if operator == "in":
        return any(equal(value, one) for one in operand)
    if operator == "contains":
        if isinstance(value, list):
            return any(equal(one, operand) for one in value)
        return isinstance(value, str) and isinstance(operand, str) and operand in value
    if operator == "icontains":
        if isinstance(value, list):
            return any(isinstance(v, str) and v.casefold() == operand.casefold() for v in value)
        return isinstance(value, str) and operand.casefold() in value.casefold()
    if not alike(value, operand) or isinstance(value, bool):
        return False
    left, right = value, operand
    return bool(
        {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[
            operator
        ]
    )


def matches(record: Record, node: dict[str, Any]) -> bool:
    for name, value in node.items():
        if name == "AND":
            found = all(matches(record, one) for one in value)
        elif name == "OR":
            found = any(matches(record, one) for one in value)
        elif name == "NOT":
            some = value if isinstance(value, list) else [value]
            found = not any(matches(record, one) for one in some)
        else:
            conditions = value if isinstance(value, dict) else {"eq": value}
            found = all(
                compares(name, operator, operand, stored(record, name))
                for operator, operand in conditions.items()
            )
        if not found:
            return False
    return True


# -- rows and filters of every kind ---------------------------------------------------------

TEXTS = [
    "a",
    "A",
    "ab",
    "b",
    "1",
    "1.0",
    "true",
    "Straße",
    "STRASSE",
    "x\0y",
    "\0",
    "é",
    "😀a",
    "%",
]
NUMBERS = [0, 1, -1, 2, 0.5, 1.0, 0.1, 1e300, 2**53, 2**53 + 1, 2**63, -(2**63), 2**70, 5e-324]
NUMBERS += [2.0**63, -(2.0**63), 2**63 - 1, 2.0**70, 1.7976931348623157e308]
#: Numbers that no double is, on both sides of some that doubles are.
HUGE = [2**63 + 1, 2**64 - 1, -(2**63) - 1, 2**70 - 1, 2**70 + 1, 10**300, 10**309, -(10**309)]
NUMBERS += HUGE[:5]
texts = st.sampled_from(TEXTS)
numbers = st.one_of(st.sampled_from(NUMBERS), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(texts, numbers, st.booleans())
leaves = st.one_of(scalars, st.none(), st.lists(st.one_of(scalars, st.none()), max_size=3))
metadata = st.dictionaries(
    st.sampled_from(["a", "b", "ключ"]),
    st.one_of(leaves, st.dictionaries(st.sampled_from(["a", "b"]), leaves, max_size=2)),
    max_size=3,
)
SECONDS = st.integers(0, 3)  # since 1970: few, so that times meet
IDS = [str(uuid.UUID(int=i)) for i in range(1, 5)]


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


rows = st.fixed_dictionaries(
    {
        "content": texts,
        "scope": st.builds(Scope, texts, maybe(texts), maybe(texts), maybe(texts)),
        "actor_id": maybe(texts),
        "role": maybe(texts),
        "memory_type": texts,
        "level": maybe(st.one_of(texts, st.sampled_from([0, 1, -1, 2**53 + 1]))),
        "importance": maybe(st.sampled_from([0.0, 0.1, 0.5, 1.0])),
        "metadata": maybe(metadata),
        "ascii": st.booleans(),
        "event_at": SECONDS.map(lambda second: second * 1_000_000),
        "expires_at": maybe(SECONDS.map(lambda second: second * 1_000_000)),
    }
)

TEXT_FIELDS = [
    "user_id", "agent_id", "run_id", "org_id", "actor_id", "role", "content", "memory",
    "memory_type", "idempotency_key",
]  # fmt: skip
PATHS = ["metadata.a", "metadata.b", "metadata.ключ", "metadata.a.b", "metadata.b.a"]
FREE_FIELDS = [*TEXT_FIELDS, "level", "importance", "position", *PATHS]


def operators(operand: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    ordered = dict.fromkeys(("eq", "ne", "gt", "gte", "lt", "lte"), operand)
    lists = st.lists(operand, max_size=4)
    return st.fixed_dictionaries(
        {}, optional={**ordered, "in": lists, "nin": lists, "exists": st.booleans()}
    ).filter(bool)


def condition() -> st.SearchStrategy[dict[str, Any]]:
    operands = st.one_of(scalars, scalars, st.sampled_from(HUGE), st.integers())
    free = operators(operands)
    substring = st.fixed_dictionaries({}, optional={"contains": operands, "icontains": texts})
    on_free = st.dictionaries(
        st.sampled_from(FREE_FIELDS),
        st.one_of(operands, free, substring.filter(bool)),
        min_size=1,
        max_size=2,
    )
    on_times = st.dictionaries(
        st.sampled_from(["timestamp", "expiration_date", "created_at"]),
        operators(SECONDS),
        min_size=1,
        max_size=1,
    )
    on_ids = st.dictionaries(
        st.just("id"), st.one_of(st.sampled_from(IDS), operators(st.sampled_from(IDS))), min_size=1
    )
    return st.one_of(on_free, on_free, on_times, on_ids)


nodes = st.recursive(
    condition(),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "AND": st.lists(inner, max_size=3),
            "OR": st.lists(inner, max_size=3),
            "NOT": st.one_of(inner, st.lists(inner, max_size=2)),
        },
    ),
    max_leaves=6,
)


class Undo(Exception):
    pass


def to_memory(fill: Any, row: dict[str, Any]) -> NewMemory:
    fields = dict(row)
    ascii_only = fields.pop("ascii")
    if fields["metadata"] is not None:
        fields["metadata"] = json.dumps(fields["metadata"], ensure_ascii=ascii_only)
    memory: NewMemory = fill.new(fields.pop("content"), **fields)
    return memory


def test_sql_agrees_with_the_algebra(store: Store, fill: Any) -> None:
    """Of the present, and of a state whose rows have all been changed or removed since."""

    @settings(max_examples=300)
    @given(st.lists(rows, min_size=1, max_size=6), st.lists(nodes, min_size=1, max_size=4))
    def agrees(some: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
        with suppress(Undo), store.write() as tx:
            memories = [to_memory(fill, row) for row in some]
            for i, memory in enumerate(memories):
                memory.id = uuid.UUID(int=i + 1).bytes
            keys = fill.insert(tx, memories)
            records = list(tx.view.records(keys).values())
            expected = [[r.key for r in records if matches(r, node)] for node in asked]
            check(tx.view, asked, expected)
            then = tx.view.seq
            tx.update([replace(record, role="a", metadata=None) for record in records][::2],
                      None, None, None)  # fmt: skip
            tx.delete(keys[1:])
            check(tx.view.back_to(then, fill.remake), asked, expected)
            raise Undo

    def check(snapshot: Snapshot, asked: list[dict[str, Any]], expected: list[list[int]]) -> None:
        for node, keys in zip(asked, expected, strict=True):
            where = filters.parse(node)
            assert snapshot.matching_keys(WHOLE, where).tolist() == keys, node
            assert snapshot.count(where) == len(keys), node
            page = snapshot.page(where, order="created_at", limit=100, after=None)
            assert [record.key for record in page] == keys, node

    agrees()


def found(store: Store, node: dict[str, Any]) -> list[str]:
    with store.read() as snapshot:
        page = snapshot.page(filters.parse(node), order="created_at", limit=99, after=None)
        return [record.content for record in page]


@pytest.fixture
def people(store: Store, fill: Any) -> Store:
    fill.add(store, "ann", metadata='{"age": 41, "tags": ["Red", "blue"], "ok": true, "x": null}')
    fill.add(
        store, "bob", metadata='{"age": "41", "a.b": 1, "q\\"t": 2, "": {"c": 3}}', role="user"
    )
    fill.add(store, "cid", scope=Scope(user_id="cid", run_id="r"), importance=0.5, level=3)
    fill.add(store, "dan", scope=Scope(user_id="dan"), metadata='{"big": 9223372036854775808.0}')
    return store


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({}, ["ann", "bob", "cid", "dan"]),
        ({"metadata.age": 41}, ["ann"]),
        ({"metadata.age": 41.0}, ["ann"]),
        ({"metadata.age": "41"}, ["bob"]),
        ({"metadata.age": {"ne": 41}}, ["bob", "cid", "dan"]),
        ({"metadata.tags": {"contains": "blue"}}, ["ann"]),
        ({"metadata.tags": {"contains": "red"}}, []),
        ({"metadata.tags": {"icontains": "red"}}, ["ann"]),
        ({"metadata.ok": True}, ["ann"]),
        ({"metadata.ok": 1}, []),
        ({"metadata.x": {"exists": True}}, []),
        ({"metadata.x": {"exists": False}}, ["ann", "bob", "cid", "dan"]),
        ({'metadata."a.b"': 1}, ["bob"]),
        ({'metadata."q\\"t"': 2}, ["bob"]),
        ({'metadata."".c': 3}, ["bob"]),
        ({"user_id": "cid"}, ["cid"]),
        ({"user_id": "*"}, []),
        ({"role": {"exists": False}}, ["ann", "cid", "dan"]),
        ({"NOT": {"role": "user"}}, ["ann", "cid", "dan"]),
        ({"NOT": [{"role": "user"}, {"user_id": "cid"}]}, ["ann", "dan"]),
        ({"AND": []}, ["ann", "bob", "cid", "dan"]),
        ({"OR": []}, []),
        ({"NOT": []}, ["ann", "bob", "cid", "dan"]),
        ({"NOT": {}}, []),
        ({"OR": [{}]}, ["ann", "bob", "cid", "dan"]),
        ({"AND": [{}, {"OR": []}]}, []),
        ({"role": {"in": []}}, []),
        ({"role": {"nin": []}}, ["ann", "bob", "cid", "dan"]),
        ({"level": {"gt": 2}}, ["cid"]),
        ({"importance": {"gte": 0.5, "lt": 0.6}}, ["cid"]),
        ({"created_at": {"gt": "2020-01-01"}}, ["ann", "bob", "cid", "dan"]),
        ({"created_at": {"gt": datetime(2020, 1, 1, tzinfo=UTC)}}, ["ann", "bob", "cid", "dan"]),
        ({"created_at": {"lt": "2020-01-01T00:00:00+02:00"}}, []),
        ({"content": {"icontains": "B"}}, ["bob"]),
        ({"id": {"contains": "0000-000000000002"}}, ["bob"]),
        ({"position": {"gt": 0}}, ["bob"]),
        ({"metadata.big": 2**63}, ["dan"]),
        ({"metadata.big": 2**63 + 1}, []),
        ({"metadata.big": {"lt": 2**63 + 1}}, ["dan"]),
        ({"metadata.big": {"gte": 2**63 + 1}}, []),
        ({"metadata.big": {"gt": 2**63 - 1}}, ["dan"]),
        ({"metadata.big": {"in": [2**63 + 1, 10**400]}}, []),
        ({"metadata.big": {"nin": [2**63]}}, ["ann", "bob", "cid"]),
        ({"metadata.big": {"lt": 10**400, "gt": -(10**400)}}, ["dan"]),
        ({"metadata.age": {"gt": 10**400}}, []),
        ({"NOT": {"metadata.age": {"gte": 1e19}}}, ["ann", "bob", "cid", "dan"]),
        ({"NOT": {"metadata.x": {"lt": 10**20}}}, ["ann", "bob", "cid", "dan"]),
        ({"NOT": {'metadata.""': {"gt": -(10**20)}}}, ["ann", "bob", "cid", "dan"]),
        ({"metadata.age": {"lt": 10**5000}}, ["ann"]),
    ],
)  # fmt: skip
def test_what_each_operator_finds(people: Store, node: Any, expected: list[str]) -> None:
    assert found(people, node) == expected


def test_hash_and_id_are_found_however_they_are_written(people: Store, fill: Any) -> None:
    digest = fill.hash("bob").hex()
    assert found(people, {"hash": digest.upper()}) == ["bob"]
    assert found(people, {"hash": {"in": [digest, "0" * 32]}}) == ["bob"]
    assert found(people, {"id": "{00000000000000000000000000000002}"}) == ["bob"]
    assert found(people, {"id": uuid.UUID(int=2)}) == ["bob"]


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"topic": 1}, "metadata.topic"),
        ({"metadata": 1}, "metadata.<name>"),
        ({"metadata.": 1}, "empty key"),
        ({'metadata."a': 1}, "does not end"),
        ({'metadata."a"b': 1}, "comes a dot"),
        ({"and": []}, "AND"),
        ({"role": {"like": "x"}}, "unknown operator 'like'; use eq"),
        ({"role": {}}, "no operator"),
        ({"role": ["a"]}, "in and nin"),
        ({"role": None}, "exists"),
        ({"role": {"in": "abc"}}, "take a list"),
        ({"role": {"in": [None]}}, "exists"),
        ({"role": {"exists": 1}}, "true or false"),
        ({"role": {"icontains": 1}}, "takes a string"),
        ({"role": "\ud800"}, "surrogate"),
        ({"metadata.a": float("nan")}, "finite"),
        ({"metadata.a": {"gt": float("inf")}}, "finite"),
        ({"metadata.a": {"eq": {"b": 1}}}, "string, a number or a boolean"),
        ({"metadata.a": datetime(2020, 1, 1, tzinfo=UTC)}, "string, a number or a boolean"),
        ({"timestamp": "yesterday"}, "ISO 8601"),
        ({"timestamp": {"contains": "2020"}}, "no contains"),
        ({"id": "7"}, "UUID"),
        ({"hash": "xyz"}, "32 hex digits"),
        ({"AND": {"role": "user"}}, "AND takes a list"),
        ({"OR": ["role"]}, "dictionary of conditions"),
        ({1: "a"}, "is a string"),
        ([{"role": "a"}], "dictionary of conditions"),
    ],
)
def test_what_is_wrong_is_named(node: Any, says: str) -> None:
    with pytest.raises(FilterError) as caught:
        filters.parse(node)
    assert says in str(caught.value)


def nested(depth: int) -> dict[str, Any]:
    node: dict[str, Any] = {"role": "user"}
    for _ in range(depth - 1):
        node = {"NOT": node}
    return node


def test_depth_is_limited_by_the_setting(people: Store) -> None:
    assert found(people, nested(31)) == ["bob"]
    with pytest.raises(LimitError, match="max_filter_depth=32"):
        filters.parse(nested(33))
    with pytest.raises(LimitError, match="max_filter_depth=2"):
        filters.parse(nested(3), Limits(max_filter_depth=2))


def test_size_is_limited_by_the_setting(people: Store) -> None:
    names = [f"n{i}" for i in range(9_998)]
    assert found(people, {"content": {"in": [*names, "bob"]}}) == ["bob"]
    assert found(people, {"OR": [{"content": name} for name in [*names[:4_000], "cid"]]}) == ["cid"]
    with pytest.raises(LimitError, match="max_filter_nodes=10000"):
        filters.parse({"content": {"in": [*names, "a", "b", "c"]}})
    with pytest.raises(LimitError, match="SQLite"):
        filters.parse({"content": {"in": ["x"] * 40_000}}, Limits(max_filter_nodes=10**6))


def test_a_filter_in_a_scope_reads_only_that_scope(people: Store) -> None:
    where = filters.all_of(
        filters.in_scope(Scope(user_id="cid")), filters.parse({"level": 3}), filters.EVERYTHING
    )
    with people.read() as snapshot:
        page = snapshot.page(where, order="created_at", limit=9, after=None)
        assert [record.content for record in page] == ["cid"]
        text, params = where.sql()
        plan = snapshot._db.rows(
            f"EXPLAIN QUERY PLAN SELECT m.key FROM memories m WHERE {text}", params
        )
    assert any("memories_text" in row[3] for row in plan)
