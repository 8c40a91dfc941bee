"""What every contender is given: short real memories, questions, and vectors."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import common

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DIM", "Row", "facts", "given_vectors", "nearest", "questions"]

DIM = 384  # of all-MiniLM-L6-v2, and of the vectors given
_MONTHS = "January February March April May June July August September October November December"


class Row(NamedTuple):
    """A text to store or a question to ask; the vector only where stores alone are compared."""

    text: str
    vector: NDArray[np.float32] | None = None


def facts(n: int, sentences: int = 1, seed: int = common.SEED) -> list[str]:
    """``n`` different texts of some sentences behind a day, 17 tokens in the mean with one."""
    chance = random.Random(seed)
    pool, months = common.sentences(), _MONTHS.split()
    made: dict[str, None] = {}
    while len(made) < n:
        said = " ".join(chance.sample(pool, sentences))
        made[f"{chance.randint(1, 28)} {chance.choice(months)}: {said}"] = None
    return list(made)


def questions(n: int) -> list[str]:
    """``n`` different questions.

    Raises:
        ValueError: there are not so many.
    """
    asked = [said for said in common.sentences() if said.endswith("?")]
    every = list(dict.fromkeys([*common.questions(), *asked]))
    if n > len(every):
        raise ValueError(f"there are {len(every)} questions, not {n}")
    return every[:n]


def given_vectors(n: int, seed: int = common.SEED) -> NDArray[np.float32]:
    """``(n, DIM)`` float32 unit vectors in loose clusters."""
    return common.vectors(n, DIM, seed)


def nearest(rows: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """``(q, k)`` numbers of the rows with the largest dot products, best first."""
    import numpy as np

    return np.argsort(-(queries @ rows.T), axis=1, kind="stable")[:, :k]
