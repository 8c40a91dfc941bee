"""Which format a file is in, from its beginning."""

from __future__ import annotations

import re
from typing import Any

from agentmem.cli.formats.chat import TURN_LINE
from agentmem.cli.formats.entry import FormatError
from agentmem.cli.formats.fields import CONTENT_NAMES
from agentmem.cli.formats.source import Source

__all__ = ["detect"]

_SESSION = re.compile(r"session_\d+")


def detect(source: Source) -> str:
    """One of ``FORMATS``.

    Raises:
        FormatError: JSON of a shape that no format has, or a binary file.
    """
    if source.starts_as_json():
        for number, value in source.json_values():
            name = _of_value(value, source.is_json_array())
            if name is None:
                raise source.error(number, "cannot tell the format; give --format")
            return name
        raise FormatError(f"{source.name} holds no memories")
    for _, line in source.lines():
        if "\0" in line or line.startswith("PAR1"):
            raise FormatError(f"{source.name} is a binary file; import reads text, JSON and gzip")
        if line.strip():
            return _of_line(line.strip())
    return "text"


def _of_line(line: str) -> str:
    if TURN_LINE.fullmatch(line):
        return "chat"
    if len(line) > 1 and line[0] == line[-1] == '"':
        return "jsonl"
    return "text"


def _of_value(value: Any, in_array: bool) -> str | None:
    """The format of the first element of an array, or of the first object of a file."""
    if isinstance(value, list):
        return "chat" if value and isinstance(value[0], dict) else None
    if isinstance(value, str):
        return "jsonl"
    if not isinstance(value, dict):
        return None
    if value.get("agentmem") == "archive":
        return "archive"
    if isinstance(value.get("conversation"), dict) and any(
        _SESSION.fullmatch(name) for name in value["conversation"]
    ):
        return "locomo"
    if "haystack_sessions" in value:
        return "longmemeval"
    if any(isinstance(value.get(name), list) for name in ("sessions", "messages", "turns")):
        return "chat"
    if any(isinstance(value.get(name), list) for name in ("results", "memories")):
        return "mem0"
    if isinstance(value.get("memory"), str):
        return "mem0" if in_array else "jsonl"
    if "role" in value and "content" in value and "id" not in value:
        return "chat"
    if any(value.get(name) is not None for name in CONTENT_NAMES):
        return "jsonl"
    return None
