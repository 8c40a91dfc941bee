"""An immutable run of rows with their keyword postings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agentmem._native.scan import Postings
from agentmem.index.codes import CODED_FROM, Codes, codes_nbytes
from agentmem.index.columns import rows_nbytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.types import IndexRows, Scope

__all__ = ["Segment"]

_REMEMBERED_SCOPES = 8  # scope masks a segment keeps


class Segment:
    """n rows in ascending key order; nothing in it ever changes, so scans need no lock.

    Which of them are deleted is the view's business (``partition.View``).
    """

    __slots__ = (
        "_alone",
        "_codes",
        "_scope_masks",
        "first_expiry",
        "keys",
        "n",
        "nbytes",
        "postings",
        "rows",
    )

    def __init__(self, rows: IndexRows) -> None:
        terms = rows.terms
        self.rows = rows
        self.keys = rows.keys
        self.n = len(rows.keys)
        self.postings = Postings(terms.offsets, terms.terms, terms.counts, terms.lengths)
        self.first_expiry = int(rows.expires_at.min()) if self.n else 0
        self.nbytes = rows_nbytes(rows) + self.postings.nbytes + codes_nbytes(*rows.vectors.shape)
        self._codes: Codes | None = None
        self._alone: frozenset[int] | None = None
        self._scope_masks: dict[Scope, NDArray[np.uint8] | None] = {}

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.intp]:
        """Row numbers of those ``keys`` (ascending) that are here."""
        if not self.n:
            return np.empty(0, np.intp)
        at = np.searchsorted(self.keys, keys)
        at[at == self.n] = 0  # any row: its key is smaller, so it does not match
        found: NDArray[np.intp] = at[self.keys[at] == keys]
        return found

    @property
    def codes(self) -> Codes | None:
        """8-bit codes of the vectors, made on first use (by two threads at once, if they meet);
        None for a segment that is too small to gain by them."""
        if self._codes is None and self.n >= CODED_FROM:
            self._codes = Codes(self.rows.vectors)
        return self._codes

    @property
    def alone(self) -> frozenset[int]:
        """Ids of its scopes that have no run: each of their memories stands alone."""
        if self._alone is None:
            table = self.rows.scope_table
            self._alone = frozenset(i for i, scope in table.items() if scope.run_id is None)
        return self._alone

    def scope_mask(self, wanted: Scope) -> NDArray[np.uint8] | None:
        """Rows whose scope has every given value of ``wanted``; None if all have."""
        try:
            return self._scope_masks[wanted]
        except KeyError:
            pass
        given = wanted.given()
        table = self.rows.scope_table
        ids, codes = np.unique(self.rows.scopes, return_inverse=True)
        fits = np.fromiter((_within(table[i], given) for i in ids.tolist()), np.uint8, len(ids))
        mask = None if fits.all() else fits[codes]
        if len(self._scope_masks) >= _REMEMBERED_SCOPES:
            self._scope_masks = {}  # replaced, not emptied: other threads may be reading it
        self._scope_masks[wanted] = mask
        return mask


def _within(scope: Scope, given: dict[str, str]) -> bool:
    return all(getattr(scope, name) == value for name, value in given.items())
