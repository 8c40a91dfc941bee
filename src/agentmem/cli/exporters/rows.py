"""The rows of an export: memories as one snapshot of the store has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.engine import Engine
    from agentmem.ports import Filter, Snapshot
    from agentmem.types import Record, Scope

__all__ = ["Export", "Row", "open_export"]

_PAGE = 1000


@dataclass(slots=True)
class Row:
    """A memory as ``Memory.get`` returns it, and what is asked for besides."""

    item: dict[str, Any]
    vector: NDArray[np.float16] | NDArray[np.float32] | None = None  # (dim,), as stored
    source: str | None = None  # of the vector: "model" or "caller"
    history: list[dict[str, Any]] | None = None


@dataclass(slots=True)
class Export:
    """Pages of rows, oldest first, and what holds for all of them."""

    total: int
    model_id: str
    dim: int  # of the vectors; 0 without rows or vectors
    with_vectors: bool
    with_history: bool
    pages: Iterator[list[Row]]


@contextmanager
def open_export(
    engine: Engine,
    scope: Scope,
    filters: dict[str, Any] | None,
    *,
    show_expired: bool,
    with_vectors: bool,
    with_history: bool,
) -> Iterator[Export]:
    """An export of the memories of a scope (an empty one: of all), in one read transaction."""
    where = engine.where(scope, filters, show_expired=show_expired)
    with engine.store.read() as snapshot:
        pages = _pages(engine, snapshot, where, with_vectors, with_history)
        first = next(pages, [])
        yield Export(
            total=snapshot.count(where),
            model_id=snapshot.model_id,
            dim=0 if not first or first[0].vector is None else len(first[0].vector),
            with_vectors=with_vectors,
            with_history=with_history,
            pages=chain([first] if first else [], pages),
        )


def _pages(
    engine: Engine, snapshot: Snapshot, where: Filter, with_vectors: bool, with_history: bool
) -> Iterator[list[Row]]:
    after: tuple[int, int] | None = None
    while records := snapshot.page(where, order="created_at", limit=_PAGE, after=after):
        after = records[-1].created_at, records[-1].key
        rows = [Row(_item(record)) for record in records]
        if with_vectors:
            _put_vectors(snapshot, records, rows)
        if with_history:
            for row in rows:
                row.history = [
                    event
                    for event in engine.history(row.item["id"])
                    if int(event["id"]) <= snapshot.seq
                ]
        yield rows


def _item(record: Record) -> dict[str, Any]:
    from agentmem.search.results import item_of

    return {**item_of(record), "idempotency_key": record.idempotency_key}


def _put_vectors(snapshot: Snapshot, records: list[Record], rows: list[Row]) -> None:
    import numpy as np

    from agentmem.types import VectorSource

    vectors, sources = snapshot.vectors([record.key for record in records])
    for row, vector, source in zip(rows, vectors, sources, strict=True):
        if source == VectorSource.MODEL:
            row.vector, row.source = vector.astype(np.float16), "model"  # stored so: no loss
        else:
            row.vector, row.source = vector, "caller"
