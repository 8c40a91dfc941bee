"""Arrays that the twins take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Halves", "Mask"]

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Mask = NDArray[np.uint8] | NDArray[np.bool_] | None
