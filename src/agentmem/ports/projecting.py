"""What is made from the store: the indexes and the LanceDB table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from agentmem.ports.storing import Filter, Snapshot
from agentmem.ports.work import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.types import (
        Cues,
        Hit,
        PartitionKey,
        Scope,
        SearchMode,
        TermBatch,
    )

__all__ = ["HotIndex", "LargeIndex", "Projection"]


class HotIndex(Protocol):
    """Partitions in memory, exact hybrid search inside them."""

    def search(
        self,
        snapshot: Snapshot,
        partition: PartitionKey,
        *,
        mode: SearchMode,
        vectors: NDArray[np.float32] | None,
        terms: TermBatch | None,
        top_k: int,
        now: int | None,
        scope: Scope,
        allowed: NDArray[np.int64] | None,
        threshold: float | None,
        explain: bool,
        private: bool = False,
        cues: Sequence[Cues] | None = None,
        at: int | None = None,
    ) -> list[list[Hit]]:
        """The best memories per query, best first, ties by smaller key.

        ``vectors`` is ``(q, dim)`` normalised (None in keyword mode), ``terms`` has q texts (None
        in dense mode), ``now`` hides what expired by then (None shows it), ``scope`` must match
        in all its given fields, ``allowed`` are ascending keys that a filter left over (None:
        all).  ``cues`` are one per query, for hybrid mode; ``at`` is the time, in microseconds,
        from which recency counts (None: now).
        Brings itself to ``snapshot.seq`` first; ``private`` instead searches a copy of the
        partition that is read for this call only.

        Raises:
            StaleSnapshot: the partition has changed since the snapshot (never if private).
        """
        ...

    def version(
        self, snapshot: Snapshot, partition: PartitionKey, now: int | None
    ) -> tuple[int, int]:
        """A number that no other state of any partition has had in this process, and when, after
        ``now``, the next memory of the partition expires (``types.NEVER``; also if ``now`` is
        None): what was answered at one number is good until then.

        Raises:
            StaleSnapshot: as ``search``.
        """
        ...

    def clear(self) -> None:
        """Forget every partition (another epoch, another model)."""
        ...

    def stats(self) -> dict[str, Any]: ...


class LargeIndex(Protocol):
    """The same of partitions that are too large to be held in memory."""

    def serves(self, snapshot: Snapshot, partition: PartitionKey) -> bool:
        """Whether a partition is that large; cheap."""
        ...

    def search(
        self,
        snapshot: Snapshot,
        partition: PartitionKey,
        *,
        mode: SearchMode,
        vectors: NDArray[np.float32] | None,
        terms: TermBatch | None,
        top_k: int,
        now: int | None,
        scope: Scope,
        where: Filter | None,
        threshold: float | None,
        explain: bool,
        cues: Sequence[Cues] | None,
        at: int | None,
    ) -> list[list[Hit]] | None:
        """As ``HotIndex.search``, with the filter itself in place of the keys that it leaves.  None
        where the partition changes in a way that is better followed in memory.

        Raises:
            StaleSnapshot: the partition has changed since the snapshot.
        """
        ...

    def clear(self) -> None:
        """Forget every partition, and leave nothing of them on disk."""
        ...

    def stats(self) -> dict[str, Any]: ...


class Projection(Protocol):
    """A LanceDB table that follows the log."""

    @property
    def exists(self) -> bool:
        """Whether there is anything of it on disk, sound or not."""
        ...

    def elsewhere(self, seq: int) -> list[str]:
        """Other places, outside the store, that may hold what was purged until ``seq``, and that
        this process is not configured for."""
        ...

    def drain(self, *, progress: Progress | None = None) -> int:
        """Apply the log's tail; returns the seq reached.  One drainer at a time across
        processes; the others wait for it."""
        ...

    def index(self) -> None:
        """Drain, then wait until the table's indexes cover what they are due to cover."""
        ...

    @property
    def seq(self) -> int:
        """The last event applied, without importing lancedb; 0 when there is no table."""
        ...

    def verify(self) -> list[str]:
        """Differences from SQLite at the applied seq; empty when equal."""
        ...

    def rebuild(self, *, progress: Progress | None = None) -> int:
        """Drop the table and fill it again from SQLite."""
        ...

    def discard(self) -> None:
        """Remove the table and whatever else there is of it; the next drain makes it anew."""
        ...

    def purge(self) -> None:
        """Drain, then rewrite the data files so that deleted rows are on no disk block."""
        ...

    def clear_unused(self) -> None:
        """Remove the table inside the store where one outside is configured."""
        ...

    def close(self) -> None: ...
