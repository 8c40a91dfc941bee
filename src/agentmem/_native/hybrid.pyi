from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem._native.scan import Postings

Codes = tuple[NDArray[np.int8], NDArray[np.float32], float, float]
Part = tuple[
    NDArray[np.float32] | NDArray[np.float16],
    Postings,
    NDArray[np.int32],
    NDArray[np.int64],
    NDArray[np.int64],
    Codes | None,
]

class Conversation:
    def __init__(
        self,
        parts: list[Part],
        starts: NDArray[np.int32],
        length_part: NDArray[np.float32],
        actors: NDArray[np.int32],
        n_actors: int,
        window: int,
        means: tuple[float, float, float] | None = None,
    ) -> None: ...
    @property
    def rows(self) -> int: ...
    @property
    def work_size(self) -> int: ...
    def score(
        self,
        vector: NDArray[np.float32],
        terms: NDArray[np.uint64],
        counts: NDArray[np.uint16],
        names: NDArray[np.uint8] | None,
        asked: NDArray[np.uint8] | None,
        extra: NDArray[np.float32] | None,
        weights: NDArray[np.float32],
        k1: float,
        b: float,
        work: NDArray[np.float32],
        out: NDArray[np.float32],
        whole: tuple[int, int, NDArray[np.int32], NDArray[np.int32]] | None = None,
    ) -> None: ...
    def best(
        self,
        vector: NDArray[np.float32],
        terms: NDArray[np.uint64],
        counts: NDArray[np.uint16],
        names: NDArray[np.uint8] | None,
        asked: NDArray[np.uint8] | None,
        extra: NDArray[np.float32] | None,
        weights: NDArray[np.float32],
        k1: float,
        b: float,
        work: NDArray[np.float32],
        masks: Sequence[NDArray[np.uint8] | NDArray[np.bool_] | None],
        k: int,
        threshold: float | None = None,
    ) -> tuple[list[int], list[float], list[int]]: ...
