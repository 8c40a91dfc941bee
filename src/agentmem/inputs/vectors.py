"""Checks of vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentmem.errors import VectorError
from agentmem.inputs.messages import shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["check_vector", "check_vectors"]

_TINY_NORM = 1e-18  # its square is near the smallest normal float32
_ROUNDING = 1e-6  # a norm so near 1 is 1, as for the kernel


def check_vectors(
    value: object,
    n: int,
    dim: int,
    normalize: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    what: str = "vectors",
) -> NDArray[np.float32]:
    """``(n, dim)`` float32, L2-normalised, a copy of the caller's.  A row whose norm is 1, up to
    rounding, stays as it is: what was exported is imported to the bit.

    ``normalize`` is the kernel (``_native.vectors.normalize``): in place, returns the norms.
    Rows whose norm leaves the range of float32 are computed in float64 instead.

    Raises:
        VectorError: not numbers, another shape, NaN or infinity, or a zero vector.
    """
    import numpy as np

    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise VectorError(f"{what} must have all their numbers; some are masked: fill or drop them")
    try:
        array = np.asarray(value)
    except ValueError:
        raise VectorError(f"{what} must not be ragged: every row needs {dim} numbers") from None
    if array.dtype.kind not in "fiu":
        raise VectorError(f"{what} must be numbers, not {array.dtype} {shorten(value)}")
    if array.shape != (n, dim):
        raise VectorError(
            f"{what} must have shape ({n}, {dim}), not {array.shape}: the store's embedder has"
            f" {dim} dimensions; give one row of {dim} numbers per text"
        )
    if array.dtype.itemsize <= 4:  # wider numbers may not fit float32 before they are scaled
        made = np.array(array, dtype=np.float32, order="C")
        norms = normalize(made)
        if np.all((norms > _TINY_NORM) & np.isfinite(norms)):
            return made
    return _normalize_wide(array, what)


def _normalize_wide(array: NDArray[Any], what: str) -> NDArray[np.float32]:
    import numpy as np

    wide = array.astype(np.float64)
    finite = np.isfinite(wide)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise VectorError(
            f"{_row(what, row, len(wide))} must be finite, and has {float(wide[row, column])} at"
            f" column {column}"
        )
    peak = np.abs(wide).max(axis=1, keepdims=True)
    if not peak.all():
        row = int(np.argmin(peak))
        raise VectorError(
            f"{_row(what, row, len(wide))} must not be a zero vector, which has no direction"
        )
    scaled = wide / peak
    norms = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None]
    unit = np.abs(norms * peak - 1) <= _ROUNDING
    return np.where(unit, wide, scaled / norms).astype(np.float32)


def _row(what: str, row: int, rows: int) -> str:
    return f"{what} row {row}" if rows > 1 else what


def check_vector(
    value: object,
    dim: int,
    normalize: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    what: str = "vector",
) -> NDArray[np.float32]:
    """The same for one vector, ``(dim,)`` or ``(1, dim)``; returns ``(1, dim)``."""
    import numpy as np

    try:
        array = np.asanyarray(value)  # a masked one, too, for what comes next
    except ValueError:
        raise VectorError(f"{what} must be {dim} numbers, not nested lists") from None
    if array.shape == (dim,):
        array = array[None, :]
    return check_vectors(array, 1, dim, normalize, what)
