"""One call's texts as batches of token ids, cut on demand by whichever thread needs one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from typing import TYPE_CHECKING

import numpy as np

from agentmem._native import batching
from agentmem.embed.text import windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_ROWS", "Batch", "Work", "batch_tokens"]

#: Rows of a batch at most; ``max_batch_tokens`` is what counts, this bounds the tiny texts.
MAX_ROWS = 64

#: Tokens under which a batch is not cut smaller to give every session a part: a model call
#: has fixed costs, and below this they show.
MIN_TOKENS = 64


#: What a model call costs beside its padded tokens, in tokens.  Measured with 8-bit MiniLM on one
#: thread, 256 texts, time per text without and with cutting: 8 texts a call 3.5 and 3.1 ms, 64 a
#: call 2.97 and 2.71 ms, short texts (64 a call) 1.40 and 1.20 ms.  8 to 16 are equally good.
CALL_TOKENS = 12


@dataclass(frozen=True, slots=True)
class Batch:
    rows: NDArray[np.int64]  # (b,) which texts of the call
    ids: NDArray[np.int64]  # (b, L)
    mask: NDArray[np.int64]  # (b, L)


def _tokens(batch: Batch) -> int:
    """Padded ones."""
    return batch.ids.size


def batch_tokens(lengths: list[int], limit: int, sessions: int) -> int:
    """Padded tokens a batch may have, so that the sessions have equal parts of these texts.

    Texts of 2.2 times the limit on two sessions make four batches of 0.55 rather than two of
    1.0 and one of 0.2 that one session computes while the other idles.
    """
    total = sum(lengths)
    rounds = -(-total // (limit * sessions))
    share = -(-total // (rounds * sessions)) if rounds else limit
    # Batches are filled row by row and end up to one row short of their size.
    return max(1, min(limit, max(share + max(lengths, default=0), MIN_TOKENS)))


def cut_by_length(lengths: list[int]) -> list[int]:
    """Where to cut rows of ascending lengths so that all calls together cost least.

    Returns the ends of the runs.  A run of n rows costs ``CALL_TOKENS`` and n times its longest
    row; the cheapest cut is found exactly, by dynamic programming over the ends.
    """
    best = [0]
    begin = [0]
    for end, longest in enumerate(lengths, 1):
        cost, start = best[end - 1] + CALL_TOKENS + longest, end - 1
        for j in range(end - 2, -1, -1):
            if longest - lengths[j] > CALL_TOKENS:
                break  # from here on, a call of its own is cheaper than padding
            other = best[j] + CALL_TOKENS + (end - j) * longest
            if other < cost:
                cost, start = other, j
        best.append(cost)
        begin.append(start)
    ends = []
    end = len(lengths)
    while end:
        ends.append(end)
        end = begin[end]
    return ends[::-1]


class Work:
    """Batches of one call, the largest of each window first, so that threads end together;
    thread-safe.

    Whoever takes a batch says when it is done; the caller waits until all are.  A window (see
    ``text.windows``) is tokenised when the one before it has been handed out, while the other
    threads are still computing the last of it.
    """

    def __init__(
        self,
        texts: list[str],
        read: Callable[[list[str]], list[list[int]]],
        *,
        limit: int,
        sessions: int,
    ) -> None:
        self._texts = texts
        self._read = read
        self._limit = limit
        self._sessions = sessions
        self._windows = windows(texts)
        self._ready: list[Batch] = []
        self._taken = 0  # and not done
        self._error: BaseException | None = None
        self._stopped = False
        self._changed = Condition()  # guards all of these

    def first(self) -> tuple[int, int]:
        """Tokenises the first window; returns its number of batches and of padded tokens."""
        with self._changed:
            self._refill()
            return len(self._ready), sum(map(_tokens, self._ready))

    def take(self) -> Batch | None:
        """The next batch, or None when there is none, after an error, or after ``stop``."""
        with self._changed:
            if not self._ready and not self._stopped:
                try:
                    self._refill()
                except BaseException as e:  # no thread may wait for more; raised again
                    self._fail(e)
                    raise
            if self._stopped or not self._ready:
                return None
            self._taken += 1
            return self._ready.pop()

    def done(self, error: BaseException | None = None) -> None:
        """A batch that was taken is computed, or has failed."""
        with self._changed:
            self._taken -= 1
            if error is not None:
                self._fail(error)
            self._changed.notify_all()

    def wait(self) -> None:
        """Returns when no batch is left and all that were taken are done.

        Raises:
            BaseException: what a thread failed with, the first of them.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0)
            if self._error is not None:
                raise self._error

    def stop(self) -> None:
        """No further batch is handed out."""
        self._stopped = True

    def _fail(self, error: BaseException) -> None:
        self._stopped = True
        self._error = self._error or error

    def _refill(self) -> None:
        window = next(self._windows, None)
        if window is None:
            return
        ids = self._read(self._texts[window.start : window.stop])
        size = batch_tokens([len(row) for row in ids], self._limit, self._sessions)
        cut = batching.make_batches(ids, size, MAX_ROWS)
        order = cut.order + window.start
        start = 0
        for tokens, mask in cut.batches:
            rows = order[start : start + len(tokens)]
            start += len(tokens)
            lengths = [len(ids[row - window.start]) for row in rows.tolist()]
            begin = 0
            for end in cut_by_length(lengths):
                width = lengths[end - 1]
                self._ready.append(
                    Batch(
                        rows[begin:end],
                        np.ascontiguousarray(tokens[begin:end, :width]),
                        np.ascontiguousarray(mask[begin:end, :width]),
                    )
                )
                begin = end
        self._ready.sort(key=_tokens)  # the last is taken first
