"""A partition at one moment: immutable segments and which of their rows are live."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from agentmem.index.columns import join_rows, take_rows
from agentmem.index.segment import Segment
from agentmem.types import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from agentmem.types import IndexRows

__all__ = ["EMPTY", "LAYOUT_BYTES", "Merge", "Part", "View"]

#: What ``layout.Layout`` holds of a live row, in arrays of 4 bytes: slot, run, segment, row, start,
#: three lengths, whether one is before and after, length part, actor; and in 8 bytes each the order
#: and a column of times.
LAYOUT_BYTES = 12 * 4 + 2 * 8
_stamps = itertools.count(1)
#: Below this many rows two neighbouring segments are always worth joining: copying them costs
#: less than what one more segment adds to a few searches.
_SMALL = 256
#: Searches of a view, and parts, that a compaction is put off for: it costs what one part more adds
#: to many searches, and a search between any two writes would pay it each time.  Estimated, not
#: measured; ``search.AfterWrite`` is what it serves.
_PATIENCE = 8
#: A segment is rewritten once more than this share of its rows is deleted.
_DEAD_SHARE = 0.25
#: What an empty partition occupies besides its arrays, so that any number of them has a bound.
_OVERHEAD = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A segment and its live rows: 1 where live, None where all are.  Copied on write."""

    segment: Segment
    live: NDArray[np.uint8] | None
    n_live: int
    length: int  # summed document lengths of the live rows

    @classmethod
    def of(cls, segment: Segment, live: NDArray[np.uint8] | None = None) -> Part:
        lengths = segment.rows.terms.lengths
        if live is None:
            return cls(segment, None, segment.n, int(lengths.sum(dtype=np.int64)))
        return cls(
            segment,
            live,
            int(np.count_nonzero(live)),
            int(np.dot(lengths.astype(np.int64), live)),
        )

    def without(self, keys: NDArray[np.int64]) -> Part:
        """The same with these ``keys`` (ascending) deleted; itself if it has none of them."""
        found = self.segment.find(keys)
        if self.live is not None:
            found = found[self.live[found] == 1]
        if not len(found):
            return self
        live = np.ones(self.segment.n, np.uint8) if self.live is None else self.live.copy()
        live[found] = 0
        gone = int(self.segment.rows.terms.lengths[found].sum(dtype=np.int64))
        return Part(self.segment, live, self.n_live - len(found), self.length - gone)

    def live_rows(self) -> IndexRows:
        if self.live is None:
            return self.segment.rows
        return take_rows(self.segment.rows, np.flatnonzero(self.live))

    def crumbles(self) -> bool:
        return self.segment.n - self.n_live > self.segment.n * _DEAD_SHARE


@dataclass(frozen=True, slots=True, eq=False)
class Merge:
    """A compaction that was computed aside: ``old`` parts become one new segment."""

    start: int
    old: tuple[Part, ...]
    new: Segment | None  # None: nothing of them was live


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Parts in the order in which they came, with the statistics that BM25 needs.

    ``n`` and ``length`` count live rows exactly, whatever segments there are, so that scores
    do not depend on the order of past writes.
    """

    parts: tuple[Part, ...]
    n: int
    length: int
    nbytes: int
    last_key: int
    merge_span: tuple[int, int] | None  # parts [start, end) that had better be one
    stamp: int  # no two views have the same, but for those that only differ in their parts
    #: What was computed from this view on first use; its bytes are counted from the start.
    derived: dict[str, object] = field(default_factory=dict)
    _asked: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, parts: tuple[Part, ...], last_key: int, stamp: int | None = None) -> View:
        n = length = held = 0
        for part in parts:
            n += part.n_live
            length += part.length
            held += part.segment.nbytes + (0 if part.live is None else part.live.nbytes)
        return cls(
            parts,
            n=n,
            length=length,
            nbytes=_OVERHEAD + LAYOUT_BYTES * n + held,
            last_key=last_key,
            merge_span=_merge_span(parts),
            stamp=next(_stamps) if stamp is None else stamp,
        )

    def merge_due(self) -> bool:
        """Whether ``merge_span`` should be merged now; to be asked by each search."""
        if self.merge_span is None:
            return False
        start, end = self.merge_span
        return end - start > _PATIENCE or next(self._asked) >= _PATIENCE

    def next_expiry(self, now: int) -> int:
        """When the next of its rows expires after ``now``; NEVER if none does."""
        first = min((part.segment.first_expiry for part in self.parts), default=NEVER)
        if first > now:
            return first
        later = [part.segment.rows.expires_at for part in self.parts]
        return min((int(times[times > now].min(initial=NEVER)) for times in later), default=NEVER)

    def adding(self, rows: IndexRows) -> View:
        """With these rows in place of whatever their keys held before."""
        if not len(rows.keys):
            return self
        parts = self.parts
        if rows.keys[0] <= self.last_key:
            parts = tuple(part.without(rows.keys) for part in parts)
        last = max(self.last_key, int(rows.keys[-1]))
        return View.of((*parts, Part.of(Segment(rows))), last)

    def without(self, keys: NDArray[np.int64]) -> View:
        """Without these ``keys`` (ascending); itself if it has none of them."""
        if not len(keys) or keys[0] > self.last_key:
            return self
        parts = tuple(part.without(keys) for part in self.parts)
        if all(new is old for new, old in zip(parts, self.parts, strict=True)):
            return self
        return View.of(parts, self.last_key)

    # -- compaction: computed from one view, applied to a later one -------------------------

    def merge(self) -> Merge:
        """Join the parts of ``merge_span``.  Copies rows, so not under a lock."""
        assert self.merge_span is not None
        start, end = self.merge_span
        old = self.parts[start:end]
        rows = [part.live_rows() for part in old if part.n_live]
        return Merge(start, old, Segment(join_rows(rows)) if rows else None)

    def merged(self, merge: Merge) -> View:
        """This view with a compaction computed from an earlier one.

        Since then rows may have been deleted and parts appended, nothing else: the caller
        lets only one compaction of a partition run at a time.
        """
        end = merge.start + len(merge.old)
        new: tuple[Part, ...] = ()
        if merge.new is not None:
            part = Part.of(merge.new)
            for old, now in zip(merge.old, self.parts[merge.start : end], strict=True):
                if now is not old:
                    before = 1 if old.live is None else old.live
                    assert now.live is not None  # parts differ only by deletions
                    part = part.without(now.segment.keys[before > now.live])
            new = (part,)
        parts = (*self.parts[: merge.start], *new, *self.parts[end:])
        return View.of(parts, self.last_key, self.stamp)


def _merge_span(parts: tuple[Part, ...]) -> tuple[int, int] | None:
    """The last parts as long as none is more than twice as large as all after it together,
    so that there are few parts and each row is copied a logarithmic number of times; failing
    that, one part with many deleted rows."""
    end = len(parts)
    if end == 0:
        return None
    start = end - 1
    total = parts[start].n_live
    while start > 0 and parts[start - 1].n_live <= max(_SMALL, 2 * total):
        start -= 1
        total += parts[start].n_live
    if end - start >= 2:
        return start, end
    return next(((i, i + 1) for i, part in enumerate(parts) if part.crumbles()), None)


EMPTY = View.of((), -1)
