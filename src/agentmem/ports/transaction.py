"""The one open write transaction of a store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.ports.storing import Snapshot
    from agentmem.types import NewMemory, Record, Scope, TermBatch, VectorSource

__all__ = ["WriteTransaction"]


class WriteTransaction(Protocol):
    """The one open write transaction.  Leaving its context commits; an exception rolls back.

    Also answers as a ``Snapshot`` that sees its own changes (``view``).
    """

    @property
    def view(self) -> Snapshot: ...

    @property
    def now(self) -> int:
        """The commit time in microseconds; never earlier than any event in the log."""
        ...

    @property
    def seq(self) -> int:
        """The last event, of this transaction if it has made any."""
        ...

    @property
    def committed(self) -> bool:
        """Whether it is in the store for good; also tells when leaving was interrupted."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Rolls back to here on an exception, and lets it through."""
        ...

    def insert(
        self,
        memories: Sequence[NewMemory],
        vectors: NDArray[np.float32],
        sources: Sequence[VectorSource],
        terms: TermBatch,
    ) -> list[int]:
        """Add memories with their vectors ``(n, dim)``, keyword rows and ADD events.

        Returns their keys in order.

        Raises:
            ConflictError: an id is already taken (names the first).
        """
        ...

    def update(
        self,
        changed: Sequence[Record],
        vectors: NDArray[np.float32] | None,
        sources: Sequence[VectorSource] | None,
        terms: TermBatch | None,
        *,
        actor_id: str | None = None,
    ) -> None:
        """Write changed records over the stored rows of the same keys, one UPDATE event each
        carrying the whole previous row.  ``vectors``, ``sources`` and ``terms`` are given
        together, row i for record i, or not at all (the text did not change).  Sets
        ``updated_at`` and ``seq``; scope, id, position, ``created_at`` cannot change."""
        ...

    def delete(self, keys: Sequence[int], *, actor_id: str | None = None) -> None:
        """Remove memories, one DELETE event each carrying the whole previous row."""
        ...

    def purge(self, ids: Sequence[bytes]) -> int:
        """Erase rows, vectors, terms and every event of these ids, deleted ones too; each
        leaves one content-free DELETE event so that projections follow.  Returns how many ids
        were known.  After the commit the caller runs ``Store.scrub``."""
        ...

    def ids_of(self, scope: Scope) -> list[bytes]:
        """Ids of all memories of a scope, live or only in the history."""
        ...

    def put_meta(self, name: str, value: Any) -> None: ...

    # -- another model (see ``write.moving``)
    def begin_reembed(self, model_id: str, dim: int) -> None:
        """Start moving the vectors to another model, or resume that move."""
        ...

    def put_next_vectors(
        self, rows: Sequence[tuple[int, int]], vectors: NDArray[np.float32]
    ) -> int:
        """Next vectors of ``(key, seq)`` rows; rows changed since are left out.  Returns how
        many were taken."""
        ...

    def begin_terms(self, analyzer: str) -> int:
        """Start making all keywords by another analyzer, or go on; the last key that is done."""
        ...

    def replace_terms(self, keys: Sequence[int], terms: TermBatch) -> None:
        """Keywords of ascending ``keys`` by the analyzer that was begun with."""
        ...

    def finish_terms(self, analyzer: str) -> None:
        """All keywords are by ``analyzer`` now, under a new epoch."""
        ...

    def finish_reembed(self) -> None:
        """Make the next vectors the vectors, under a new epoch."""
        ...
