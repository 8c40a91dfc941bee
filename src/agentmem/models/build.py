"""From published files to a finished model folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from agentmem.models import manifest
from agentmem.models.registry import ONNX, TOKENIZER, WEIGHTS, Spec, data_bytes

__all__ = ["Report", "build"]

#: ``report(stage, done, total)``: what is being done, and how far (``total`` 0: unknown).
Report = Callable[[str, int, int], None]


def build(spec: Spec, source: Path, dest: Path, report: Report) -> None:
    """Writes the model's files and manifest into the empty folder ``dest``.

    Raises:
        ModelCorruptError, UnsupportedError: the files in ``source`` cannot be used.
    """
    report(f"build {spec.name}", 0, 1)
    if spec.recipe == "onnx":
        from agentmem.models.foreign import adapt

        (dest / ONNX).write_bytes(adapt(source / ONNX))
    elif spec.recipe == "static":
        _static(spec, source, dest, report)
    else:
        _transformer(spec, source, dest, report)
    shutil.copyfile(source / TOKENIZER, dest / TOKENIZER)
    manifest.write(spec, dest)
    report(f"build {spec.name}", 1, 1)


def _transformer(spec: Spec, source: Path, dest: Path, report: Report) -> None:
    from agentmem.models import graph, quantize
    from agentmem.models.architecture import load_weights

    arch = spec.architecture
    weights = load_weights(source / WEIGHTS, arch)
    products = graph.FloatProducts()
    if spec.recipe == "int8":
        if spec.source is not None:
            ranges = quantize.parse_ranges(data_bytes(f"{spec.name}-ranges.json"))
        else:
            ranges = quantize.calibrate(arch, weights, source / TOKENIZER, spec.max_length, report)
        products = quantize.IntegerProducts(ranges)
    model = graph.build(arch, weights, products)
    (dest / ONNX).write_bytes(model.SerializeToString(deterministic=True))


def _static(spec: Spec, source: Path, dest: Path, report: Report) -> None:
    import numpy as np

    from agentmem.models import distil, graph
    from agentmem.models.architecture import load_weights

    arch = spec.architecture
    weights = load_weights(source / WEIGHTS, arch)
    model = graph.build(arch, weights, graph.FloatProducts())
    projection = distil.parse_projection(data_bytes("static-projection.npy"))
    table = distil.distil(
        model.SerializeToString(deterministic=True), source / TOKENIZER, projection, report
    )
    np.save(dest / manifest.TABLE, table)
