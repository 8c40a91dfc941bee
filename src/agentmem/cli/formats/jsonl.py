"""One JSON object per line: what ``agentmem export`` writes, or objects of any other origin.

Of our own export an id is kept, so that importing twice adds nothing; of other objects only an
id that is a UUID is, any other joins the metadata.  A line may also be a bare JSON string.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from agentmem.cli.formats.entry import Entry, ReadOptions
from agentmem.cli.formats.fields import memory_item
from agentmem.cli.formats.source import Source
from agentmem.errors import InvalidInputError

__all__ = ["is_uuid", "read"]


def read(source: Source, options: ReadOptions) -> Iterator[Entry]:
    """One memory per line; a JSON array of the same objects is read too."""
    del options
    array = source.is_json_array()
    for line, value in source.json_values() if array else source.json_lines():
        if isinstance(value, str):
            yield Entry(f"line {line}", {"content": value})
            continue
        if not isinstance(value, dict):
            raise source.error(
                line, f"expected an object or a string, found {type(value).__name__}"
            )
        try:
            item = memory_item(value, keep_id=is_uuid(value.get("id")))
        except InvalidInputError as error:
            raise source.error(line, str(error)) from None
        yield Entry(f"line {line}", item)


def is_uuid(value: Any) -> bool:
    """Whether this is the text of a UUID, the only ids that AgentMem has."""
    if not isinstance(value, str):
        return False
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True
