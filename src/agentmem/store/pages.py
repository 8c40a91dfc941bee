"""Which memories are on a page of a listing."""

from __future__ import annotations

from typing import Any

from agentmem.errors import FilterError
from agentmem.inputs import shorten
from agentmem.ports import Filter
from agentmem.store.connection import Connection

__all__ = ["MEMORIES", "Listing", "joined"]

#: Where rows come from, unless from a query in parentheses (see ``past``).
MEMORIES = "memories"

#: The column of each order.  ``created_at`` is the commit time, which never goes back, and keys
#: ascend with commits, so that the order of keys is that order.
_ORDERS = {"created_at": "created_at", "updated_at": "updated_at", "timestamp": "event_at"}

#: Rows of the table that are walked for each that a page may have, before an index is asked.
_STRETCH = 4

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
        self._time = f"m.{_ORDERS[name]}"
        self._by_key = name == "created_at"
        self._descending = order.startswith("-")
        self._way, self._beyond = ("DESC", "<") if self._descending else ("ASC", ">")

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
        memories, for each of its pages.  So a stretch of the table is walked first, which fills
        the page in a store of few scopes."""
        by = f"m.key {self._way}"
        last = self._db.value(f"SELECT ifnull(max(key), 0) FROM {MEMORIES}")
        start = after if after is not None else last + 1 if self._descending else 0
        found: list[Place] = []
        if self._source == MEMORIES:
            end = start + _STRETCH * limit * (-1 if self._descending else 1)
            between = (min(start, end), max(start, end))
            found = self._read("AND m.key > ? AND m.key < ?", between, by, limit, "NOT INDEXED")
            if len(found) == limit or not 0 < end <= last:
                return found
            start = end + 1 if self._descending else end - 1
        rest = self._read(f"AND m.key {self._beyond} ?", [start], by, limit - len(found))
        return found + rest

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
