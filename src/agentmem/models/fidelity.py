"""How close a quantised model stays to the one it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from agentmem.models.calibrate import texts
from agentmem.models.runtime import encode, session

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LEAST", "mean_cosine"]

#: A local folder whose integers fall below this is refused; MiniLM reaches 0.997.
LEAST = 0.98

#: Every so many-th line of the calibration text is compared.
_STRIDE = 8


def mean_cosine(
    exact: bytes,
    quantised: bytes,
    tokenizer: Path,
    max_length: int,
    pooling: Literal["mean", "cls"],
) -> float:
    """Mean cosine of pooled outputs of two serialised models."""
    pair = session(exact), session(quantised)
    cosines = []
    for ids in encode(tokenizer, texts()[::_STRIDE], max_length):
        row = np.asarray([ids], np.int64)
        feeds = {"input_ids": row, "attention_mask": np.ones_like(row)}
        a, b = (_pool(s.run(["last_hidden_state"], feeds)[0][0], pooling) for s in pair)
        cosines.append(float(a @ b))
    return float(np.mean(cosines))


def _pool(hidden: NDArray[np.float32], pooling: Literal["mean", "cls"]) -> NDArray[np.float32]:
    x: NDArray[np.float32] = hidden[0] if pooling == "cls" else hidden.mean(axis=0)
    return x / np.float32(max(float(np.linalg.norm(x)), 1e-12))
