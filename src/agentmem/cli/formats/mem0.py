"""mem0's memories: its ``get_all`` result, its export, or a plain list of items.

The id is kept, ``created_at`` becomes the time of the memory, ``categories`` and other fields
without a place here join the metadata; ``hash``, ``score`` and ``updated_at`` are dropped, being
mem0's own bookkeeping.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentmem.cli.formats.entry import Entry, ReadOptions
from agentmem.cli.formats.fields import memory_item
from agentmem.cli.formats.jsonl import is_uuid
from agentmem.cli.formats.source import Source
from agentmem.errors import InvalidInputError

__all__ = ["read"]

_LISTS = ("results", "memories")


def read(source: Source, options: ReadOptions) -> Iterator[Entry]:
    """One memory per item of a list, of ``{"results": [...]}``, or of a file of lines."""
    del options
    number = 0
    for line, value in source.json_values():
        for item in _items(source, line, value):
            number += 1
            if not isinstance(item, dict) or not isinstance(item.get("memory"), str):
                raise source.error(line, f"item {number} is not an object with a 'memory' text")
            where = f"item {number}"
            if not item["memory"].strip():
                yield Entry(where, None)
                continue
            try:
                yield Entry(where, memory_item(item, keep_id=is_uuid(item.get("id"))))
            except InvalidInputError as error:
                raise source.error(line, f"item {number}: {error}") from None


def _items(source: Source, line: int, value: Any) -> list[Any]:
    if isinstance(value, dict) and "memory" not in value:
        for name in _LISTS:
            if isinstance(value.get(name), list):
                items: list[Any] = value[name]
                return items
        raise source.error(line, "not a mem0 export: no 'results' list and no 'memory' text")
    return [value]
