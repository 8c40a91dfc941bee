"""One call's texts as batches of token ids, cut on demand by whichever thread needs one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from typing import TYPE_CHECKING

from agentmem._native import batching
from agentmem.embed.text import windows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_ROWS", "Batch", "Work", "batch_tokens"]

#: Rows of a batch at most; ``max_batch_tokens`` is what counts, this bounds the tiny texts.
MAX_ROWS = 64

#: Tokens under which a batch is not cut smaller to give every session a part: a model call
#: has fixed costs, and below this they show.
MIN_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Batch:
    rows: NDArray[np.int64]  # (b,) which texts of the call
    ids: NDArray[np.int64]  # (b, L)
    mask: NDArray[np.int64]  # (b, L)


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


class Work:
    """Batches of one call, the longest of each window first; thread-safe.

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
            return len(self._ready), sum(batch.ids.size for batch in self._ready)

    def take(self) -> Batch | None:
        """The next batch, or None when there is none, after an error, or after ``stop``."""
        with self._changed:
            if not self._ready and not self._stopped:
                try:
                    self._refill()
                except BaseException as e:
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
            end = start + len(tokens)
            self._ready.append(Batch(order[start:end], tokens, mask))
            start = end
