"""The ONNX graph of a BERT-family encoder, written from its weights; no PyTorch.

Inputs ``input_ids`` and ``attention_mask`` (int64, ``(b, L)``, padding on the right),
output ``last_hidden_state`` (float32, ``(b, L, hidden)``).  Pooling and normalisation are
left to native kernels.  One function walks the network; how a matrix product is written
(float, or integer on calibrated ranges) is the business of the ``Products`` it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.models.architecture import Architecture

__all__ = ["GRAPH_VERSION", "FloatProducts", "Graph", "Products", "build"]

#: Part of the model id: a change here that changes any output bit must raise it.
GRAPH_VERSION = 1

_OPSET = 17
_IR = 8  # what ONNX Runtime >= 1.18 reads
MS = "com.microsoft"


class Graph:
    """Nodes and constants under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._shared: dict[str, str] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Adds a constant once; the same name again returns the first."""
        if name not in self._shared:
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
            self._shared[name] = name
        return name

    def node(
        self,
        op: str,
        inputs: list[str],
        output: str,
        *,
        domain: str = "",
        more_outputs: list[str] | None = None,
        **attributes: Any,
    ) -> str:
        """Adds a node and returns the name of its first output."""
        outputs = [output, *(more_outputs or [])]
        self.nodes.append(
            helper.make_node(op, inputs, outputs, name=output, domain=domain, **attributes)
        )
        return output


class Products(Protocol):
    """How ``x @ weight + bias`` is written."""

    def __call__(
        self,
        graph: Graph,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        output: str,
    ) -> str:
        """Adds nodes for input tensor ``x`` (b, L, k) and weight (k, n); returns the output's
        name, which is ``output``."""
        ...

    def embeddings(self, graph: Graph, tables: Tables, ids: str, mask: str) -> tuple[str, str]:
        """Adds the embedding layer; returns the names of its output (b, L, hidden) and of the
        row lengths (b,) int32."""
        ...


class Tables:
    """The embedding layer's arrays, float32.  Token types are folded into the positions."""

    def __init__(self, arch: Architecture, weights: dict[str, NDArray[np.float32]]) -> None:
        self.words = weights["embeddings.word_embeddings.weight"]
        positions = weights["embeddings.position_embeddings.weight"][arch.position_offset :]
        types = weights.get("embeddings.token_type_embeddings.weight")
        self.positions = positions if types is None else positions + types[0]
        self.gamma = weights["embeddings.LayerNorm.weight"]
        self.beta = weights["embeddings.LayerNorm.bias"]
        self.eps = arch.layer_norm_eps


class FloatProducts:
    """Single precision throughout: the reference."""

    def __call__(
        self,
        graph: Graph,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        output: str,
    ) -> str:
        w = graph.constant(f"{output}.weight", weight)
        b = graph.constant(f"{output}.bias", bias)
        product = graph.node("MatMul", [x, w], f"{output}.product")
        return graph.node("Add", [product, b], output)

    def embeddings(self, graph: Graph, tables: Tables, ids: str, mask: str) -> tuple[str, str]:
        inputs = [
            ids,
            "",
            graph.constant("embeddings.words", tables.words),
            graph.constant("embeddings.positions", tables.positions),
            "",
            graph.constant("embeddings.gamma", tables.gamma),
            graph.constant("embeddings.beta", tables.beta),
            mask,
        ]
        out = graph.node(
            "EmbedLayerNormalization",
            inputs,
            "embeddings",
            domain=MS,
            more_outputs=["lengths"],
            epsilon=tables.eps,
        )
        return out, "lengths"


def build(
    arch: Architecture,
    weights: dict[str, NDArray[np.float32]],
    products: Products,
    *,
    taps: list[str] | None = None,
) -> onnx.ModelProto:
    """The whole model.

    ``taps`` collects, when given, the names of the tensors that enter each matrix product,
    in the order of the network, and makes them outputs (for calibration).
    """
    graph = Graph()
    ids = graph.node("Cast", ["input_ids"], "ids32", to=TensorProto.INT32)
    mask = graph.node("Cast", ["attention_mask"], "mask32", to=TensorProto.INT32)
    x, lengths = products.embeddings(graph, Tables(arch, weights), ids, mask)
    for i in range(arch.layers):
        x = _layer(graph, arch, weights, products, i, x, lengths, taps)
    graph.node("Identity", [x], "last_hidden_state")
    return _model(graph, arch, taps or [])


def _layer(
    graph: Graph,
    arch: Architecture,
    weights: dict[str, NDArray[np.float32]],
    products: Products,
    index: int,
    x: str,
    lengths: str,
    taps: list[str] | None,
) -> str:
    source, name = f"encoder.layer.{index}.", f"layer{index}"

    def linear(part: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return weights[f"{source}{part}.weight"].T, weights[f"{source}{part}.bias"]

    def add_norm(part: str, value: str, skip: str, output: str) -> str:
        gamma = graph.constant(f"{output}.gamma", weights[f"{source}{part}.weight"])
        beta = graph.constant(f"{output}.beta", weights[f"{source}{part}.bias"])
        # Not the fused SkipLayerNormalization: on CPU it is scalar code, 5 times as slow as the
        # vectorised pair, and takes a fifth of an integer model's time (docs/embedding.md).
        total = graph.node("Add", [value, skip], f"{output}.sum")
        return graph.node(
            "LayerNormalization",
            [total, gamma, beta],
            output,
            axis=-1,
            epsilon=arch.layer_norm_eps,
        )

    parts = [linear(f"attention.self.{p}") for p in ("query", "key", "value")]
    heads = []
    for part, (w, b) in zip("qkv", parts, strict=True):
        heads.append(products(graph, x, w, b, f"{name}.{part}"))
    context = graph.node(
        "MultiHeadAttention",
        [*heads, "", lengths],
        f"{name}.context",
        domain=MS,
        num_heads=arch.heads,
    )
    y = products(graph, context, *linear("attention.output.dense"), f"{name}.attention")
    y = add_norm("attention.output.LayerNorm", y, x, f"{name}.attended")
    z = products(graph, y, *linear("intermediate.dense"), f"{name}.wide")
    z = _activate(graph, arch, z, f"{name}.active")
    if taps is not None:
        taps += [x, context, y, z]
    z = products(graph, z, *linear("output.dense"), f"{name}.narrow")
    return add_norm("output.LayerNorm", z, y, f"{name}.out")


def _activate(graph: Graph, arch: Architecture, x: str, output: str) -> str:
    if arch.activation == "relu":
        return graph.node("Relu", [x], output)
    op = "Gelu" if arch.activation == "gelu" else "FastGelu"
    return graph.node(op, [x], output, domain=MS)


def _model(graph: Graph, arch: Architecture, taps: list[str]) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    shape: list[str | int] = ["batch", "length"]
    proto = helper.make_graph(
        graph.nodes,
        "encoder",
        [info(n, TensorProto.INT64, shape) for n in ("input_ids", "attention_mask")],
        [info("last_hidden_state", TensorProto.FLOAT, [*shape, arch.hidden])]
        + [info(t, TensorProto.FLOAT, [*shape, None]) for t in dict.fromkeys(taps)],
        graph.constants,
    )
    model = helper.make_model(
        proto,
        producer_name="agentmem",
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(MS, 1)],
    )
    model.ir_version = _IR
    return model
