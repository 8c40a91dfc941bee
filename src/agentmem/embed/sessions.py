"""Sessions of ONNX Runtime: opened as was measured best, checked, run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from agentmem.errors import ModelCorruptError, ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.types import ModelFiles

__all__ = ["OUTPUT", "open_session", "run"]

#: Every error of ONNX Runtime; they have no common base.
_ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    kind
    for kind in vars(ort_errors).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)

OUTPUT = "last_hidden_state"


def open_session(
    files: ModelFiles, threads: int = 1, *, awake: bool = False
) -> ort.InferenceSession:
    """A session with the settings that were measured best.

    Args:
        threads: of one call's operators, the caller's included.
        awake: whether they wait for the next operator without sleeping.

    Raises:
        ModelCorruptError: the file cannot be loaded, or is not the encoder it should be.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors come as exceptions, not on stderr
    # Between calls workers sleep in any case: the cores belong to the application.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if awake else "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # A memory plan per input shape helps fixed shapes only, and there would be hundreds.
    options.enable_mem_pattern = False
    try:
        session = ort.InferenceSession(
            str(files.weights),
            options,
            providers=["CPUExecutionProvider"],
            # Its fused kernel is scalar, 5 times as slow as the two operators it replaces.
            disabled_optimizers=["SkipLayerNormFusion"],
        )
    except _ORT_ERRORS as e:
        raise ModelCorruptError(
            f"{files.weights} cannot be loaded ({e}); agentmem models verify checks it, "
            f"agentmem models pull --force {files.name} makes it again"
        ) from e
    _check(session, files)
    return session


def _check(session: ort.InferenceSession, files: ModelFiles) -> None:
    inputs = {i.name for i in session.get_inputs()}
    outputs = {o.name: o.shape for o in session.get_outputs()}
    if inputs != {"input_ids", "attention_mask"} or OUTPUT not in outputs:
        raise ModelCorruptError(
            f"{files.weights} has inputs {sorted(inputs)} and outputs {sorted(outputs)}; an "
            f"encoder has input_ids and attention_mask, and {OUTPUT}"
        )
    width = outputs[OUTPUT][-1] if outputs[OUTPUT] else None
    if isinstance(width, int) and width != files.dim:
        raise ModelCorruptError(
            f"{files.weights} makes vectors of {width} dimensions, {files.name} has {files.dim}"
        )


def run(
    session: Any, ids: NDArray[np.int64], mask: NDArray[np.int64], name: str
) -> NDArray[np.float32]:
    """The last hidden states, ``(b, L, dim)`` float32, of token ids ``(b, L)``.

    Raises:
        ModelError: the model failed.
    """
    try:
        hidden: NDArray[np.float32] = session.run(
            [OUTPUT], {"input_ids": ids, "attention_mask": mask}
        )[0]
    except _ORT_ERRORS as e:
        raise ModelError(f"model {name!r} failed on a batch of shape {ids.shape}: {e}") from e
    return hidden
