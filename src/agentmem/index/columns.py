"""Selecting and joining ``IndexRows``: the copying that compaction needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agentmem.types import IndexRows, TermBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["join_rows", "rows_nbytes", "take_rows"]

_COLUMNS = (
    "keys",
    "seqs",
    "scopes",
    "event_at",
    "expires_at",
    "importance",
    "actors",
)


def take_rows(rows: IndexRows, chosen: NDArray[np.intp]) -> IndexRows:
    """The rows numbered ``chosen``, copied, with only their own scopes."""
    scopes = np.unique(rows.scopes[chosen]).tolist()
    return IndexRows(
        **{name: getattr(rows, name)[chosen] for name in _COLUMNS},
        vectors=rows.vectors[chosen],
        terms=_take_terms(rows.terms, chosen),
        scope_table={scope: rows.scope_table[scope] for scope in scopes},
        actor_table=rows.actor_table,
    )


def join_rows(parts: Sequence[IndexRows]) -> IndexRows:
    """All rows in ascending key order.  No key may occur twice."""
    scope_table = {k: v for part in parts for k, v in part.scope_table.items()}
    wide = any(part.vectors.dtype != np.float16 for part in parts)
    dtype = np.dtype(np.float32 if wide else np.float16)
    joined = IndexRows(
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in _COLUMNS},
        vectors=np.concatenate([p.vectors for p in parts], dtype=dtype),
        terms=_join_terms([p.terms for p in parts]),
        scope_table=scope_table,
        actor_table={k: v for part in parts for k, v in part.actor_table.items()},
    )
    keys = joined.keys
    if np.all(keys[1:] > keys[:-1]):
        return joined
    return take_rows(joined, np.argsort(keys, kind="stable"))


def rows_nbytes(rows: IndexRows) -> int:
    """Bytes of the arrays."""
    terms = rows.terms
    arrays = [getattr(rows, name) for name in _COLUMNS]
    arrays += [rows.vectors]
    arrays += [terms.offsets, terms.terms, terms.counts, terms.lengths]
    return sum(array.nbytes for array in arrays)


def _take_terms(batch: TermBatch, chosen: NDArray[np.intp]) -> TermBatch:
    starts = batch.offsets[:-1][chosen]
    sizes = batch.offsets[1:][chosen] - starts
    offsets = _offsets(sizes)
    where = np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1])
    return TermBatch(offsets, batch.terms[where], batch.counts[where], batch.lengths[chosen])


def _join_terms(parts: Sequence[TermBatch]) -> TermBatch:
    return TermBatch(
        _offsets(np.concatenate([np.diff(p.offsets) for p in parts])),
        np.concatenate([p.terms for p in parts]),
        np.concatenate([p.counts for p in parts]),
        np.concatenate([p.lengths for p in parts]),
    )


def _offsets(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets
