"""Between SQLite's blobs and NumPy's arrays, a column at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem._native import vectors as native
from agentmem._native.gather import gather
from agentmem.types import NEVER, IndexRows, Strings, TermBatch, VectorSource

__all__ = [
    "INDEX_COLUMNS",
    "join_vectors",
    "pack_vectors",
    "slice_terms",
    "slice_vectors",
    "stored_vectors",
    "to_index_rows",
]

#: What ``to_index_rows`` reads, of ``memories m``, ``vectors v`` and ``terms t``.
INDEX_COLUMNS = (
    "m.key, m.seq, m.scope, m.event_at,"
    f" ifnull(m.expires_at, {NEVER}), m.importance, v.source, v.data, t.length, t.terms, t.counts,"
    " m.actor_id"
)
_KINDS = "iiiiidibibbo"


def pack_vectors(vectors: NDArray[np.float32], source: VectorSource) -> tuple[bytes, int]:
    """``(n, dim)`` as stored, one after the other, and the bytes of each: float16 of the
    model's, float32 of a caller's, little-endian."""
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if source == VectorSource.MODEL:
        return native.to_f16(rows).astype("<f2", copy=False).tobytes(), 2 * rows.shape[1]
    return rows.astype("<f4", copy=False).tobytes(), 4 * rows.shape[1]


def slice_vectors(vectors: NDArray[np.float32], sources: Sequence[VectorSource]) -> list[bytes]:
    """One blob per row of ``(n, dim)``."""
    kinds = set(sources)
    if len(kinds) == 1:
        data, width = pack_vectors(vectors, sources[0])
        return [data[start : start + width] for start in range(0, len(data), width)]
    blobs: list[bytes] = [b""] * len(sources)
    for source in kinds:
        places = [i for i, one in enumerate(sources) if one == source]
        data, width = pack_vectors(vectors[places], source)
        for i, start in zip(places, range(0, len(data), width), strict=True):
            blobs[i] = data[start : start + width]
    return blobs


def join_vectors(
    blobs: Sequence[bytes], sources: Sequence[int] | NDArray[np.int64], dim: int
) -> NDArray[Any]:
    """``(n, dim)`` of stored blobs: float16 if all are the model's, else float32."""
    n = len(blobs)
    if not n:
        return np.empty((0, dim), dtype=np.float16)
    kinds = set(sources)
    if len(kinds) == 1:
        dtype = "<f2" if VectorSource.MODEL in kinds else "<f4"
        return np.frombuffer(b"".join(blobs), dtype=dtype).reshape(n, dim)
    model = np.asarray(sources) == int(VectorSource.MODEL)
    out = np.empty((n, dim), dtype=np.float32)
    for rows, dtype in ((np.flatnonzero(model), "<f2"), (np.flatnonzero(~model), "<f4")):
        if len(rows):
            out[rows] = np.frombuffer(
                b"".join([blobs[i] for i in rows.tolist()]), dtype=dtype
            ).reshape(len(rows), dim)
    return out


def stored_vectors(blobs: Strings, sources: NDArray[np.int64], dim: int) -> NDArray[Any]:
    """``join_vectors`` of blobs that lie end to end, which are copied only where model's and
    callers' are mixed."""
    n = len(sources)
    kinds = set(sources.tolist())
    if len(kinds) > 1:
        data = blobs.data.tobytes()
        return join_vectors([data[a:b] for a, b in pairwise(blobs.offsets)], sources, dim)
    return blobs.data.view("<f4" if kinds == {VectorSource.CALLER} else "<f2").reshape(n, dim)


def slice_terms(batch: TermBatch) -> list[tuple[int, bytes, bytes]]:
    """``(length, terms, counts)`` per text."""
    terms = np.ascontiguousarray(batch.terms, dtype="<u8").tobytes()
    counts = np.ascontiguousarray(batch.counts, dtype="<u2").tobytes()
    ends = batch.offsets.tolist()
    return [
        (length, terms[8 * a : 8 * b], counts[2 * a : 2 * b])
        for length, a, b in zip(batch.lengths.tolist(), ends, ends[1:], strict=False)
    ]


def to_index_rows(rows: Iterator[tuple[Any, ...]], dim: int, most: int) -> IndexRows:
    """The next ``most`` rows, selected as ``INDEX_COLUMNS``, ascending by key, without their scope
    table; fewer where there are no more."""
    _, _, columns = gather(rows, _KINDS, most, sys.maxsize)
    (
        (keys, _), (seqs, _), (scopes, _), (event_at, _), (expires_at, _), (importance, known),
        (sources, _), vectors, (lengths, _), (ends, terms, _), (_, counts, _), actors,
    ) = columns  # fmt: skip
    importance = importance.astype(np.float32)
    if known is not None:
        importance[known == 0] = np.nan
    numbers = {name: actor_number(name) for name in set(actors)}
    return IndexRows(
        keys=keys,
        seqs=seqs,
        scopes=scopes,
        event_at=event_at,
        expires_at=expires_at,
        importance=importance,
        actors=np.array([numbers[name] for name in actors], dtype=np.int64),
        vectors=stored_vectors(Strings(*vectors), sources, dim),
        terms=TermBatch(
            offsets=ends.astype(np.int64) // 8,
            terms=terms.view("<u8"),
            counts=counts.view("<u2"),
            lengths=lengths.astype(np.uint32),
        ),
        actor_table={number: name for name, number in numbers.items() if name is not None},
    )


def actor_number(name: str | None) -> int:
    """A number that any process gives this ``actor_id``; 0 for None."""
    if name is None:
        return 0
    digest = blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1 | 1


def join_rows(parts: Sequence[IndexRows]) -> IndexRows:
    """The rows of all parts, in their order; uses the parts up."""
    if len(parts) == 1:
        return parts[0]
    offsets = [parts[0].terms.offsets]
    for part in parts[1:]:
        offsets.append(part.terms.offsets[1:] + offsets[-1][-1])

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    dtypes = [part.vectors.dtype for part in parts]
    vectors = np.empty(
        (sum(len(part.keys) for part in parts), parts[0].vectors.shape[1]),
        dtype=np.result_type(*dtypes),  # float32 if any part is
    )
    row = 0
    for part in parts:
        vectors[row : row + len(part.keys)] = part.vectors
        row += len(part.keys)
        part.vectors = part.vectors[:0].copy()  # a large partition is not held twice

    def terms(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part.terms, name) for part in parts])

    return IndexRows(
        keys=column("keys"),
        seqs=column("seqs"),
        scopes=column("scopes"),
        event_at=column("event_at"),
        expires_at=column("expires_at"),
        importance=column("importance"),
        actors=column("actors"),
        vectors=vectors,
        terms=TermBatch(
            offsets=np.concatenate(offsets),
            terms=terms("terms"),
            counts=terms("counts"),
            lengths=terms("lengths"),
        ),
        actor_table={k: v for part in parts for k, v in part.actor_table.items()},
    )
