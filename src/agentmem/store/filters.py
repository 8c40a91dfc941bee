"""The filter algebra, for ``search``, ``get_all`` and ``count`` alike.

::

    {"role": "user"}                                       equals
    {"importance": {"gte": 0.5, "lt": 0.9}}                several operators: all of them
    {"role": "user", "metadata.topic": "work"}             several fields: all of them
    {"OR": [{...}, {...}]}   {"AND": [...]}                any, all
    {"NOT": {...}}           {"NOT": [{...}, {...}]}       none of them matches

Nested as deep as ``config.limits.max_filter_depth`` allows.  An empty ``AND``, an empty ``NOT``
and ``{}`` match everything, an empty ``OR`` nothing.  What a comparison means is said in
``comparison``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentmem.config import Limits
from agentmem.errors import FilterError, LimitError
from agentmem.inputs import shorten
from agentmem.ports import Filter
from agentmem.store.comparison import FALSE, OPERATORS, TRUE, SQLText, join, negate
from agentmem.store.fields import field
from agentmem.types import Scope

__all__ = ["EVERYTHING", "SQLFilter", "all_of", "in_scope", "not_expired", "parse"]

#: SQLite's limit on the parameters of one statement, less some for what surrounds a filter.
_MAX_PARAMETERS = 32_000


@dataclass(frozen=True, slots=True)
class SQLFilter:
    """A condition over ``m`` (memories) joined with ``s`` (scopes)."""

    text: str
    params: tuple[Any, ...] = ()
    within: Scope | None = None

    def sql(self) -> tuple[str, list[Any]]:
        return self.text, list(self.params)


EVERYTHING = SQLFilter("1")


def parse(filters: Mapping[str, Any], limits: Limits | None = None) -> SQLFilter:
    """The condition that ``filters`` describes.

    Raises:
        FilterError: an unknown field or operator, an operand of the wrong type.
        LimitError: nested deeper, or with more conditions, than ``limits`` allow.
    """
    text, params = _Parser(limits or Limits()).node(filters, 1)
    if len(params) > _MAX_PARAMETERS:
        raise LimitError(
            f"the filter has {len(params)} operands, more than the {_MAX_PARAMETERS} that SQLite "
            "takes in one query; split it"
        )
    return SQLFilter(text, tuple(params))


def in_scope(scope: Scope) -> SQLFilter:
    """Every given field of ``scope`` has its value; an empty scope matches everything.

    Written as a set of scope ids, so that SQLite can walk the index on them.
    """
    given = scope.given()
    if not given:
        return EVERYTHING
    where = " AND ".join(f"{name} = ?" for name in given)
    text = f"m.scope IN (SELECT scope FROM scopes WHERE {where})"
    return SQLFilter(text, tuple(given.values()), scope)


def not_expired(now: int) -> SQLFilter:
    """Still valid at ``now``, in microseconds."""
    return SQLFilter("m.expires_at IS NULL OR m.expires_at > ?", (now,))


def all_of(*filters: Filter) -> SQLFilter:
    """Their conjunction."""
    parts = [one.sql() for one in filters if one is not EVERYTHING]
    text, params = join(parts, "AND", TRUE)
    within = next((one.within for one in filters if one.within is not None), None)
    return SQLFilter(text, tuple(params), within)


class _Parser:
    def __init__(self, limits: Limits) -> None:
        self._max_depth = limits.max_filter_depth
        self._max_nodes = limits.max_filter_nodes
        self._nodes = 0

    def node(self, node: Any, depth: int) -> SQLText:
        if not isinstance(node, Mapping):
            raise FilterError(f"a filter is a dictionary of conditions, not {shorten(node)}")
        if depth > self._max_depth:
            raise LimitError(
                f"the filter is nested deeper than config.limits.max_filter_depth={self._max_depth}"
            )
        parts: list[SQLText] = []
        for name, value in node.items():
            if not isinstance(name, str):
                raise FilterError(f"a filter field is a string, not {shorten(name)}")
            if name == "AND":
                parts.append(join(self._nodes_of(name, value, depth), "AND", TRUE))
            elif name == "OR":
                parts.append(join(self._nodes_of(name, value, depth), "OR", FALSE))
            elif name == "NOT":
                some = [value] if isinstance(value, Mapping) else value
                parts.append(negate(join(self._nodes_of(name, some, depth), "OR", FALSE)))
            else:
                parts.append(self._conditions(name, value))
        return join(parts, "AND", TRUE)

    def _nodes_of(self, name: str, values: Any, depth: int) -> list[SQLText]:
        if not isinstance(values, list | tuple):
            raise FilterError(f"{name} takes a list of filters, not {shorten(values)}")
        self._count(len(values))
        return [self.node(value, depth + 1) for value in values]

    def _conditions(self, name: str, value: Any) -> SQLText:
        known = field(name)
        if not isinstance(value, Mapping):
            self._count(1)
            return known.compile("eq", value)
        if not value:
            raise FilterError(f"{name}: no operator is given; use {', '.join(OPERATORS)}")
        parts = []
        for operator, operand in value.items():
            if operator not in OPERATORS:
                raise FilterError(
                    f"{name}: unknown operator {shorten(operator)}; use {', '.join(OPERATORS)}"
                )
            self._count(len(operand) if isinstance(operand, list | tuple | set | frozenset) else 1)
            parts.append(known.compile(operator, operand))
        return join(parts, "AND", TRUE)

    def _count(self, more: int) -> None:
        self._nodes += more
        if self._nodes > self._max_nodes:
            raise LimitError(
                f"the filter has more conditions and operands than config.limits."
                f"max_filter_nodes={self._max_nodes}"
            )
