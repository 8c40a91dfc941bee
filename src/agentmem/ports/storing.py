"""The store: snapshots, the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agentmem.ports.lookups import LookUps
from agentmem.ports.text import Remake
from agentmem.ports.work import Progress

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

    from agentmem.ports.transaction import WriteTransaction
    from agentmem.types import (
        Changes,
        HistoryEntry,
        IndexRows,
        MemoryColumns,
        PartitionKey,
        Record,
        Scope,
        Tail,
    )

__all__ = ["Filter", "Snapshot", "StaleSnapshot", "Store"]

T = TypeVar("T")


class Filter(Protocol):
    """A parsed filter; two-valued (a missing field never matches, NOT is exact negation)."""

    @property
    def within(self) -> Scope | None:
        """A scope that holds whatever matches, where one is known."""
        ...

    def sql(self) -> tuple[str, list[Any]]:
        """A boolean SQL expression over ``m`` (memories) joined with ``s`` (scopes), and its
        parameters."""
        ...


class Snapshot(LookUps, Protocol):
    """One read transaction: everything it answers is as of ``seq``."""

    @property
    def seq(self) -> int:
        """The last committed event."""
        ...

    @property
    def present(self) -> int:
        """The last committed event when it was taken; later than ``seq`` in one of the past."""
        ...

    @property
    def epoch(self) -> str:
        """The store's epoch: a random id that reset and restore renew."""
        ...

    @property
    def dim(self) -> int:
        """Numbers in a stored vector; 0 in a store that has never held one."""
        ...

    @property
    def model_id(self) -> str:
        """The model of the stored vectors; empty in a store that has never held one."""
        ...

    def as_of(self, at: int, remake: Remake) -> Snapshot:
        """The store at a time in microseconds: what the last event until then had left, less
        what was purged since.  It lives as long as this snapshot; itself if nothing came after.

        Only its ``seq``, rows, pages, counts and ``load`` are of then.  ``load`` has ``remake``
        compute what is not kept of texts that have gone since.

        Raises:
            InvalidInputError: a time in the future.
        """
        ...

    def back_to(self, seq: int, remake: Remake) -> Snapshot:
        """The same by an event, no later than ``seq`` of this snapshot."""
        ...

    @property
    def reading(self) -> bool:
        """Whether a read transaction is open (see ``Store.peek``)."""
        ...

    def begin(self) -> None:
        """Open it now, if it is not.  To be called before taking a lock under which rows are read:
        connections are few, and those who wait for the lock may have them all.

        Raises:
            StaleSnapshot: see ``Store.peek``.
        """
        ...

    # -- rows
    def records(self, keys: Sequence[int]) -> dict[int, Record]:
        """The live memories among ``keys``."""
        ...

    def matching_keys(
        self, partition: PartitionKey, where: Filter, among: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        """Ascending keys of the memories of a partition that satisfy ``where``; only of those
        ``among`` the given keys, if any are given."""
        ...

    def changed_keys(self, since: int, most: int) -> list[int] | None:
        """The memories that the log names after event ``since``; None if it has more than
        ``most`` events there."""
        ...

    def matching_among(self, keys: NDArray[np.int64], where: Filter) -> NDArray[np.int64]:
        """Ascending those of ``keys`` whose memories satisfy ``where``."""
        ...

    def places(
        self, where: Filter, *, order: str, limit: int, after: tuple[int, int] | None
    ) -> list[tuple[int, int, int]]:
        """Key, last event and time of at most ``limit`` memories that satisfy ``where``, ordered by
        ``created_at``, ``updated_at`` or ``timestamp`` (prefix ``-`` for newest first) and key;
        ``after`` is the (time, key) of the last one already seen.

        Raises:
            FilterError: an unknown order.
        """
        ...

    def page(
        self, where: Filter, *, order: str, limit: int, after: tuple[int, int] | None
    ) -> list[Record]:
        """The memories at these ``places``."""
        ...

    def count(self, where: Filter) -> int: ...

    def history(self, memory_id: bytes) -> list[HistoryEntry]:
        """Every event of a memory, oldest first, deleted memories too; empty if never known."""
        ...

    def vectors(self, keys: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """``(n, dim)`` float32 in the order of ``keys`` and their ``VectorSource``.

        Raises:
            NotFoundError: a key without a vector.
        """
        ...

    # -- the log
    def load(self, partition: PartitionKey) -> IndexRows:
        """Every live memory of a partition, expired ones too."""
        ...

    def load_parts(self, partition: PartitionKey) -> Iterator[IndexRows]:
        """The same a few thousand rows at a time, in ascending order of keys; at least one part,
        if it is empty."""
        ...

    def load_scopes(self, scopes: Sequence[int], *, most: int) -> IndexRows | None:
        """Every live memory of these interned scopes; None if there are more than ``most``."""
        ...

    def scope(self, number: int) -> Scope:
        """The interned scope with this number."""
        ...

    def scopes_within(self, scope: Scope) -> NDArray[np.int64]:
        """Ascending numbers of the interned scopes that have all given values of ``scope``."""
        ...

    def size(self, partition: PartitionKey) -> int:
        """How many live memories a partition has."""
        ...

    def changes(self, since: int, *, limit: int = 0) -> Changes:
        """What changed after event ``since``; with ``limit``, at most that many events."""
        ...

    def tail(
        self, since: int, make: Callable[[MemoryColumns], T], *, events: int, size: int
    ) -> Tail[T]:
        """What changed after event ``since``, as whole rows, for whoever has applied all before
        it: at most so many events, and rows of about ``size`` bytes (with one more, at least
        one).  ``make`` is called with parts of a few thousand rows, of which it makes what is
        kept."""
        ...

    def columns(self, keys: Sequence[int]) -> MemoryColumns:
        """The live memories among ``keys``, in that order."""
        ...

    # -- another model (see ``write.moving``)
    def reembed_pending(self, after: int, limit: int) -> list[tuple[int, int, str]]:
        """``(key, seq, content)`` of memories beyond key ``after`` without a next vector."""
        ...

    def reembed_remaining(self) -> int:
        """How many memories still lack a vector of the next model."""
        ...

    @property
    def analyzer(self) -> str:
        """The recipe of the stored keyword terms; empty before the first."""
        ...

    def texts(self, after: int, limit: int) -> list[tuple[int, str]]:
        """``(key, content)`` of memories beyond key ``after``, ascending."""
        ...

    def stats(self) -> dict[str, Any]: ...


class Store(Protocol):
    """SQLite, the source of truth."""

    def read(self) -> AbstractContextManager[Snapshot]:
        """A snapshot on a pooled connection.

        Raises:
            StoreTimeoutError: no connection became free in time.
        """
        ...

    def glance(self) -> AbstractContextManager[LookUps]:
        """What a write asks before it is made.  A transaction is begun only for what cannot be
        told without one: that a scope does not have a text the store mostly knows.  It may not
        know of one that another process has added of late; then its vector is computed again."""
        ...

    def peek(self) -> AbstractContextManager[Snapshot]:
        """As ``read``, but no transaction is begun as long as nothing has to be read and nobody
        has committed since the last one.  What then reads after all may find that the store has
        moved on: it raises ``StaleSnapshot``, and the caller begins again."""
        ...

    def ask(self, question: Callable[[Snapshot], T]) -> T:
        """What ``question`` answers of a snapshot.

        As ``read``, but while nobody commits its statements are transactions by themselves.  Where
        somebody has, what it was told may be of two states, and it is asked again; so it must be
        good for being asked twice.  Each statement lets other threads have the interpreter lock,
        and one that wants it back among many may wait for it as often as there are statements."""
        ...

    def await_writes(self, at: int) -> None:
        """Return when no write is under way that may yet be committed with a time up to ``at``, in
        microseconds and no later than now: snapshots opened from then on have all of that time.

        Raises:
            StoreTimeoutError: one was under way for longer than ``lock_timeout``.
        """
        ...

    def write(
        self, *, timeout: float | None = None, frees: bool = False
    ) -> AbstractContextManager[WriteTransaction]:
        """The process-wide and cross-process write lock, then ``BEGIN IMMEDIATE``.

        Args:
            frees: it deletes or purges, for which a disk that is nearly full still has the room
                that was put aside.

        Raises:
            StoreTimeoutError, StoreFullError, StorePathError, StoreCorruptError
        """
        ...

    def last_seq(self) -> int:
        """The newest committed event, from any process; cheap (see ``PRAGMA data_version``)."""
        ...

    def require_present(self) -> None:
        """
        Raises:
            StorePathError: the database was removed, or another one put in its place.
        """
        ...

    def settle(self) -> None:
        """Make durable what is committed, before a projection is said to have it: else a power
        cut may take back events that it believes in, and others take their numbers."""
        ...

    def note_access(self, keys: Sequence[int]) -> None:
        """Count these memories as read; kept in memory and written in batches, no events."""
        ...

    def scrub(self) -> int:
        """After a purge: overwrite free pages and truncate the WAL, so that erased
        content is in no file of the store.  Returns what ``finish_erasing`` is told."""
        ...

    def finish_erasing(self, covered: int) -> None:
        """Note that of what was purged until ``covered`` nothing is in any file, of projections,
        too."""
        ...

    def reset(self) -> int:
        """Erase everything and renew the epoch.  Returns as ``scrub``."""
        ...

    def backup(
        self, path: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """A copy of the store, as it is now, as a store in the folder ``path``."""
        ...

    def check(self) -> list[str]:
        """Problems found: SQLite integrity, rows without vectors or terms, broken hashes,
        events that do not chain.  Empty when sound."""
        ...

    def close(self) -> None: ...


class StaleSnapshot(Exception):
    """The index is already newer than the snapshot: open another one and ask again.

    A signal between ``HotIndex`` and ``search``; it never reaches a caller of the library.
    """
