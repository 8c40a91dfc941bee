"""Which memories are on a page of a listing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Any

from agentmem.errors import FilterError
from agentmem.inputs import shorten
from agentmem.ports import Filter
from agentmem.store.connection import Connection
from agentmem.store.rows import integers
from agentmem.store.schema import shelf_of

__all__ = ["MEMORIES", "Listing", "joined"]

#: Where rows come from, unless from a query in parentheses (see ``past``).
MEMORIES = "memories"

#: The column of each order.  ``created_at`` is the commit time, which never goes back, and keys
#: ascend with commits, so that the order of keys is that order.
_ORDERS = {"created_at": "created_at", "updated_at": "updated_at", "timestamp": "event_at"}

#: Rows of the table that are walked for each that a page may have, before an index is asked.
_STRETCH = 4

#: Positions that scopes have given out on average, from which on they are read shelf by shelf.
_LARGE = 1_000
_BY_KEY = "NOT INDEXED"  # the table itself, whose order is that of the keys
_ON_SHELF = "SELECT key FROM memories INDEXED BY memories_text WHERE scope = ? AND shelf"
_TOGETHER = 32  # rows at least that are asked for at once, whether they match or not

Place = tuple[int, int, int]


def joined(source: str, hint: str = "") -> str:
    """The join that every filter is written over.  SQLite leaves out a left join nobody uses."""
    return f"FROM {source} m {hint} LEFT JOIN scopes s ON s.scope = m.scope"


class Listing:
    """The memories of ``source`` that satisfy ``where``, in one order."""

    def __init__(self, db: Connection, source: str, where: Filter, order: str) -> None:
        """
        Raises:
            FilterError: an unknown order.
        """
        name = order.removeprefix("-")
        if name not in _ORDERS:
            known = ", ".join(f"{o}, -{o}" for o in _ORDERS)
            raise FilterError(f"unknown order {shorten(order)}; use one of {known}")
        self._db = db
        self._source = source
        self._text, self._params = where.sql()
        self._given = {} if where.within is None else where.within.given()
        self._time = f"m.{_ORDERS[name]}"
        self._by_key = name == "created_at"
        self._descending = order.startswith("-")
        self._way, self._beyond = ("DESC", "<") if self._descending else ("ASC", ">")
        self._by = f"m.key {self._way}"

    def page(self, limit: int, after: tuple[int, int] | None) -> list[Place]:
        """Key, last event and time of at most ``limit`` memories; ``after`` is the (time, key) of
        the last one already seen."""
        if self._by_key:
            return self._page_by_key(limit, None if after is None else after[1])
        by = f"{self._time} {self._way}, m.key {self._way}"
        if after is None:
            return self._read("", [], by, limit)
        return self._read(f"AND ({self._time}, m.key) {self._beyond} (?, ?)", after, by, limit)

    def _page_by_key(self, limit: int, after: int | None) -> list[Place]:
        """The index on scopes has no order by key, and to sort takes as long as the scope has
        memories, for each of its pages.  So of a larger scope a stretch of the table is walked
        first, which fills the page in a store of few, and then shelf by shelf."""
        if self._source != MEMORIES:
            return self._sorted(limit, after)
        if self._given and not self._holds_more_than(_STRETCH * limit):
            return self._sorted(limit, after)
        last = self._db.value(f"SELECT ifnull(max(key), 0) FROM {MEMORIES}")
        start = after if after is not None else last + 1 if self._descending else 0
        end = start + _STRETCH * limit * (-1 if self._descending else 1)
        between = (min(start, end), max(start, end))
        found = self._read("AND m.key > ? AND m.key < ?", between, self._by, limit, _BY_KEY)
        if len(found) == limit or not 0 < end <= last:
            return found
        start = end + 1 if self._descending else end - 1
        scopes, positions = self._of_scopes("count(*), ifnull(sum(next_position), 0)")[0]
        if not self._given or positions < _LARGE * scopes:
            return found + self._sorted(limit - len(found), start)
        shelves = (
            self._by_shelf(scope, shelf_of(given - 1), limit, start)
            for scope, given in self._of_scopes("scope, next_position")
            if given
        )
        ordered = merge(*shelves, reverse=self._descending)
        return found + list(islice(ordered, limit - len(found)))

    def _holds_more_than(self, few: int) -> bool:
        """Whether the scopes have more memories; positions do not tell, for they are not given
        out again when a memory is deleted."""
        sql, ids = self._in_scopes("scope")
        counted: int = self._db.value(
            "SELECT count(*) FROM (SELECT 1 FROM memories INDEXED BY memories_text"
            f" WHERE scope IN ({sql}) LIMIT ?)",
            (*ids, few + 1),
        )
        return counted > few

    def _of_scopes(self, columns: str) -> list[tuple[int, int]]:
        """Two numbers of the scopes that are listed, which are none where they are not known."""
        found: list[Any] = self._db.rows(*self._in_scopes(columns))
        return found

    def _in_scopes(self, columns: str) -> tuple[str, tuple[Any, ...]]:
        where = " AND ".join(f"{name} = ?" for name in self._given) or "0"
        return f"SELECT {columns} FROM scopes WHERE {where}", tuple(self._given.values())

    def _sorted(self, limit: int, after: int | None) -> list[Place]:
        if after is None:
            return self._read("", [], self._by, limit)
        return self._read(f"AND m.key {self._beyond} ?", [after], self._by, limit)

    def _by_shelf(self, scope: int, last: int, limit: int, start: int) -> Iterator[Place]:
        """All beyond ``start``, in order, as they are asked for: in a scope, keys ascend with
        positions, and so from shelf to shelf."""
        near = "<= ? ORDER BY shelf DESC" if self._descending else ">= ? ORDER BY shelf"
        beyond_all = 0 if self._descending else start + 1

        def some_key(shelf: int) -> int:
            """Of one that stands on it, or else on the nearest that would be read after it."""
            key: int | None = self._db.value(f"{_ON_SHELF} {near} LIMIT 1", (scope, shelf))
            return beyond_all if key is None else key

        size = max(limit, _TOGETHER)
        every = range(last + 1)
        if self._descending:
            shelves = every[bisect_left(every, start, key=some_key) :: -1]
        else:
            shelves = every[max(0, bisect_right(every, start, key=some_key) - 1) :]
        there = f"{_ON_SHELF} BETWEEN ? AND ? AND key {self._beyond} ? ORDER BY key {self._way}"
        done, next_ones = 0, 1  # twice as many each time: most of their memories may be deleted
        while done < len(shelves):
            part = sorted(shelves[done : done + next_ones])
            done, next_ones = done + next_ones, 2 * next_ones
            told = self._db.value(
                f"SELECT group_concat(key) FROM ({there})", (scope, part[0], part[-1], start)
            )
            keys = list(map(int, told.split(","))) if told else []
            for i in range(0, len(keys), size):
                some = integers(keys[i : i + size])
                yield from self._read("AND m.key IN carray(?)", [some], self._by, size, _BY_KEY)

    def _read(self, more: str, params: Any, by: str, limit: int, hint: str = "") -> list[Place]:
        """In one row: each row of SQLite's lets other threads have the interpreter lock, and a
        thread that wants it back may wait for it a hundred times over."""
        row = self._db.row(
            "SELECT group_concat(key), group_concat(seq), group_concat(time) FROM ("
            f"SELECT m.key AS key, m.seq AS seq, {self._time} AS time"
            f" {joined(self._source, hint)}"
            f" WHERE ({self._text}) {more} ORDER BY {by} LIMIT ?)",
            [*self._params, *params, limit],
        )
        if row is None or row[0] is None:
            return []
        keys, seqs, times = (map(int, column.split(",")) for column in row)
        return list(zip(keys, seqs, times, strict=True))
