"""Somebody else's ``model.onnx``: checked, and given the inputs and output that ours have."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from agentmem.errors import ModelCorruptError, UnsupportedError

__all__ = ["adapt", "output_dim"]

_OUTPUTS = ("last_hidden_state", "token_embeddings")


def _load(path: Path, *, weights: bool) -> onnx.ModelProto:
    try:
        return onnx.load(str(path), load_external_data=weights)
    except (DecodeError, OSError, ValueError) as e:
        raise ModelCorruptError(f"{path} is not a readable ONNX model: {e}") from e


def _output(model: onnx.ModelProto, path: Path) -> onnx.ValueInfoProto:
    for wanted in _OUTPUTS:
        for output in model.graph.output:
            if output.name == wanted:
                return output
    found = ", ".join(o.name for o in model.graph.output)
    raise UnsupportedError(
        f"{path} has the outputs {found}; it needs {_OUTPUTS[0]} of shape (batch, length, dim)"
    )


def output_dim(path: Path) -> int:
    """The last dimension of the hidden-state output."""
    shape = _output(_load(path, weights=False), path).type.tensor_type.shape
    if len(shape.dim) != 3 or shape.dim[2].dim_value <= 0:
        raise ModelCorruptError(
            f"{path} does not say its output dimension; "
            'put a config.json with "hidden_size" beside it'
        )
    return int(shape.dim[2].dim_value)


def adapt(path: Path) -> bytes:
    """The same network with exactly ``input_ids`` and ``attention_mask`` (int64, (b, L)) in
    and ``last_hidden_state`` out, self-contained.

    Raises:
        ModelCorruptError: unreadable.
        UnsupportedError: an input that is not known, or no hidden-state output.
    """
    model = _load(path, weights=True)
    graph = model.graph
    inputs = {i.name for i in graph.input} - {c.name for c in graph.initializer}
    unknown = inputs - {"input_ids", "attention_mask", "token_type_ids"}
    if unknown or not {"input_ids", "attention_mask"} <= inputs:
        raise UnsupportedError(
            f"{path} has the inputs {', '.join(sorted(inputs))}; it needs input_ids and "
            "attention_mask, and may have token_type_ids"
        )
    if "token_type_ids" in inputs:
        types = helper.make_tensor("agentmem_zero", TensorProto.INT64, [1], [0])
        graph.node.insert(0, helper.make_node("Shape", ["input_ids"], ["agentmem_shape"]))
        graph.node.insert(
            1,
            helper.make_node(
                "ConstantOfShape", ["agentmem_shape"], ["token_type_ids"], value=types
            ),
        )
        kept = [i for i in graph.input if i.name != "token_type_ids"]
        del graph.input[:]
        graph.input.extend(kept)
    output = _output(model, path)
    if output.name != _OUTPUTS[0]:
        graph.node.append(helper.make_node("Identity", [output.name], [_OUTPUTS[0]]))
        output.name = _OUTPUTS[0]
    kept_output = onnx.ValueInfoProto()
    kept_output.CopyFrom(output)
    del graph.output[:]
    graph.output.append(kept_output)
    return bytes(model.SerializeToString())
