"""Integer matrix products on constant, calibrated ranges.

Activations are unsigned 8-bit with one scale and zero point a tensor, known beforehand, so
a text's vector cannot depend on what else is in its batch.  Weights are signed, symmetric,
one scale an output column.

Two things keep it close to single precision:

- *Balanced channels* (``graph.Balance``): a handful of channels of BERT's residual stream
  and of its wide layer are ten times larger than the rest and would set everybody's step;
  shift and scale bring them into line.  The idea is that of SmoothQuant (Xiao et al. 2023)
  and Outlier Suppression+ (Wei et al. 2023).
- *Safe pairs*: on x86 without VNNI, two neighbouring products are added in 16 bits that
  saturate.  The column scale is chosen so that no pair of codes can reach that, whatever the
  activations; such machines then compute the same integers as all others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem.errors import ModelCorruptError
from agentmem.models.graph import MS, Balance, Graph, Products

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["IntegerProducts", "Site", "dump", "parse", "quantize_columns", "site_of"]

#: Codes of a pair may add up to this: 255 * 128 < 2**15.
PAIR_LIMIT = 128

#: A channel is an outlier where its half-range exceeds this many medians.
OUTLIER = 2.0


@dataclass(frozen=True, slots=True)
class Site:
    """Calibration of one tensor that enters a product."""

    low: float  # of the tensor as carried, <= 0
    high: float  # >= 0
    channels: Mapping[int, tuple[float, float]]  # outliers: index -> (scale, shift)

    def balance(self, width: int) -> Balance | None:
        if not self.channels:
            return None
        scale, shift = np.ones(width, np.float32), np.zeros(width, np.float32)
        for k, (factor, offset) in self.channels.items():
            scale[k], shift[k] = factor, offset
        return Balance(scale, shift)


def site_of(low: Floats, high: Floats, *, scaled: bool, shifted: bool) -> Site:
    """Constants of a tensor from the smallest and largest value of each channel, ``(k,)``.

    Rounded to four digits: what is shipped is what is used.
    """
    half = (high - low) / 2 if shifted else np.maximum(np.abs(low), np.abs(high))
    limit = OUTLIER * float(np.median(half))
    channels: dict[int, tuple[float, float]] = {}
    low, high = low.astype(np.float64), high.astype(np.float64)
    if scaled or shifted:
        for k in np.flatnonzero(half > limit):
            scale = _round(float(half[k]) / limit) if scaled else 1.0
            shift = _round(float(low[k] + high[k]) / 2) if shifted else 0.0
            channels[int(k)] = (scale, shift)
            low[k], high[k] = (low[k] - shift) / scale, (high[k] - shift) / scale
    return Site(_round(min(0.0, float(low.min()))), _round(max(0.0, float(high.max()))), channels)


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def dump(sites: Mapping[str, Site]) -> str:
    """As JSON, one tensor a line."""
    lines = []
    for name, site in sites.items():
        channels = {str(k): list(v) for k, v in site.channels.items()}
        lines.append(f"{json.dumps(name)}: {json.dumps([site.low, site.high, channels])}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def parse(blob: bytes) -> dict[str, Site]:
    """The inverse of ``dump``.

    Raises:
        ModelCorruptError: not what ``dump`` writes.
    """
    try:
        return {
            name: Site(
                float(low),
                float(high),
                {int(k): (float(scale), float(shift)) for k, (scale, shift) in channels.items()},
            )
            for name, (low, high, channels) in json.loads(blob).items()
        }
    except (ValueError, TypeError, AttributeError) as e:
        raise ModelCorruptError(f"calibration constants cannot be read: {e}") from e


def quantize_columns(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Codes (k, n) int8 and scales (n,) with ``weight`` close to ``codes * scales``.

    No |code| exceeds 127, and in rows 2i and 2i+1 of a column neither the positive nor the
    negative codes add up to more than ``PAIR_LIMIT``.
    """
    k = weight.shape[0]
    padded = weight if k % 2 == 0 else np.vstack([weight, np.zeros_like(weight[:1])])
    pairs = padded.reshape(-1, 2, weight.shape[1])
    peak = np.abs(weight).max(axis=0) / np.float32(127)
    for signed in (pairs, -pairs):
        # one code of slack: each of the two may be rounded up by a half
        sums = np.maximum(signed, 0).sum(axis=1).max(axis=0)
        peak = np.maximum(peak, sums / np.float32(PAIR_LIMIT - 1))
    scale = np.where(peak > 0, peak, np.float32(1)).astype(np.float32)
    codes = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
    return codes, scale


def quantize_rows(table: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Codes (n, d) int8 and scales (n, 1) of an embedding table."""
    peak = np.abs(table).max(axis=1, keepdims=True) / np.float32(127)
    scale = np.where(peak > 0, peak, np.float32(1)).astype(np.float32)
    return np.clip(np.rint(table / scale), -127, 127).astype(np.int8), scale


class IntegerProducts(Products):
    """``QuantizeLinear`` once a tensor, then integer products that give floats."""

    exact = False  # far below a quantisation step

    def __init__(self, sites: Mapping[str, Site]) -> None:
        self.sites = sites
        self._quantized: dict[str, tuple[str, str, str]] = {}

    def product(self, graph: Graph, x: str, weight: Floats, bias: Floats, output: str) -> str:
        codes, scales = quantize_columns(weight)
        xq, step, zero = self._quantize(graph, x)
        inputs = [
            xq,
            graph.constant(f"{output}.codes", codes),
            step,
            graph.constant(f"{output}.scales", scales),
            zero,
            "",
            graph.constant(f"{output}.bias", bias),
        ]
        return graph.node("MatMulIntegerToFloat", inputs, output, domain=MS)

    def words(self, graph: Graph, table: Floats) -> str:
        codes, scales = quantize_rows(table)
        names = graph.constant("words", codes), graph.constant("words.scales", scales)
        rows, factors = (graph.node("Gather", [n, "input_ids"], f"{n}.rows", axis=0) for n in names)
        floats = graph.node("Cast", [rows], "words.floats", to=1)
        return graph.node("Mul", [floats, factors], "words.scaled")

    def _quantize(self, graph: Graph, x: str) -> tuple[str, str, str]:
        if x not in self._quantized:
            step, zero = step_of(self.sites[x])
            s = graph.scalar(f"{x}.step", step)
            z = graph.scalar(f"{x}.zero", zero)
            self._quantized[x] = (graph.node("QuantizeLinear", [x, s, z], f"{x}.q"), s, z)
        return self._quantized[x]


def step_of(site: Site) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of unsigned 8-bit codes; 0.0 has a code of its own."""
    span = site.high - site.low
    step = span / 255 if span > 0 else 1.0
    return np.float32(step), np.uint8(round(-site.low / step))


def balances_of(sites: Mapping[str, Site], widths: Mapping[str, int]) -> dict[str, Balance]:
    """Balances of those tensors that have outliers."""
    found: dict[str, Any] = {name: site.balance(widths[name]) for name, site in sites.items()}
    return {name: balance for name, balance in found.items() if balance is not None}
