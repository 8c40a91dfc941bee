"""What ``agentmem export --format archive`` writes (see ``exporters.archive``).

Into an empty store it is rebuilt row by row; a store that has something gets its memories like
those of any other file, with their ids and texts, and without their history.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agentmem.cli.exporters.archive import VERSION
from agentmem.cli.formats.entry import Entry, FormatError, ReadOptions
from agentmem.cli.formats.source import Source
from agentmem.errors import InvalidInputError
from agentmem.times import from_micros
from agentmem.types import Event, VectorSource

if TYPE_CHECKING:
    from agentmem.store.archive import Header

__all__ = ["chunks", "header", "read"]

_ROWS = 1000  # of one chunk: what is in memory at a time
_TEXTS = frozenset(
    ("user_id", "agent_id", "run_id", "org_id", "actor_id", "content", "role", "memory_type",
     "metadata", "idempotency_key")
)  # fmt: skip
#: Where no value is a value.
_OPTIONAL = frozenset(
    (*_TEXTS - {"content", "memory_type"}, "level", "importance", "expires_at", "reads",
     "last_read", "data")
)  # fmt: skip
#: Fields of an ``add_batch`` item that an archive has under the same name.
_SAME = (
    "content", "actor_id", "role", "memory_type", "level", "importance", "idempotency_key"
)  # fmt: skip


def header(source: Source) -> Header:
    """The first line.

    Raises:
        FormatError: it is no archive, or one of a newer version.
    """
    from agentmem.store.archive import COLUMNS, Header

    for line, value in source.json_lines():
        if not isinstance(value, dict) or value.get("agentmem") != "archive":
            break
        version, counts = value.get("version"), value.get("rows")
        if type(version) is not int or version > VERSION:
            raise source.error(
                line,
                f"the archive has version {version!r}, and this AgentMem reads up to {VERSION}; "
                "upgrade it: pip install -U agentmem",
            )
        found = Header(value.get("model_id"), value.get("dim"), value.get("seq"), counts)  # type: ignore[arg-type]
        if (
            type(found.model_id) is str
            and type(found.dim) is type(found.seq) is int
            and isinstance(counts, dict)
            and set(counts) == set(COLUMNS)
        ):
            return found
        raise source.error(line, "the first line of the archive is damaged")
    raise FormatError(f"{source.name} is no archive of AgentMem")


def chunks(source: Source) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Rows of one kind at a time, as ``store.archive.COLUMNS`` names their values.

    Raises:
        FormatError: a line that is none of an archive's, or the last one is missing.
    """
    from agentmem.store.archive import COLUMNS

    gathered: list[tuple[Any, ...]] = []
    current = ""
    for line, value in _lines(source):
        kind = value["kind"]
        if gathered and (kind != current or len(gathered) == _ROWS):
            yield current, gathered
            gathered = []
        if kind == "end":
            return
        current = kind
        try:
            gathered.append(tuple([_value(name, value.get(name)) for name in COLUMNS[kind]]))
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise source.error(line, f"no {kind} of an archive: {error}") from None
    raise FormatError(f"{source.name} is cut off: its last line is missing")


def read(source: Source, options: ReadOptions) -> Iterator[Entry]:
    """Its memories, for a store that has others."""
    del options
    header(source)
    scopes: dict[int, dict[str, str]] = {}
    for line, value in _lines(source):
        try:
            if value["kind"] == "scope":
                given = ("user_id", "agent_id", "run_id", "org_id")
                scopes[value["scope"]] = {name: value[name] for name in given if name in value}
            elif value["kind"] == "memory":
                yield Entry(f"line {line}", _item(value, scopes))
        except (InvalidInputError, KeyError, TypeError, ValueError) as error:
            raise source.error(line, f"no {value['kind']} of an archive: {error}") from None


def _lines(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines after the first."""
    from agentmem.store.archive import COLUMNS

    stream = source.json_lines()
    next(stream, None)
    for line, value in stream:
        if not isinstance(value, dict) or value.get("kind") not in (*COLUMNS, "end"):
            raise source.error(line, "not a line of an archive")
        yield line, value


def _value(name: str, given: Any) -> Any:
    """The stored form of a value.

    Raises:
        TypeError, ValueError, KeyError: it is of another kind than it should be.
    """
    if given is None:
        if name in _OPTIONAL:
            return None
        raise ValueError(f"it has no {name}")
    if name in _TEXTS:
        return _of(str, name, given)
    if name == "id":
        return uuid.UUID(_of(str, name, given)).bytes
    if name == "event":
        return int(Event[_of(str, name, given)])
    if name == "source":
        return int(VectorSource[_of(str, name, given).upper()])
    if name in ("vector", "data"):
        return base64.b64decode(_of(str, name, given), validate=True)
    if name == "level" and type(given) is str:
        return given
    if name == "importance":
        return float(given)
    return _of(int, name, given)


def _of(kind: type, name: str, given: Any) -> Any:
    if type(given) is not kind:
        raise TypeError(f"{name} must be {kind.__name__}, not {type(given).__name__}")
    return given


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
