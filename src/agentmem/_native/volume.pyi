from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def invert(
    offsets: NDArray[np.int64], terms: NDArray[np.uint64], counts: NDArray[np.uint16]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int32], NDArray[np.uint16]]: ...

class Texts:
    def __init__(
        self,
        starts: NDArray[np.int32],
        lengths: NDArray[np.float32],
        window_lengths: NDArray[np.float32],
        run_lengths: NDArray[np.float32],
        keys: NDArray[np.int64],
        actors: NDArray[np.int32],
        event_at: NDArray[np.int64],
        n_actors: int,
        window: int,
    ) -> None: ...
    def best(
        self,
        lists: Sequence[
            tuple[
                NDArray[np.int32],
                NDArray[np.uint16],
                NDArray[np.int32],
                NDArray[np.uint16],
                float,
                float,
                bool,
            ]
        ],
        weights: NDArray[np.float32],
        k1: float,
        b: float,
        means: tuple[float, float, float],
        room: int,
        *,
        asked: NDArray[np.uint8] | None = None,
        spans: NDArray[np.int64] | None = None,
        fade: float = 1.0,
        date: float = 0.0,
        length_part: NDArray[np.float32] | None = None,
        extra: NDArray[np.float32] | None = None,
        live: NDArray[np.uint8] | None = None,
        mask: NDArray[np.uint8] | None = None,
        floor: float = 0.0,
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]: ...
