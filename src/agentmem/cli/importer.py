"""Entries of a file into a store, in batches that are all there or not at all."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from agentmem.cli.formats.entry import Entry, FormatError, Item
from agentmem.errors import (
    AgentMemError,
    ConflictError,
    InvalidInputError,
    ModelMismatchError,
    StoreCorruptError,
)
from agentmem.types import SCOPE_FIELDS

if TYPE_CHECKING:
    from pathlib import Path

    from agentmem import Memory
    from agentmem.cli.formats import Source
    from agentmem.cli.options import ScopeIds

__all__ = ["Report", "import_entries", "plain_vectors", "rebuild"]

_SCOPES_KEPT = 1000

#: How ``add_batch`` begins a message about one of its items.
_ITEM = re.compile(r"items\[(\d+)\]( content)?:? ?")


@dataclass(slots=True)
class Report:
    """What became of the entries of a file."""

    read: int = 0
    added: int = 0
    known: int = 0  # were there already, by id, key or text
    empty: int = 0  # turns without text
    #: Whose memories they are: "user alice", or the next scope id that there is; in the order of
    #: the file, values unused, at most ``_SCOPES_KEPT``.
    scopes: dict[str, None] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Memories per second, those that were known included."""
        return (self.added + self.known) / self.seconds if self.seconds else 0.0


def import_entries(
    memory: Memory,
    entries: Iterable[Entry],
    *,
    name: str,
    scope: ScopeIds,
    batch_size: int = 1000,
    dedupe: bool = False,
    done: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Add the entries of the file ``name``; what an entry says goes before ``scope``.

    Raises:
        FormatError: the file or an entry cannot be accepted; the batches before are stored, and
            the message says how many memories that are.
        AgentMemError: the store, the model; with the same addition.
    """
    report = Report()
    begun = time.perf_counter()
    remaining = iter(entries)
    try:
        while batch := list(islice(remaining, batch_size)):
            _add(memory, batch, name, scope, dedupe, report)
            report.seconds = time.perf_counter() - begun
            done(report)
    except AgentMemError as error:
        error.args = (f"{error}{_so_far(report)}",)
        raise
    report.seconds = time.perf_counter() - begun
    return report


def rebuild(
    path: Path,
    source: Source,
    *,
    embedder: str | None = None,
    done: Callable[[int], None] = lambda rows: None,
) -> Report:
    """Make the empty store at ``path`` the one that an archive was made of.

    Args:
        embedder: the model that the store is to be opened with, if one was asked for.
        done: hears how many rows have been read.

    Raises:
        FormatError: the archive is not whole, or does not fit together; nothing was stored.
        ModelMismatchError: it holds vectors of another model than ``embedder``.
    """
    from agentmem.cli.formats import archive
    from agentmem.engine import rebuild as run

    report = Report()
    begun = time.perf_counter()
    header = archive.header(source)
    if embedder is not None:
        _require_model(header.model_id, embedder, source.name)

    def told() -> Generator[tuple[str, list[tuple[Any, ...]]], None, None]:
        rows = 0
        for kind, values in archive.chunks(source):
            if kind == "scope":
                _note_scopes(values, report)
            yield kind, values
            rows += len(values)
            done(rows)

    try:
        with closing(told()) as rows:
            made = run(path, header, rows)
    except FormatError:
        raise
    except (InvalidInputError, StoreCorruptError) as error:
        raise FormatError(f"{source.name}: {error}; nothing was stored") from None
    report.read = report.added = made["memories"]
    report.seconds = time.perf_counter() - begun
    return report


def _require_model(model_id: str, embedder: str, name: str) -> None:
    from agentmem.models import resolve

    if model_id and resolve(embedder).model_id != model_id:
        raise ModelMismatchError(
            f"{name} holds vectors of another model than {embedder!r}; leave --embedder out, and"
            f" then move the store: agentmem reembed {embedder}"
        )


def _note_scopes(rows: list[tuple[Any, ...]], report: Report) -> None:
    for _, *ids, _ in rows:
        owner = _owner(dict(zip(SCOPE_FIELDS, ids, strict=True)), {})
        if owner is not None and len(report.scopes) < _SCOPES_KEPT:
            report.scopes[owner] = None


def _add(
    memory: Memory,
    batch: list[Entry],
    name: str,
    scope: ScopeIds,
    dedupe: bool,
    report: Report,
) -> None:
    full = [entry for entry in batch if entry.item is not None]
    items = list(plain_vectors(entry.item for entry in full if entry.item is not None))
    owners = [_owner(item, scope) for item in items]
    if None in owners:
        raise FormatError(
            f"{name}, {full[owners.index(None)].where}: it does not say whose memory this is; add"
            " --user ID (or --agent, --run, --org)"
        )
    if items:
        try:
            results = memory.add_batch(items, dedupe=dedupe, **scope)["results"]
        except (InvalidInputError, ConflictError) as error:
            raise _located(error, full, name) from None
        added = sum(result["event"] == "ADD" for result in results)
        report.added += added
        report.known += len(results) - added
    for owner in owners:
        if owner is not None and len(report.scopes) < _SCOPES_KEPT:
            report.scopes[owner] = None
    report.read += len(batch)
    report.empty += len(batch) - len(full)


def _owner(item: Item, scope: ScopeIds) -> str | None:
    """``user alice``: the first scope id that the item or the command line gives."""
    for name in SCOPE_FIELDS:
        value = item.get(name) or scope.get(name)
        if value:
            return f"{name.removesuffix('_id')} {value}"
    return None


def plain_vectors(items: Iterable[Item]) -> Iterator[Item]:
    """Items with their vectors as arrays.  A vector that a model made is left out: this store's
    model makes its own, the same if it is the same model."""
    for item in items:
        vector: dict[str, Any] | None = item.get("vector")
        if vector is None:
            yield item
            continue
        rest = {key: value for key, value in item.items() if key != "vector"}
        if vector.get("source") == "caller":
            rest["vector"] = _array(vector)
        yield rest


def _array(vector: dict[str, Any]) -> Any:
    if vector["dtype"] == "list":
        return vector["data"]
    import numpy as np

    return np.frombuffer(vector["data"], dtype=np.dtype(vector["dtype"]).newbyteorder("<"))


def _located(error: AgentMemError, entries: list[Entry], name: str) -> AgentMemError:
    """The error of ``add_batch`` with the place in the file instead of the item's number."""
    found = _ITEM.match(str(error))
    if found is None:
        first, last = entries[0].where, entries[-1].where
        span = first if first == last else f"between {first} and {last}"
        message = f"{name}, {span}: {error}"
    else:
        message = f"{name}, {entries[int(found[1])].where}: {str(error)[found.end() :]}"
    return ConflictError(message) if isinstance(error, ConflictError) else FormatError(message)


def _so_far(report: Report) -> str:
    if not report.added:
        return "; nothing was stored"
    were = "memory was" if report.added == 1 else "memories were"
    return f"; {report.added:,} {were} stored before it"
