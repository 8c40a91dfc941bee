"""ONNX Runtime and tokenizer as provisioning uses them: one text or one batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentmem.errors import ModelCorruptError
from agentmem.tokenizer import open_tokenizer

__all__ = ["encode", "session"]


def session(model: bytes) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU.

    Raises:
        ModelCorruptError: the runtime refuses the model.
    """
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
        errors.RuntimeException,
    ) as e:
        raise ModelCorruptError(f"ONNX Runtime {ort.__version__} refuses the model: {e}") from e


def encode(tokenizer: Path, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids, special ones included, truncated and not padded.

    Raises:
        ModelCorruptError: the tokenizer file cannot be read.
    """
    opened = open_tokenizer(tokenizer, max_length=max_length)
    return [encoded.ids for encoded in opened.encode_batch(list(texts))]
