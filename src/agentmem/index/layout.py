"""A partition's live rows as a conversation: run after run, each row with its neighbours.

Made from a view on its first hybrid search and kept with it; nothing in it depends on how rows
are spread over segments.
"""

from __future__ import annotations

from math import log1p
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem._native.hybrid import Conversation
from agentmem.index.calendar import date_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.index.view import Part, View
    from agentmem.index.whole import Whole
    from agentmem.ports import Analyzer
    from agentmem.types import Cues

__all__ = ["Layout"]

#: A text this many times as long as the mean has the whole length part.
_LONG = 4.0


class Layout:
    """Slots of the live rows of a view: ordered by run and, within it, by key.

    A run is the memories of one exact scope with a ``run_id``; any other memory is a run of its
    own.  Keys ascend with positions, so a run's order is that in which its memories were added.
    """

    __slots__ = (
        "_columns",
        "_live",
        "_order",
        "_parts",
        "actor_terms",
        "actors",
        "anonymous",
        "conversation",
        "length_part",
        "n",
        "n_actors",
        "slots",
        "starts",
    )

    def __init__(
        self, view: View, analyzer: Analyzer, window: int, whole: Whole | None = None
    ) -> None:
        """``whole``: of the partition that the view is a part of; None where it is all of it."""
        self.n = view.n
        self._parts = [part.segment.rows for part in view.parts]
        self._live = [
            None if part.live is None else np.flatnonzero(part.live) for part in view.parts
        ]
        self._columns: dict[str, NDArray[Any]] = {}
        scopes = self._join("scopes")
        self._order = _order(self._join("keys"), scopes)
        alone = frozenset[int]().union(*(part.segment.alone for part in view.parts))
        self.starts = _starts_of(self._in_order(scopes), alone)
        self.slots = self._spread()
        lengths = self._in_order(self._live_of([rows.terms.lengths for rows in self._parts]))
        n, length = (view.n, view.length) if whole is None else (whole.n, whole.length)
        self.length_part = length_part(lengths, length / n if n else 0.0)
        self.actors = self._number_actors(analyzer)
        self.conversation = Conversation(
            [
                (
                    part.segment.rows.vectors,
                    part.segment.postings,
                    slots,
                    part.segment.keys,
                    part.segment.rows.seqs,
                    _codes_of(part) if whole is None else None,
                )
                for part, slots in zip(view.parts, self.slots, strict=True)
            ],
            self.starts,
            self.length_part,
            self.actors,
            self.n_actors,
            window,
            None if whole is None else whole.means,
        )

    def column(self, name: str) -> NDArray[Any]:
        """A column of ``IndexRows`` in the order of slots."""
        try:
            return self._columns[name]
        except KeyError:
            made = self._columns[name] = self._in_order(self._join(name))
            return made

    def dates(self, cues: Cues, days: float) -> NDArray[np.float32]:
        """Per slot how well it fits the dates asked for, 0 to 1 (see ``calendar``)."""
        return date_part(self.column("event_at"), cues, days)

    # -- making it ------------------------------------------------------------------------

    def _in_order(self, column: NDArray[Any]) -> NDArray[Any]:
        return column if self._order is None else column[self._order]

    def _join(self, name: str) -> NDArray[Any]:
        """A column of all live rows, part after part."""
        return self._live_of([getattr(rows, name) for rows in self._parts])

    def _live_of(self, columns: list[NDArray[Any]]) -> NDArray[Any]:
        if len(columns) == 1 and self._live[0] is None:
            return columns[0]
        return np.concatenate(
            [c if i is None else c[i] for c, i in zip(columns, self._live, strict=True)]
        )

    def _spread(self) -> list[NDArray[np.int32]]:
        """Per part the slot of each row, -1 where it is not live."""
        places = np.arange(self.n, dtype=np.int32)
        if self._order is not None:
            slots = places
            places = np.empty_like(slots)
            places[self._order] = slots
        spread = []
        begin = 0
        for rows, live in zip(self._parts, self._live, strict=True):
            n = len(rows.keys)
            if live is None:
                spread.append(places[begin : begin + n])
                begin += n
            else:
                found = np.full(n, -1, np.int32)
                found[live] = places[begin : begin + len(live)]
                spread.append(found)
                begin += len(live)
        return spread

    def _number_actors(self, analyzer: Analyzer) -> NDArray[np.int32]:
        """Per slot who said it, from 1, 0 where nobody is known; and what they are called."""
        self.actor_terms: dict[int, list[int]] = {}
        self.n_actors = 0
        self.anonymous = True
        table = {k: v for rows in self._parts for k, v in rows.actor_table.items()}
        if not table:
            return np.zeros(self.n, np.int32)
        stored = self._join("actors")
        if not stored.any():  # those who said something have been deleted
            return np.zeros(self.n, np.int32)
        numbers, codes = np.unique(self._in_order(stored), return_inverse=True)
        self.anonymous = bool(numbers[0] == 0)
        if not self.anonymous:
            codes += 1
        known = [number for number in numbers.tolist() if number != 0]
        self.n_actors = len(known)
        called = analyzer.analyze([table[number] for number in known])
        for i, (a, b) in enumerate(zip(called.offsets[:-1], called.offsets[1:], strict=True), 1):
            for term in called.terms[a:b].tolist():
                self.actor_terms.setdefault(term, []).append(i)
        return codes.astype(np.int32)


def _codes_of(part: Part) -> Any:
    """What ``Conversation.best`` chooses candidates by; a part of a larger partition, which is
    searched once, would be coded for nothing."""
    codes = part.segment.codes
    return None if codes is None else codes.parts


def length_part(lengths: NDArray[np.uint32], mean: float) -> NDArray[np.float32]:
    """ln(1 + length / mean), as a share of what a text of four times the mean length has."""
    if not mean:
        return np.zeros(len(lengths), np.float32)
    if not len(lengths):
        return np.empty(0, np.float32)
    longest = int(lengths.max())
    if longest < len(lengths):  # as mostly: one logarithm for each length that occurs, about
        return _length_part(np.arange(longest + 1), mean)[lengths]
    return _length_part(lengths, mean)


def _length_part(lengths: NDArray[Any], mean: float) -> NDArray[np.float32]:
    part = np.log1p(lengths / mean) / log1p(_LONG)
    made: NDArray[np.float32] = np.minimum(part, 1.0).astype(np.float32)
    return made


def _starts_of(scopes: NDArray[np.int64], alone: frozenset[int]) -> NDArray[np.int32]:
    """The first slot of each run, and the number of slots; each row of a scope in ``alone`` is a
    run."""
    n = len(scopes)
    begins = np.ones(n + 1, bool)
    np.not_equal(scopes[1:], scopes[:-1], out=begins[1:n])
    if alone:
        begins[:n] |= np.isin(scopes, list(alone))
    return begins.nonzero()[0].astype(np.int32)


def _order(keys: NDArray[np.int64], scopes: NDArray[np.int64]) -> NDArray[np.intp] | None:
    """By scope, then key; None where they are in this order.  Two stable sorts: on rows that
    mostly are in order they are fast."""
    if (keys[1:] > keys[:-1]).all():
        # One session after the other, as those of one user mostly come.
        if (scopes[1:] >= scopes[:-1]).all():
            return None
        return np.argsort(scopes, kind="stable")
    by_key = np.argsort(keys, kind="stable")
    return by_key[np.argsort(scopes[by_key], kind="stable")]
