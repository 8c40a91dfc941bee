"""Many whole runs as immutable arrays, in memory or mapped from a file.

A row has a *rank*, its place among ascending keys, and a *slot*: run after run (by scope), within
a run by key.  Vectors lie by rank, in the order in which they were written; everything else lies
by slot, so that what stands around a memory stands beside it.  A memory without a ``run_id`` is a
run of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agentmem._native import volume as native
from agentmem.types import IndexRows, Scope, TermBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.index.clusters import Clusters
    from agentmem.ports import Analyzer

__all__ = ["Occurrences", "Volume", "ranges"]

#: Stands for the scope of any run where only runs matter.
_SOME_RUN = Scope(run_id="-")


class Occurrences(NamedTuple):
    """Where a term is: ascending slots and runs, and how often it is in each."""

    slots: NDArray[np.int32]
    counts: NDArray[np.uint16]
    runs: NDArray[np.int32]
    run_counts: NDArray[np.uint16]  # 65,535 also stands for more


@dataclass(eq=False)
class Volume:
    """``n`` rows in ``runs`` runs; nothing in it ever changes, so any thread may read."""

    # -- by rank
    sorted_keys: NDArray[np.int64]
    slot_of: NDArray[np.int32]
    vectors: NDArray[np.float16] | NDArray[np.float32]  # (n, dim)
    # -- by slot
    rank_of: NDArray[np.int32]
    keys: NDArray[np.int64]
    seqs: NDArray[np.int64]
    lengths: NDArray[np.float32]  # in terms
    window_lengths: NDArray[np.float32]
    event_at: NDArray[np.int64]
    expires_at: NDArray[np.int64]
    importance: NDArray[np.float32]
    actors: NDArray[np.int32]  # numbers from 1, 0 where nobody is known
    # -- by run, ascending by scope
    starts: NDArray[np.int32]  # (runs + 1,) first slots
    scopes: NDArray[np.int64]  # (runs,) interned scope ids; of several runs if it has no run_id
    # -- by term, ascending
    terms: NDArray[np.uint64]
    term_starts: NDArray[np.int64]  # (terms + 1,) into the postings by slot
    run_term_starts: NDArray[np.int64]  # (terms + 1,) and into those by run
    # -- postings, term after term
    slots: NDArray[np.int32]
    counts: NDArray[np.uint16]
    # -- postings by run, term after term: see ``Occurrences``
    runs_with: NDArray[np.int32]
    run_counts: NDArray[np.uint16]
    # -- what is small
    window: int  # neighbours on each side that ``window_lengths`` counts
    seq: int  # the event at which this was read
    actor_numbers: list[int] = field(default_factory=list)  # of actors 1, 2... (see ``IndexRows``)
    actor_names: list[str] = field(default_factory=list)
    clusters: Clusters | None = None  # of the vectors, where there are many

    @classmethod
    def of(cls, rows: IndexRows, window: int, seq: int) -> Volume:
        """From rows whose runs are whole; their vectors are kept as they are."""
        order = np.argsort(rows.scopes, kind="stable").astype(np.int32)
        n = len(order)
        slot_of = np.empty(n, np.int32)
        slot_of[order] = np.arange(n, dtype=np.int32)
        scopes = rows.scopes[order]
        starts = _starts(scopes, rows.scope_table)
        lengths = rows.terms.lengths[order].astype(np.float32)
        terms, term_starts, slots, counts = native.invert(*_by_slot(rows.terms, order))
        run_term_starts, runs_with, run_counts = _by_run(starts, term_starts, slots, counts)
        keys = rows.keys[order]
        numbers, actors = np.unique(rows.actors[order], return_inverse=True)
        if len(numbers) and numbers[0] == 0:
            numbers = numbers[1:]
        else:
            actors = actors + 1
        return cls(
            sorted_keys=rows.keys,
            slot_of=slot_of,
            vectors=rows.vectors,
            rank_of=order,
            keys=keys,
            seqs=rows.seqs[order],
            lengths=lengths,
            window_lengths=_window_lengths(lengths, starts, window),
            event_at=rows.event_at[order],
            expires_at=rows.expires_at[order],
            importance=rows.importance[order],
            actors=actors.astype(np.int32),
            starts=starts,
            scopes=scopes[starts[:-1]],
            terms=terms,
            term_starts=term_starts,
            run_term_starts=run_term_starts,
            slots=slots,
            counts=counts,
            runs_with=runs_with,
            run_counts=run_counts,
            window=window,
            seq=seq,
            actor_numbers=numbers.tolist(),
            actor_names=[rows.actor_table[number] for number in numbers.tolist()],
        )

    @property
    def n(self) -> int:
        return len(self.keys)

    @property
    def runs(self) -> int:
        return len(self.scopes)

    @cached_property
    def texts(self) -> native.Texts:
        """The kernel's handle on the columns."""
        return native.Texts(
            self.starts,
            self.lengths,
            self.window_lengths,
            self.run_lengths,
            self.keys,
            self.actors,
            self.event_at,
            len(self.actor_names),
            self.window,
        )

    @cached_property
    def run_lengths(self) -> NDArray[np.float32]:
        return _sums(self.lengths, self.starts).astype(np.float32)

    @cached_property
    def run_window_lengths(self) -> NDArray[np.int64]:
        """Of each run the sum of its windows' lengths."""
        return _sums(self.window_lengths, self.starts)

    @cached_property
    def length(self) -> int:
        return int(self.run_lengths.sum(dtype=np.float64))

    @cached_property
    def window_length(self) -> int:
        return int(self.window_lengths.sum(dtype=np.float64))

    @cached_property
    def first_expiry(self) -> int:
        return int(self.expires_at.min()) if self.n else 0

    @cached_property
    def times(self) -> tuple[int, int]:
        """Of the first and of the last thing that happened."""
        return int(self.event_at.min()), int(self.event_at.max())

    @cached_property
    def nbytes(self) -> int:
        """Bytes of the arrays, those of a file included."""
        arrays = (getattr(self, f.name) for f in fields(self))
        return sum(a.nbytes for a in arrays if isinstance(a, np.ndarray))

    # -- finding ----------------------------------------------------------------------------

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int32]:
        """Slots of those ``keys`` that are here, in their order."""
        if not self.n:
            return np.empty(0, np.int32)
        at = np.searchsorted(self.sorted_keys, keys)
        at[at == self.n] = 0  # any row: its key is smaller, so it does not match
        found: NDArray[np.int32] = self.slot_of[at[self.sorted_keys[at] == keys]]
        return found

    def runs_of(self, slots: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.int64]:
        # Of another type than the array's, searchsorted would copy the array.
        found = np.searchsorted(self.starts, slots.astype(np.int32), side="right")
        return found - 1

    def vectors_of(
        self, slots: NDArray[np.int64] | NDArray[np.int32]
    ) -> NDArray[np.float16] | NDArray[np.float32]:
        """``(len(slots), dim)``, copied."""
        rows: Any = np.asarray(self.vectors[self.rank_of[slots]])
        return rows  # type: ignore[no-any-return]

    def occurrences(self, terms: list[int]) -> list[Occurrences]:
        """Of each of the ``terms``."""
        places = np.searchsorted(self.terms, np.array(terms, np.uint64)).tolist()
        found = []
        for term, at in zip(terms, places, strict=True):
            slots = runs = slice(0)
            if at < len(self.terms) and self.terms[at] == term:
                slots = slice(*self.term_starts[at : at + 2].tolist())
                runs = slice(*self.run_term_starts[at : at + 2].tolist())
            found.append(
                Occurrences(
                    self.slots[slots],
                    self.counts[slots],
                    self.runs_with[runs],
                    self.run_counts[runs],
                )
            )
        return found

    def asked(self, terms: list[int], analyzer: Analyzer) -> NDArray[np.uint8] | None:
        """Per actor 1 where one of the ``terms`` is in the name; None if nobody is named."""
        called = self._called.get("terms")
        if called is None:
            called = {}
            names = analyzer.analyze(self.actor_names)
            for i, (a, b) in enumerate(zip(names.offsets[:-1], names.offsets[1:], strict=True), 1):
                for term in names.terms[a:b].tolist():
                    called.setdefault(term, []).append(i)
            self._called["terms"] = called
        found = [actor for term in terms for actor in called.get(term, ())]
        if not found:
            return None
        asked = np.zeros(len(self.actor_names) + 1, np.uint8)
        asked[found] = 1
        return asked

    @cached_property
    def _called(self) -> dict[str, dict[int, list[int]]]:
        return {}

    # -- taking rows out ----------------------------------------------------------------------

    def take(
        self,
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        terms: list[int],
        occurrences: list[Occurrences],
        *,
        first_scope: int,
    ) -> tuple[IndexRows, NDArray[np.int64]]:
        """The rows in the slots from each of ``begins`` (ascending) up to its one of ``ends``,
        and their slots.  Among their terms are only ``terms`` (ascending), which are where
        ``occurrences`` say.

        Each of these stretches is a run, with a scope of its own from ``first_scope`` on: which
        rows belong together is all that ranking asks of scopes.
        """
        sizes = ends - begins
        slots = ranges(begins, sizes)
        heads = np.cumsum(sizes) - sizes
        rows, which, counts = [], [], []
        for number, (places, times, _, _) in enumerate(occurrences):
            if not len(places):
                continue
            low, high = (np.searchsorted(places, cut.astype(np.int32)) for cut in (begins, ends))
            found = ranges(low, high - low)
            rows.append(places[found] + np.repeat(heads - begins, high - low))
            which.append(np.full(len(found), number))
            counts.append(times[found])
        numbers = np.arange(first_scope, first_scope + len(begins))
        return self._rows(
            slots,
            np.repeat(numbers, sizes),
            dict.fromkeys(numbers.tolist(), _SOME_RUN),
            _to_batch(rows, which, counts, terms, self.lengths[slots].astype(np.uint32)),
        )

    def _rows(
        self,
        slots: NDArray[np.int64],
        scopes: NDArray[np.int64],
        table: dict[int, Scope],
        terms: TermBatch,
    ) -> tuple[IndexRows, NDArray[np.int64]]:
        from agentmem.index.columns import take_rows

        said, actors = np.unique(self.actors[slots], return_inverse=True)
        known = [(self.actor_numbers[i - 1], self.actor_names[i - 1]) for i in said if i]
        numbers = np.array([self.actor_numbers[i - 1] if i else 0 for i in said], np.int64)
        keys = self.keys[slots]
        rows = IndexRows(
            keys=keys,
            seqs=self.seqs[slots],
            scopes=scopes,
            event_at=self.event_at[slots],
            expires_at=self.expires_at[slots],
            importance=self.importance[slots],
            actors=numbers[actors],
            vectors=self.vectors_of(slots),
            terms=terms,
            scope_table=table,
            actor_table=dict(known),
        )
        if np.all(keys[1:] > keys[:-1]):
            return rows, slots
        order = np.argsort(keys, kind="stable")
        return take_rows(rows, order), slots[order]


def ranges(first: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """``first[i], first[i] + 1...``, ``sizes[i]`` numbers each, one after the other."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(first - (ends - sizes), sizes) + np.arange(total)


def _starts(scopes: NDArray[np.int64], table: dict[int, Scope]) -> NDArray[np.int32]:
    n = len(scopes)
    begins = np.ones(n + 1, bool)
    np.not_equal(scopes[1:], scopes[:-1], out=begins[1:n])
    heads = np.flatnonzero(begins)
    alone = np.array([table[scope].run_id is None for scope in scopes[heads[:-1]].tolist()], bool)
    begins[:n] |= np.repeat(alone, np.diff(heads))
    return np.flatnonzero(begins).astype(np.int32)


def _by_slot(
    batch: TermBatch, order: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint16]]:
    if np.all(order[1:] > order[:-1]):
        return batch.offsets, batch.terms, batch.counts
    sizes = np.diff(batch.offsets)[order]
    offsets = np.zeros(len(order) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    where = ranges(batch.offsets[:-1][order], sizes)
    return offsets, batch.terms[where], batch.counts[where]


def _window_lengths(
    lengths: NDArray[np.float32], starts: NDArray[np.int32], window: int
) -> NDArray[np.float32]:
    n = len(lengths)
    before = np.zeros(n + 1)
    np.cumsum(lengths, out=before[1:], dtype=np.float64)
    sizes = np.diff(starts)
    slots = np.arange(n, dtype=np.int32)
    low = np.maximum(slots - window, np.repeat(starts[:-1], sizes))
    high = np.minimum(slots + window + 1, np.repeat(starts[1:], sizes))
    return (before[high] - before[low]).astype(np.float32)


def _by_run(
    starts: NDArray[np.int32],
    term_starts: NDArray[np.int64],
    slots: NDArray[np.int32],
    counts: NDArray[np.uint16],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint16]]:
    """From postings by slot those by run: where each term's begin, runs, and counts."""
    if not len(slots):
        return np.zeros(len(term_starts), np.int64), slots, counts
    runs = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))[slots]
    new = np.ones(len(slots), bool)
    np.not_equal(runs[1:], runs[:-1], out=new[1:])
    new[term_starts[:-1]] = True
    heads = np.flatnonzero(new)
    sums = np.add.reduceat(counts, heads, dtype=np.int64)
    begins = np.searchsorted(heads, term_starts)
    return begins, runs[heads], np.minimum(sums, 0xFFFF).astype(np.uint16)


def _sums(values: NDArray[np.float32], starts: NDArray[np.int32]) -> NDArray[np.int64]:
    if not len(values):
        return np.zeros(0, np.int64)
    return np.add.reduceat(values, starts[:-1], dtype=np.float64).astype(np.int64)


def _to_batch(
    rows: list[NDArray[Any]],
    which: list[NDArray[Any]],
    counts: list[NDArray[Any]],
    terms: list[int],
    lengths: NDArray[np.uint32],
) -> TermBatch:
    """From each term's rows to each row's terms."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    if not rows:
        return TermBatch(offsets, np.empty(0, np.uint64), np.empty(0, np.uint16), lengths)
    of, number = np.concatenate(rows), np.concatenate(which)
    order = np.argsort(of, kind="stable")  # terms stay ascending within a row
    np.cumsum(np.bincount(of, minlength=len(lengths)), out=offsets[1:])
    hashes = np.array(terms, np.uint64)[number[order]]
    return TermBatch(offsets, hashes, np.concatenate(counts)[order], lengths)
