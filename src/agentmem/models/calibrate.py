"""Ranges of what enters a model's matrix products, measured on varied text.

The text is shipped (``data/calibration.txt``): chat, news, code, science, contracts,
recipes, questions, prose, other scripts, noise; one word to several hundred.  For MiniLM
the resulting constants are shipped too, so that everybody builds the same model and its id
is known beforehand; for a local folder they are derived when it is provisioned.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agentmem.models import graph
from agentmem.models.quantize import Site, site_of
from agentmem.models.registry import data_bytes
from agentmem.models.runtime import encode, session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.models.architecture import Architecture
    from agentmem.models.build import Report

__all__ = ["calibrate", "texts"]


def texts() -> list[str]:
    """The calibration text, one a line."""
    return data_bytes("calibration.txt").decode("utf-8").splitlines()


def calibrate(
    arch: Architecture,
    weights: Mapping[str, NDArray[np.float32]],
    tokenizer: Path,
    max_length: int,
    report: Report,
) -> dict[str, Site]:
    """Constants of every tensor that enters a product of this network."""
    taps: list[str] = []
    model = graph.build(arch, dict(weights), graph.Products(), taps=taps)
    run = session(model.SerializeToString())
    lows: dict[str, NDArray[np.float32]] = {}
    highs: dict[str, NDArray[np.float32]] = {}
    encoded = encode(tokenizer, texts(), max_length)
    for done, ids in enumerate(encoded):
        row = np.asarray([ids], np.int64)  # alone, so that no padding is measured
        values = run.run(taps, {"input_ids": row, "attention_mask": np.ones_like(row)})
        for name, value in zip(taps, values, strict=True):
            low, high = value.min(axis=(0, 1)), value.max(axis=(0, 1))
            lows[name] = np.minimum(low, lows.get(name, low))
            highs[name] = np.maximum(high, highs.get(name, high))
        report("calibrate", done + 1, len(encoded))
    return {name: _site(name, lows[name], highs[name]) for name in taps}


def _site(name: str, low: NDArray[np.float32], high: NDArray[np.float32]) -> Site:
    """What of a tensor may be balanced: a norm's output in scale and place, an activation
    only in scale, the embeddings and the attention's context not at all."""
    normed = name.endswith((".attended", ".out"))
    return site_of(low, high, scaled=normed or name.endswith(".active"), shifted=normed)
