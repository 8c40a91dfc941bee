"""Comparing the table with SQLite, row by row and column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem.types import PartitionKey, Scope
from agentmem.vector.faults import TableLost
from agentmem.vector.rows import arrow_rows, arrow_schema
from agentmem.vector.table import Table

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from agentmem.ports import Snapshot
    from agentmem.vector.place import Place
    from agentmem.vector.watermark import Watermark

__all__ = ["differences"]

_ROWS = 4_096
_TOLD = 20  # differences named; the rest is counted


class _Everything:
    """The filter that every memory satisfies."""

    within: Scope | None = None

    def sql(self) -> tuple[str, list[Any]]:
        return "1", []


def differences(place: Place, mark: Watermark, snapshot: Snapshot) -> list[str]:
    """What the table at ``mark`` has otherwise than ``snapshot``, apart from memories changed
    after ``mark.seq``; at most twenty lines and a count of the rest."""
    try:
        found = _compare(place, mark, snapshot)
    except TableLost as error:
        return [str(error)]
    if len(found) > _TOLD:
        found[_TOLD:] = [f"{len(found) - _TOLD} more differences"]
    return found


def _compare(place: Place, mark: Watermark, snapshot: Snapshot) -> list[str]:
    live = snapshot.matching_keys(PartitionKey(None, None), _Everything())
    later = _changed_since(snapshot, mark.seq)
    if not mark.table:
        missing = np.setdiff1d(live, later)
        return [f"memory {key} is not in the table" for key in missing.tolist()]
    table = Table.open(place.uri, mark.table)
    if table.schema != arrow_schema(mark.dim):
        return [f"the table {mark.table} has other columns than it should"]
    found: list[str] = []
    if table.version < mark.version:
        found.append(
            f"the table {mark.table} is at version {table.version}, its watermark speaks of"
            f" {mark.version}"
        )
    seen: list[NDArray[np.int64]] = []
    for batch in table.scan(_ROWS):
        keys = batch["key"].to_numpy(zero_copy_only=False)
        seen.append(keys)
        settled = ~np.isin(keys, later)
        extra = settled & ~np.isin(keys, live)
        found += [f"memory {key} is in the table and not in SQLite" for key in keys[extra].tolist()]
        found += _unequal(batch.filter(settled & ~extra), snapshot)
    keys, counts = np.unique(
        np.concatenate(seen) if seen else np.empty(0, np.int64), return_counts=True
    )
    found += [f"memory {key} is in the table more than once" for key in keys[counts > 1].tolist()]
    missing = np.setdiff1d(np.setdiff1d(live, later), keys)
    found += [f"memory {key} is not in the table" for key in missing.tolist()]
    return found


def _unequal(actual: pa.RecordBatch, snapshot: Snapshot) -> list[str]:
    """Differing columns of rows that both sides have."""
    keys = actual["key"].to_pylist()
    if not keys:
        return []
    expected = arrow_rows(snapshot.columns(keys))
    if actual.equals(expected):
        return []
    found = []
    for name in expected.schema.names:
        if actual[name].equals(expected[name]):
            continue
        for key, is_, should in zip(
            keys, actual[name].to_pylist(), expected[name].to_pylist(), strict=True
        ):
            if is_ != should:
                found.append(f"memory {key} has another {name} in the table")
    return found


def _changed_since(snapshot: Snapshot, seq: int) -> NDArray[np.int64]:
    """Keys named in the log after ``seq``."""
    changed: list[NDArray[np.int64]] = []
    while seq < snapshot.seq:
        tail = snapshot.changes(seq, limit=_ROWS)
        changed += [tail.rows.keys, tail.gone]
        seq = tail.seq
    return np.unique(np.concatenate(changed)) if changed else np.empty(0, np.int64)
