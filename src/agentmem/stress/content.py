"""What is stored and asked: real sentences, each memory with a word that no other has."""

from __future__ import annotations

import random
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Questions", "VectorPool", "code_word", "sentences"]

_POOL = 2_048


@cache
def sentences() -> tuple[str, ...]:
    """Varied English sentences that come with the package."""
    text = files("agentmem.models").joinpath("data/calibration.txt").read_text("utf-8")
    return tuple(line for line in text.splitlines() if 20 <= len(line) <= 300)


def code_word(process: int, worker: int, number: int) -> str:
    """A word that only one memory of a run has; ends in digits, which no stemmer touches."""
    return f"z{process:x}y{worker:x}x{number}"


class Questions:
    """Texts to search for: a few words of a sentence."""

    def __init__(self, seed: int, different: int) -> None:
        """``different``: so many and no more, popular by Zipf's law; 0: ever new ones."""
        chance = random.Random(f"questions {seed}")
        self._fixed = [_words(chance) for _ in range(different)]
        self._weights = list(accumulate(1 / (i + 1) for i in range(different)))

    def one(self, chance: random.Random) -> str:
        if self._fixed:
            return chance.choices(self._fixed, cum_weights=self._weights)[0]
        return _words(chance)


class VectorPool:
    """Unit vectors by number; two of different numbers are far apart."""

    def __init__(self, seed: int, dim: int) -> None:
        import numpy as np

        made = np.random.default_rng(seed).standard_normal((_POOL, dim), dtype=np.float32)
        self.rows: NDArray[np.float32] = made / np.linalg.norm(made, axis=1, keepdims=True)

    def __len__(self) -> int:
        return _POOL


def _words(chance: random.Random) -> str:
    words = chance.choice(sentences()).split()
    first = chance.randrange(max(1, len(words) - 5))
    return " ".join(words[first : first + chance.randint(3, 6)])
