"""File layouts that ``agentmem import`` reads, one module each.

Every module has ``read(source, options) -> Iterator[Entry]``: entries in file order, each with the
place it came from and the item for ``Memory.add_batch`` (or None where the file has an empty
turn).  Readers stream, know nothing of a store, and raise ``FormatError`` for what they cannot
understand.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from agentmem.cli.formats.entry import Entry, FormatError, ReadOptions
from agentmem.cli.formats.source import Source

__all__ = ["FORMATS", "Entry", "FormatError", "ReadOptions", "Source", "read", "without_vectors"]

#: Format name to what it is, in the order in which help lists them.
FORMATS = {
    "text": "plain text, one memory per line or paragraph",
    "archive": "a store as it was, history and all; what export --format archive writes",
    "jsonl": "one JSON object (or string) per line; also what export writes",
    "chat": "a transcript with roles or names and times, JSON or text",
    "locomo": "LoCoMo conversations",
    "longmemeval": "LongMemEval questions with their sessions",
    "mem0": "what mem0 exports or get_all returns",
}


def read(source: Source, name: str, options: ReadOptions) -> Iterator[Entry]:
    """The entries of ``source`` in format ``name``, one of ``FORMATS``."""
    module = import_module(f"agentmem.cli.formats.{name}")
    entries: Iterator[Entry] = module.read(source, options)
    return entries


def without_vectors(entries: Iterator[Entry]) -> Iterator[Entry]:
    """The same entries, for the store's own model to embed."""
    for entry in entries:
        if entry.item is not None:
            entry.item.pop("vector", None)
        yield entry
