from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

LONE_BLOCKS: tuple[tuple[int, int], ...]

class TermMemo:
    def __init__(self, resolve: Callable[[str], int], limit: int = 262144) -> None: ...
    def __len__(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

def count_terms(
    texts: Sequence[str], memo: TermMemo
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint16], NDArray[np.uint32]]: ...
