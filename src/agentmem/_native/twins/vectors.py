"""Pooling, normalising, narrowing and ranking vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentmem._native.twins.kinds import Floats, Halves
from agentmem._native.twins.scan import top_k

__all__ = [
    "dequantize_int8",
    "from_f16",
    "mean_pool",
    "normalize",
    "pool_table",
    "quantize_int8",
    "rotate",
    "to_f16",
    "top_k_dot",
    "unit",
]


def mean_pool(hidden: Floats, mask: NDArray[np.int64], out: Floats | None = None) -> Floats:
    if mask.ndim == 1:
        mask = (np.arange(hidden.shape[1]) < mask[:, None]).astype(np.int64)
    kept = (mask != 0).astype(np.float32)
    # Multiplying by 0 would let a NaN of a padded token through.
    states = np.where(kept[:, :, None] != 0, hidden, np.float32(0))
    totals = kept.sum(1, keepdims=True)
    means: Floats = (states.sum(1) / np.where(totals == 0, 1, totals)).astype(np.float32)
    if out is None:
        return means
    out[:] = means
    return out


def normalize(x: Floats) -> Floats:
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        exact = np.sqrt((wide * wide).sum(1, keepdims=True))
        norms: Floats = exact[:, 0].astype(np.float32)
        one = abs(exact - 1) < 1e-6
        x[:] = wide / np.where((exact == 0) | one, 1, exact)
    norms[one[:, 0]] = 1
    x[~np.isfinite(norms)] = np.nan
    return norms


def unit(vector: object, dim: int) -> Floats | None:
    if not isinstance(vector, np.ndarray) or vector.dtype != np.float32 or vector.shape != (dim,):
        return None
    made = vector[None, :].copy()
    norm = float(normalize(made)[0])
    return made if 1e-18 < norm < 3.4e38 else None


def rotate(x: Floats) -> None:
    start = 0
    while start < x.shape[1]:
        block = 1 << ((x.shape[1] - start).bit_length() - 1)
        mixed = (np.arange(1, block + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        negative = (mixed ^ mixed >> np.uint64(29)) >> np.uint64(40) & np.uint64(1)
        matrix = np.ones((1, 1))
        while len(matrix) < block:
            matrix = np.block([[matrix, matrix], [matrix, -matrix]])
        part = x[:, start : start + block].astype(np.float64) * (1.0 - 2.0 * negative)
        x[:, start : start + block] = part @ matrix / np.sqrt(block)
        start += block


def to_f16(x: Floats) -> Halves:
    with np.errstate(over="ignore"):
        return x.astype(np.float16)


def from_f16(x: Halves) -> Floats:
    return x.astype(np.float32)


def quantize_int8(x: Floats) -> tuple[NDArray[np.int8], Floats]:
    peaks = np.abs(x).max(1, initial=0)
    small, bad = peaks < np.float32(1e-30), ~np.isfinite(peaks)
    safe = np.where(small | bad, np.float32(1), peaks)
    with np.errstate(all="ignore"):
        codes = np.rint(x * (np.float32(127) / safe)[:, None])
    codes[small | bad] = 0
    scales = np.where(bad, np.float32(np.nan), np.where(small, np.float32(0), safe / 127))
    return codes.astype(np.int8), scales.astype(np.float32)


def dequantize_int8(codes: NDArray[np.int8], scales: Floats) -> Floats:
    with np.errstate(over="ignore"):  # 127 steps of the largest float32 are infinite
        return codes.astype(np.float32) * scales[:, None]


def top_k_dot(matrix: Floats | Halves, query: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    return top_k(matrix.astype(np.float32, copy=False) @ query, None, k)


def pool_table(
    table: Floats | Halves,
    weights: Floats | None,
    flat: NDArray[np.int32],
    offsets: NDArray[np.int64],
) -> Floats:
    out = np.zeros((len(offsets) - 1, table.shape[1]), np.float32)
    for i in range(len(out)):
        ids = flat[offsets[i] : offsets[i + 1]]
        factors = np.ones(len(ids), np.float32) if weights is None else weights[ids]
        total = factors.astype(np.float64).sum()
        if total != 0:
            out[i] = factors @ table[ids].astype(np.float32) / np.float32(total)
    return out
