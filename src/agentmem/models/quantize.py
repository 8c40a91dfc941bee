"""Integer matrix products on calibrated ranges.

Activations are quantised with constant scales (unsigned 8 bits, one scale a tensor), so
that a text's vector cannot depend on what else is in its batch; weights symmetrically
per output column.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from agentmem.models.graph import MS, FloatProducts, Graph, build
from agentmem.models.registry import data_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from agentmem.models.architecture import Architecture
    from agentmem.models.build import Report

__all__ = ["IntegerProducts", "quantize_weight"]


def quantize_weight(
    weight: NDArray[np.float32], levels: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric per-column codes in ``[-levels, levels]`` of a (k, n) matrix, and (n,) scales."""
    peak = np.abs(weight).max(axis=0)
    scale = (np.where(peak > 0, peak, 1) / levels).astype(np.float32)
    codes = np.clip(np.rint(weight / scale), -levels, levels).astype(np.int8)
    return codes, scale


class IntegerProducts(FloatProducts):
    """``QuantizeLinear`` once a tensor, then integer products with float output."""

    def __init__(
        self, ranges: dict[str, tuple[float, float]], levels: int = 127, top: int = 255
    ) -> None:
        self.ranges = ranges
        self.levels = levels
        self.top = top
        self._done: dict[str, tuple[str, str, str]] = {}

    def __call__(
        self,
        graph: Graph,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        output: str,
    ) -> str:
        xq, scale, zero = self._quantized(graph, x)
        codes, scales = quantize_weight(weight, self.levels)
        return graph.node(
            "MatMulIntegerToFloat",
            [
                xq,
                graph.constant(f"{output}.codes", codes),
                scale,
                graph.constant(f"{output}.scales", scales),
                zero,
                "",
                graph.constant(f"{output}.bias", bias),
            ],
            output,
            domain=MS,
        )

    def _quantized(self, graph: Graph, x: str) -> tuple[str, str, str]:
        if x not in self._done:
            low, high = self.ranges[x]
            low, high = min(low, 0.0), max(high, 0.0)
            step = (high - low) / self.top
            zero = round(-low / step)
            s = graph.constant(f"{x}.scale", np.float32(step))
            z = graph.constant(f"{x}.zero", np.uint8(zero))
            self._done[x] = (graph.node("QuantizeLinear", [x, s, z], f"{x}.q"), s, z)
        return self._done[x]


def parse_ranges(blob: bytes) -> dict[str, tuple[float, float]]:
    """Ranges as shipped: JSON object of tensor name to [low, high]."""
    return {name: (float(low), float(high)) for name, (low, high) in json.loads(blob).items()}


def calibrate(
    arch: Architecture,
    weights: dict[str, NDArray[np.float32]],
    tokenizer: Path,
    max_length: int,
    report: Report,
) -> dict[str, tuple[float, float]]:
    """Ranges of every tensor that enters a matrix product, over the calibration text."""
    import onnxruntime as ort
    from tokenizers import Tokenizer

    taps: list[str] = []
    model = build(arch, weights, FloatProducts(), taps=taps)
    options = ort.SessionOptions()
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    tok = Tokenizer.from_file(str(tokenizer))
    tok.no_padding()
    tok.enable_truncation(max_length)
    texts = data_bytes("calibration.txt").decode().splitlines()
    ranges: dict[str, tuple[float, float]] = {}
    for done, encoding in enumerate(tok.encode_batch(texts)):
        ids = np.asarray([encoding.ids], np.int64)
        values = session.run(taps, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        for name, value in zip(taps, values, strict=True):
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = (min(low, float(value.min())), max(high, float(value.max())))
        report("calibrate", done + 1, len(texts))
    return ranges
