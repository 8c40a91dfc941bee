import numpy as np
from numpy.typing import NDArray

def dense_scores(
    matrix: NDArray[np.float32] | NDArray[np.float16],
    query: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None: ...
def int8_scores(
    codes: NDArray[np.int8], query: NDArray[np.int8], out: NDArray[np.int32]
) -> None: ...
def coded_scores(
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    query: NDArray[np.int8],
    factor: float,
    out: NDArray[np.float32],
) -> None: ...
def top_k(
    scores: NDArray[np.float32],
    mask: NDArray[np.uint8] | NDArray[np.bool_] | None,
    k: int,
    threshold: float | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...

class Postings:
    def __init__(
        self,
        offsets: NDArray[np.int64],
        terms: NDArray[np.uint64],
        counts: NDArray[np.uint16],
        lengths: NDArray[np.uint32],
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def df(
        self,
        terms: NDArray[np.uint64],
        live: NDArray[np.uint8] | NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]: ...
    def bm25(
        self,
        terms: NDArray[np.uint64],
        weights: NDArray[np.float32],
        k1: float,
        b: float,
        avg_length: float,
        out: NDArray[np.float32],
    ) -> None: ...
