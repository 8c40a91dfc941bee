"""A large partition at one event of the log: volumes, and which of their runs still count.

A run lives in one volume as a whole.  Whatever touches it, a memory that is added, changed or
deleted, strikes the run out where it stood and puts it, as it is now, into a new small volume.
So statistics of runs and windows simply add up over volumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from agentmem.index.columns import join_rows
from agentmem.index.volume import Volume
from agentmem.index.whole import Whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from agentmem.index.volume import Occurrences
    from agentmem.ports import Snapshot
    from agentmem.types import Changes, IndexRows, PartitionKey

__all__ = ["Holding", "Shelf", "TooMuchChanged"]

#: Rows of the runs that one step may read anew.  A run far longer than any conversation, written
#: to all the time, is beyond it.
_MOST_ROWS = 50_000
_TAIL_EVENTS = 50_000  # read from the log at a time
#: Small volumes below this many rows are always worth joining.
_SMALL = 256


class TooMuchChanged(Exception):
    """What the log's tail touched is more than is worth following."""


@dataclass(frozen=True, eq=False)
class Holding:
    """A volume and its live runs: 1 where live, None where all are."""

    volume: Volume
    live: NDArray[np.uint8] | None
    n: int
    runs: int
    length: int
    window_length: int
    rows: IndexRows | None = None  # what a small one was made from, to join it with others

    @classmethod
    def of(cls, volume: Volume, rows: IndexRows | None = None) -> Holding:
        lengths = volume.length, volume.window_length
        return cls(volume, None, volume.n, volume.runs, *lengths, rows)

    def without(self, runs: NDArray[np.int64]) -> Holding:
        """The same with these runs (no one twice) struck out; itself if they are already."""
        if self.live is not None:
            runs = runs[self.live[runs] == 1]
        if not len(runs):
            return self
        volume = self.volume
        live = np.ones(volume.runs, np.uint8) if self.live is None else self.live.copy()
        live[runs] = 0
        return Holding(
            volume,
            live,
            self.n - int((volume.starts[runs + 1] - volume.starts[runs]).sum()),
            self.runs - len(runs),
            self.length - int(volume.run_lengths[runs].sum(dtype=np.float64)),
            self.window_length - int(volume.run_window_lengths[runs].sum()),
            self.rows,
        )

    @cached_property
    def live_slots(self) -> NDArray[np.uint8] | None:
        """1 for each slot of a live run, None where all are."""
        if self.live is None:
            return None
        return np.repeat(self.live, np.diff(self.volume.starts))

    @cached_property
    def _struck(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """First slots and ends of the runs that are struck out."""
        assert self.live is not None
        runs = np.flatnonzero(self.live == 0)
        return self.volume.starts[runs], self.volume.starts[runs + 1]

    def df(self, term: Occurrences) -> tuple[int, int]:
        """Live texts and live runs that have a term."""
        slots, runs = term.slots, len(term.runs)
        if self.live is None or not len(slots):
            return len(slots), runs
        starts, ends = self._struck
        gone = np.searchsorted(slots, ends) - np.searchsorted(slots, starts)
        return len(slots) - int(gone.sum()), runs - int(np.count_nonzero(gone))

    def live_rows(self) -> IndexRows:
        """Of a holding that knows what it was made from."""
        from agentmem.index.columns import take_rows

        assert self.rows is not None
        if self.live_slots is None:
            return self.rows
        return take_rows(self.rows, np.sort(self.volume.rank_of[self.live_slots == 1]))


@dataclass(frozen=True, eq=False)
class Shelf:
    """All live runs of a partition as of event ``seq``, the oldest and largest volume first."""

    partition: PartitionKey
    holdings: tuple[Holding, ...]
    seq: int

    @cached_property
    def n(self) -> int:
        return sum(holding.n for holding in self.holdings)

    @cached_property
    def tail_rows(self) -> int:
        """Live rows beyond the first volume."""
        return sum(holding.n for holding in self.holdings[1:])

    @cached_property
    def nbytes(self) -> int:
        """Bytes in memory beyond the first volume, which is mapped."""
        return sum(holding.volume.nbytes for holding in self.holdings[1:])

    def whole(self, terms: list[list[Occurrences]]) -> Whole:
        """The statistics of the partition for a query with these terms, given per holding."""
        counted = [
            [holding.df(term) for holding, term in zip(self.holdings, spread, strict=True)]
            for spread in zip(*terms, strict=True)
        ]
        return Whole(
            n=self.n,
            runs=sum(holding.runs for holding in self.holdings),
            length=sum(holding.length for holding in self.holdings),
            window_length=sum(holding.window_length for holding in self.holdings),
            df=np.array([sum(texts for texts, _ in found) for found in counted], np.int32),
            run_df=np.array([sum(runs for _, runs in found) for found in counted], np.int32),
        )

    # -- following the log ----------------------------------------------------------------------

    def at(self, snapshot: Snapshot, gone: Callable[[Sequence[int]], None]) -> Shelf:
        """As of ``snapshot.seq``, which is not before this; ``gone`` is told what was deleted.

        Raises:
            TooMuchChanged
        """
        shelf = self
        while shelf.seq < snapshot.seq:
            changes = snapshot.changes(shelf.seq, limit=_TAIL_EVENTS)
            shelf = shelf._applying(changes, snapshot)
            gone(changes.gone.tolist())
            # Without progress there are no events left: some numbers were never committed.
            seq = changes.seq if changes.seq > shelf.seq else snapshot.seq
            shelf = Shelf(self.partition, shelf.holdings, seq)
        return shelf

    def _applying(self, changes: Changes, snapshot: Snapshot) -> Shelf:
        rows = _inside(changes.rows, self.partition)
        touched = np.concatenate([rows.keys, changes.gone])
        if not len(touched):
            return self
        named = {s for s in np.unique(rows.scopes).tolist() if rows.scope_table[s].run_id}
        again: set[int] = set()  # scopes of struck runs, whose other memories must be read
        holdings = []
        for holding in self.holdings:
            struck = _struck_by(holding, touched, named, again)
            holdings.append(holding.without(struck))
        again = {s for s in again if _is_run(s, rows, snapshot)}
        fresh = _reread(rows, again, snapshot)
        if fresh is not None:
            window = self.holdings[0].volume.window
            volume = Volume.of(fresh, window, snapshot.seq)
            holdings.append(Holding.of(volume, fresh))
        return Shelf(self.partition, _joined(tuple(holdings)), self.seq)


def _struck_by(
    holding: Holding, touched: NDArray[np.int64], named: set[int], again: set[int]
) -> NDArray[np.int64]:
    """The live runs that hold one of the ``touched`` keys or are one of the ``named`` scopes; adds
    their scopes to ``again``."""
    volume = holding.volume
    runs = set(np.unique(volume.runs_of(volume.find(touched))).tolist())
    if named and volume.runs:
        wanted = np.fromiter(named, np.int64, len(named))
        at = np.searchsorted(volume.scopes, wanted)
        at[at == volume.runs] = 0
        runs.update(at[volume.scopes[at] == wanted].tolist())
    struck = np.array(sorted(runs), np.int64)
    if holding.live is not None:
        struck = struck[holding.live[struck] == 1]
    again.update(volume.scopes[struck].tolist())
    return struck


def _is_run(scope: int, rows: IndexRows, snapshot: Snapshot) -> bool:
    """Whether the memories of a scope belong together."""
    known = rows.scope_table.get(scope) or snapshot.scope(scope)
    return known.run_id is not None


def _reread(rows: IndexRows, scopes: set[int], snapshot: Snapshot) -> IndexRows | None:
    """The changed rows, and those of ``scopes`` as a whole.

    Raises:
        TooMuchChanged
    """
    from agentmem.index.columns import take_rows

    parts = []
    rest = rows
    if scopes:
        whole = snapshot.load_scopes(sorted(scopes), most=_MOST_ROWS)
        if whole is None:
            raise TooMuchChanged
        parts.append(whole)
        rest = take_rows(rows, np.flatnonzero(~np.isin(rows.scopes, list(scopes))))
    parts.append(rest)
    parts = [part for part in parts if len(part.keys)]
    return join_rows(parts) if parts else None


def _inside(rows: IndexRows, partition: PartitionKey) -> IndexRows:
    """The rows that belong to a partition."""
    from agentmem.index.columns import take_rows

    if partition.column is None or not len(rows.keys):
        return rows
    fits = {
        number: getattr(scope, partition.column) == partition.value
        for number, scope in rows.scope_table.items()
    }
    if all(fits.values()):
        return rows
    chosen = np.array([fits[scope] for scope in rows.scopes.tolist()], bool)
    return take_rows(rows, np.flatnonzero(chosen))


def _joined(holdings: tuple[Holding, ...]) -> tuple[Holding, ...]:
    """With the last small volumes made one, as long as none is more than twice as large as all
    after it together: there are few, and each row is copied a logarithmic number of times."""
    first = holdings[:1]
    rest = [holding for holding in holdings[1:] if holding.n]
    start = len(rest)
    total = 0
    while start > 0 and (not total or rest[start - 1].n <= max(_SMALL, 2 * total)):
        start -= 1
        total += rest[start].n
    if len(rest) - start < 2:
        return (*first, *rest)
    old = rest[start:]
    rows = join_rows([holding.live_rows() for holding in old])
    seq = max(holding.volume.seq for holding in old)
    return (*first, *rest[:start], Holding.of(Volume.of(rows, old[0].volume.window, seq), rows))
