"""What ``agentmem export --format archive`` writes (see ``exporters.archive``).

Into an empty store it is rebuilt row by row; a store that has something gets its memories like
those of any other file, with their ids and texts, and without their history.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from agentmem.cli.exporters.archive import VERSION
from agentmem.cli.formats.entry import Entry, FormatError, ReadOptions
from agentmem.cli.formats.source import Source
from agentmem.errors import InvalidInputError
from agentmem.times import from_micros
from agentmem.types import SCOPE_FIELDS

if TYPE_CHECKING:
    from agentmem.store.archive import Header

__all__ = ["chunks", "header", "read"]

_ROWS = 1000  # of one chunk: what is in memory at a time
_HEADER = frozenset(("agentmem", "version", "model_id", "dim", "seq", "rows"))
#: Fields of an ``add_batch`` item that an archive has under the same name.
_SAME = (
    "content", "actor_id", "role", "memory_type", "level", "importance", "idempotency_key"
)  # fmt: skip


def header(source: Source) -> Header:
    """The first line.

    Raises:
        FormatError: it is no archive, or one of a newer version.
    """
    from agentmem.store.archive import Header

    with closing(source.json_lines()) as stream:
        line, value = next(stream, (0, None))
    if not isinstance(value, dict) or value.get("agentmem") != "archive":
        raise FormatError(f"{source.name} is no archive of AgentMem")
    version, counts = value.get("version"), value.get("rows")
    if type(version) is not int or version > VERSION:
        raise source.error(
            line,
            f"the archive has version {version!r}, and this AgentMem reads up to {VERSION}; "
            "upgrade it: pip install -U agentmem",
        )
    found = Header(value.get("model_id"), value.get("dim"), value.get("seq"), counts)  # type: ignore[arg-type]
    if set(value) != _HEADER or not _sound(found):
        raise source.error(line, "the first line of the archive is damaged")
    return found


def _sound(found: Header) -> bool:
    from agentmem.store.archive import COLUMNS

    counts = found.counts
    return (
        isinstance(counts, dict)
        and set(counts) == set(COLUMNS)
        and all(
            type(number) is int and 0 <= number < 2**63
            for number in (found.dim, found.seq, *counts.values())
        )
        and type(found.model_id) is str
        and (not found.model_id or found.model_id.isprintable())
        and bool((found.model_id and found.dim) or not counts["memory"])
    )


def chunks(source: Source) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Rows of one kind at a time, as ``store.archive.COLUMNS`` names their values.

    Raises:
        FormatError: a line that is none of an archive's, or there are not as many as it says.
    """
    gathered: list[tuple[Any, ...]] = []
    current = ""
    for _, value, row in _rows(source):
        kind = value["kind"]
        if gathered and (kind != current or len(gathered) == _ROWS):
            yield current, gathered
            gathered = []
        current = kind
        gathered.append(row)
    if gathered:
        yield current, gathered


def read(source: Source, options: ReadOptions) -> Iterator[Entry]:
    """Its memories, for a store that has others.  The file is read to its end first, so that of
    one that is cut off or damaged nothing is told.

    Raises:
        FormatError: as ``chunks`` does.
    """
    del options
    for _ in _rows(source):
        pass
    return _entries(source)


def _entries(source: Source) -> Iterator[Entry]:
    scopes: dict[int, dict[str, str]] = {}
    for line, value, _ in _rows(source):
        if value["kind"] == "scope":
            scopes[value["scope"]] = {name: value[name] for name in SCOPE_FIELDS if name in value}
        elif value["kind"] == "memory":
            yield Entry(f"line {line}", _item(value, scopes))


def _rows(source: Source) -> Iterator[tuple[int, dict[str, Any], tuple[Any, ...]]]:
    """The lines between the first and the last: number, values as they stand there without
    nulls, and values as they are stored."""
    from agentmem.cli.formats.archive_rows import Rows
    from agentmem.store.archive import COLUMNS

    rows = Rows(header(source))
    ended = False
    with closing(source.json_lines()) as stream:
        next(stream, None)
        for line, value in stream:
            if ended:
                raise source.error(line, "a line after the archive's last one")
            if value == {"kind": "end"}:
                ended = True
                continue
            kind = value.get("kind") if isinstance(value, dict) else None
            if type(kind) is not str or kind not in COLUMNS:
                raise source.error(line, "not a line of an archive")
            value = {name: given for name, given in value.items() if given is not None}
            try:
                row = rows.row(value)
            except InvalidInputError as error:
                raise source.error(line, f"no {kind} of an archive: {error}") from None
            yield line, value, row
    if not ended:
        raise FormatError(f"{source.name} is cut off: its last line is missing")
    try:
        rows.finish()
    except InvalidInputError as error:
        raise FormatError(f"{source.name}: {error}") from None


def _item(value: dict[str, Any], scopes: dict[int, dict[str, str]]) -> dict[str, Any]:
    item = {name: value[name] for name in _SAME if name in value}
    item |= {
        "id": value["id"],
        "timestamp": from_micros(value["event_at"]),
        **scopes[value["scope"]],
    }
    if "expires_at" in value:
        item["expiration_date"] = from_micros(value["expires_at"])
    if "metadata" in value:
        item["metadata"] = json.loads(value["metadata"])
    item["vector"] = {
        "source": value["source"],
        "dtype": "float16" if value["source"] == "model" else "float32",
        "data": base64.b64decode(value["vector"], validate=True),
    }
    return item
