"""From published files to a finished model folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import UnsupportedError
from agentmem.models import manifest
from agentmem.models.registry import ONNX, SINGLE, TOKENIZER, WEIGHTS, Spec, data_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.models.quantize import Site

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
    if spec.recipe == "fp32":
        model = _serialised(graph.build(arch, weights, graph.Products()))
    else:
        sites = _sites(spec, source, weights, report)
        widths = {n: arch.intermediate if n.endswith(".active") else arch.hidden for n in sites}
        balances = quantize.balances_of(sites, widths)
        products = quantize.IntegerProducts(sites)
        model = _serialised(graph.build(arch, weights, products, balances=balances))
        if spec.source is None:
            exact = _serialised(graph.build(arch, weights, graph.Products()))
            _refuse_loss(spec, exact, model, source / TOKENIZER)
    (dest / ONNX).write_bytes(model)


def _serialised(model: Any) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))


def _refuse_loss(spec: Spec, exact: bytes, quantised: bytes, tokenizer: Path) -> None:
    from agentmem.models.fidelity import LEAST, mean_cosine

    cosine = mean_cosine(exact, quantised, tokenizer, spec.max_length, spec.pooling)
    if not cosine >= LEAST:
        raise UnsupportedError(
            f"{spec.name} loses too much in 8 bits (mean cosine {cosine:.3f}, at least {LEAST} "
            f"is asked for); use it in single precision, as {spec.name}{SINGLE}"
        )


def _sites(
    spec: Spec, source: Path, weights: dict[str, NDArray[np.float32]], report: Report
) -> dict[str, Site]:
    if spec.source is not None:
        from agentmem.models.quantize import parse

        return parse(data_bytes("minilm-ranges.json"))
    from agentmem.models.calibrate import calibrate

    return calibrate(spec.architecture, weights, source / TOKENIZER, spec.max_length, report)


def _static(spec: Spec, source: Path, dest: Path, report: Report) -> None:
    import numpy as np

    from agentmem.models.architecture import load_weights
    from agentmem.models.distil import distil

    arch = spec.architecture
    table = distil(arch, load_weights(source / WEIGHTS, arch), source / TOKENIZER, report)
    np.save(dest / manifest.TABLE, table)
