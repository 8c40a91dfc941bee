"""What a score needs to know of a whole partition, where only a part of it is being scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Whole"]


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """Statistics of a partition's live memories, for one query."""

    n: int
    runs: int
    length: int  # of all texts, in terms
    window_length: int  # of all windows: each text as often as it stands in one
    df: NDArray[np.int32]  # (q,) texts that have each term of the query
    run_df: NDArray[np.int32]  # (q,) and runs

    @property
    def means(self) -> tuple[float, float, float]:
        """Of the lengths of texts, windows and runs."""
        if not self.n:
            return 0.0, 0.0, 0.0
        return self.length / self.n, self.window_length / self.n, self.length / self.runs
