"""Which indexes a table has, and building them.

=================  =================================================  =========================
name               of                                                 type
=================  =================================================  =========================
``vector_ann``     ``vector``, cosine                                 IVF_HNSW_SQ, IVF_PQ, IVF_RQ
``content_fts``    ``content``, English stems, no positions           full text (inverted)
``<name>_btree``   ``key``, ``user_id``, ``agent_id``, ``run_id``,    BTREE
                   ``org_id``
=================  =================================================  =========================

Building takes minutes of every core and would stop the threads of the process it runs in, so it
happens in a child process (``agentmem.vector.build``).  Lance commits an index beside commits of
rows; only one that merges the files that an index is being built over is lost, and done again.

This module imports lancedb, so import it where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from lancedb.index import FTS, BTree, HnswSq, IvfPq, IvfRq

if TYPE_CHECKING:
    from agentmem.config import ProjectionConfig

__all__ = ["Coverage", "build", "coverage"]

_VECTOR = "vector_ann"
_SEGMENTS = 10  # of the vector index; each is searched, so beyond it is built anew as one
_SHARE = 50  # of the rows may be unindexed: Lance merges files whenever it extends an index
_COMMITS = 64  # each leaves a file or two, and a search opens them all
_KEEP = timedelta(minutes=1)  # versions that another process may still be reading
#: From here on the graph costs more than it saves (measured at 30,000 rows of 384 numbers, on one
#: core: HNSW 7.8 s and 547 bytes a row, RaBitQ 6.4 s and 67 bytes; 2.0 and 3.5 ms a search).
_LARGE = 2_000_000
_PARTITION = 4_096  # rows, of an index without a graph


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a table its indexes cover."""

    rows: int
    indexed: int  # rows that every index covers; 0 where one is missing
    missing: tuple[str, ...]  # names of indexes yet to be built
    segments: int  # of the vector index

    def due(self, config: ProjectionConfig, commits: int) -> bool:
        """Whether something should be built; ``commits`` since files were last merged."""
        if not config.index_rows or self.rows < config.index_rows:
            return False
        tail = self.rows - self.indexed
        return bool(self.missing) or tail > _tail(config, self.rows) or commits >= _COMMITS


def coverage(inner: Any) -> Coverage:
    """Of an open LanceDB table; reads its manifest only."""
    found = {index.name: index for index in inner.list_indices()}
    rows = inner.count_rows()
    missing = tuple(name for name, _, _ in _wanted(None, rows) if name not in found)
    ours = [found[name] for name, _, _ in _wanted(None, rows) if name in found]
    covered = [index.num_indexed_rows or 0 for index in ours]
    return Coverage(
        rows=rows,
        indexed=0 if missing else min(covered),
        missing=missing,
        segments=(found[_VECTOR].num_segments or 1) if _VECTOR in found else 0,
    )


def build(inner: Any, config: ProjectionConfig, step: Callable[[str], None]) -> Coverage:
    """Build what is missing, extend what is there over new rows, remove old versions;
    ``step(name)`` is called before each part."""
    step("files")
    inner.optimize(cleanup_older_than=_KEEP)
    now = coverage(inner)
    again = {_VECTOR} if now.segments > _SEGMENTS else set()
    for name, column, settings in _wanted(config, now.rows):
        if name in now.missing or name in again:
            step(name)
            inner.create_index(column, config=settings, name=name, replace=True)
    inner.checkout_latest()
    return coverage(inner)


def _tail(config: ProjectionConfig, rows: int) -> int:
    return max(config.index_tail, rows // _SHARE)


def _wanted(config: ProjectionConfig | None, rows: int) -> Iterable[tuple[str, str, Any]]:
    """Name, column and settings; the cheap ones first."""
    for column in ("key", "user_id", "agent_id", "run_id", "org_id"):
        yield f"{column}_btree", column, BTree()
    yield "content_fts", "content", FTS(with_position=False)
    yield _VECTOR, "vector", None if config is None else _ann(config, rows)


def _ann(config: ProjectionConfig, rows: int) -> HnswSq | IvfPq | IvfRq:
    kind: Literal["auto", "ivf_hnsw_sq", "ivf_pq", "ivf_rq"] = config.index_type
    if kind == "auto":
        kind = "ivf_hnsw_sq" if rows < _LARGE else "ivf_rq"
    if kind == "ivf_hnsw_sq":
        return HnswSq(
            distance_type="cosine",
            num_partitions=config.index_partitions or max(1, rows // _LARGE),
            m=config.index_m,
            ef_construction=config.index_ef,
        )
    partitions = config.index_partitions or max(1, rows // _PARTITION)
    made = IvfPq if kind == "ivf_pq" else IvfRq
    return made(distance_type="cosine", num_partitions=partitions, sample_rate=64)
