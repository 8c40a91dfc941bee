"""The ONNX graph of a BERT-family encoder, written from its weights; no PyTorch.

Inputs ``input_ids`` and ``attention_mask`` (int64, ``(b, L)``, padding on the right),
output ``last_hidden_state`` (float32, ``(b, L, hidden)``).  Pooling and normalisation are
left to native kernels.  One function walks the network; how a matrix product is written
(float, or integer on calibrated ranges) is the business of the ``Products`` it is given.

Every operator works on each token by itself, or within one text, in an order that padding
does not change; that is what makes a text's vector independent of its batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.models.architecture import Architecture

    Floats = NDArray[np.float32]

__all__ = ["MS", "Balance", "Graph", "Products", "build"]

MS = "com.microsoft"
_OPSET = 23  # Attention as one operator; ONNX Runtime >= 1.24 (1.23 lacks QuantizeLinear-23)
_IR = 10


@dataclass(frozen=True, slots=True)
class Balance:
    """A tensor x is carried as ``(x - shift) / scale``, both ``(channels,)``.

    Exact in real numbers: the norm or product before it and the products after it absorb
    both.  It brings the few channels that are ten times larger than the rest into the range
    of the others, so that one quantisation step serves all.
    """

    scale: Floats
    shift: Floats


class Graph:
    """Nodes and constants under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: Any) -> str:
        """Adds a constant once; the same name again is the first one."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def scalar(self, name: str, value: Any) -> str:
        """The same for a value of rank 0."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def node(
        self, op: str, inputs: list[str], output: str, *, domain: str = "", **attributes: Any
    ) -> str:
        """Adds a node with one output and returns that output's name."""
        self.nodes.append(
            helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes)
        )
        return output


class Products:
    """Single precision throughout: the reference, and the base of the integer variant."""

    #: GELU's tanh form differs from the exact one by at most 5e-4: too much for a reference.
    exact = True

    def product(self, graph: Graph, x: str, weight: Floats, bias: Floats, output: str) -> str:
        """Adds ``output = x @ weight + bias`` for x (b, L, k), weight (k, n), bias (n,)."""
        w = graph.constant(f"{output}.weight", weight)
        b = graph.constant(f"{output}.bias", bias)
        return graph.node("Add", [graph.node("MatMul", [x, w], f"{output}.product"), b], output)

    def words(self, graph: Graph, table: Floats) -> str:
        """Adds the rows of the word table (vocab, hidden) for ``input_ids``."""
        words = graph.constant("words", table)
        return graph.node("Gather", [words, "input_ids"], "words.rows", axis=0)


def build(
    arch: Architecture,
    weights: dict[str, Floats],
    products: Products,
    *,
    balances: Mapping[str, Balance] | None = None,
    taps: list[str] | None = None,
) -> onnx.ModelProto:
    """The whole model.

    ``balances``: how the tensors named there are carried.  ``taps`` collects, when given,
    the names of the tensors that enter matrix products, in the order of the network, and
    makes them outputs (for calibration).
    """
    writer = _Writer(arch, weights, products, balances or {})
    x = writer.embeddings()
    for index in range(arch.layers):
        x = writer.layer(index, x, taps)
    writer.graph.node("Identity", [x], "last_hidden_state")
    return _model(writer.graph, arch, taps or [])


class _Writer:
    """One pass over the network."""

    def __init__(
        self,
        arch: Architecture,
        weights: dict[str, Floats],
        products: Products,
        balances: Mapping[str, Balance],
    ) -> None:
        self.arch = arch
        self.weights = weights
        self.products = products
        self.balances = balances
        self.graph = Graph()

    def embeddings(self) -> str:
        """Words + positions (+ token type 0), normalised; and what the layers need of the mask."""
        graph, weights = self.graph, self.weights
        positions = weights["embeddings.position_embeddings.weight"][self.arch.position_offset :]
        types = weights.get("embeddings.token_type_embeddings.weight")
        if types is not None:
            positions = positions + types[0]
        self._mask()
        words = self.products.words(graph, weights["embeddings.word_embeddings.weight"])
        table = graph.constant("positions", positions)
        zero, one = graph.constant("zero", np.array([0])), graph.constant("one", np.array([1]))
        length = graph.node("Gather", ["shape", one], "length", axis=0)
        rows = graph.node("Slice", [table, zero, length, zero], "positions.rows")
        return self._norm("embeddings.LayerNorm", [words, rows], "embeddings")

    def _mask(self) -> None:
        """``mask``: bool (b, 1, L, L), True where a key is a token."""
        graph = self.graph
        zero, one = graph.constant("zero", np.array([0])), graph.constant("one", np.array([1]))
        graph.node("Shape", ["input_ids"], "shape")
        rows = graph.node("Gather", ["shape", zero], "rows", axis=0)
        columns = graph.node("Gather", ["shape", one], "columns", axis=0)
        full = graph.node("Concat", [rows, one, columns, columns], "mask.shape", axis=0)
        keys = graph.node("Cast", ["attention_mask"], "mask.keys", to=TensorProto.BOOL)
        axes = graph.constant("mask.axes", np.array([1, 2]))
        keys = graph.node("Unsqueeze", [keys, axes], "mask.keys4")
        graph.node("Expand", [keys, full], "mask")

    def layer(self, index: int, x: str, taps: list[str] | None) -> str:
        """One transformer block, post-layer-norm."""
        arch, graph = self.arch, self.graph
        source, name = f"encoder.layer.{index}.", f"layer{index}"
        heads = [
            self._linear(f"{source}attention.self.{part}", x, f"{name}.{part}")
            for part in ("query", "key", "value")
        ]
        context = graph.node(
            "Attention",
            [*heads, "mask"],
            f"{name}.context",
            q_num_heads=arch.heads,
            kv_num_heads=arch.heads,
        )
        y = self._linear(f"{source}attention.output.dense", context, f"{name}.attention", x)
        y = self._norm(
            f"{source}attention.output.LayerNorm", [y, self._carried(x)], f"{name}.attended"
        )
        z = self._linear(f"{source}intermediate.dense", y, f"{name}.wide")
        z = self._activate(z, f"{name}.active")
        if taps is not None:
            taps += [x, context, y, z]
        out = self._linear(f"{source}output.dense", z, f"{name}.narrow", y)
        return self._norm(f"{source}output.LayerNorm", [out, self._carried(y)], f"{name}.out")

    def _linear(self, part: str, x: str, output: str, skip: str = "") -> str:
        """A product of a carried tensor.  ``skip`` names the tensor that will be added to it,
        whose shift the bias takes over."""
        weight, bias = self.weights[f"{part}.weight"].T, self.weights[f"{part}.bias"]
        if x in self.balances:
            balance = self.balances[x]
            bias = _add_rows(bias, balance.shift, weight)
            weight = weight * balance.scale[:, None]
        if skip in self.balances:
            bias = bias + self.balances[skip].shift
        return self.products.product(self.graph, x, weight, bias, output)

    def _carried(self, x: str) -> str:
        """``x`` as a residual: scaled back; its shift is in the bias of what it is added to."""
        balance = self.balances.get(x)
        if balance is None or np.all(balance.scale == 1):
            return x
        scale = self.graph.constant(f"{x}.scale", balance.scale)
        return self.graph.node("Mul", [x, scale], f"{x}.carried")

    def _norm(self, part: str, parts: list[str], output: str) -> str:
        gamma, beta = self.weights[f"{part}.weight"], self.weights[f"{part}.bias"]
        if output in self.balances:
            balance = self.balances[output]
            gamma, beta = gamma / balance.scale, (beta - balance.shift) / balance.scale
        graph = self.graph
        # Sum and not Add: ONNX Runtime would fuse Add with the norm into its
        # SkipLayerNormalization, which takes six times as long as the two apart.
        total = graph.node("Sum", parts, f"{output}.sum")
        return graph.node(
            "LayerNormalization",
            [
                total,
                graph.constant(f"{output}.gamma", gamma),
                graph.constant(f"{output}.beta", beta),
            ],
            output,
            epsilon=self.arch.layer_norm_eps,
        )

    def _activate(self, x: str, output: str) -> str:
        graph, balance = self.graph, self.balances.get(output)
        plain = output if balance is None else f"{output}.plain"
        if self.arch.activation == "relu":
            graph.node("Relu", [x], plain)
        elif self.arch.activation == "gelu" and self.products.exact:
            graph.node("Gelu", [x], plain, domain=MS)
        else:
            graph.node("FastGelu", [x], plain, domain=MS)
        if balance is None:
            return plain
        inverse = graph.constant(f"{output}.inverse", 1 / balance.scale)
        return graph.node("Mul", [plain, inverse], output)


def _add_rows(bias: Floats, shift: Floats, weight: Floats) -> Floats:
    """``bias + shift @ weight`` summed in a fixed order, so that every machine gets the same
    bits (a BLAS would not promise that)."""
    total = bias.astype(np.float64)
    for k in np.flatnonzero(shift):
        total += np.float64(shift[k]) * weight[k]
    return total.astype(np.float32)


def _model(graph: Graph, arch: Architecture, taps: list[str]) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    shape: list[str | int | None] = ["batch", "length"]
    outputs = [info("last_hidden_state", TensorProto.FLOAT, [*shape, arch.hidden])]
    outputs += [info(t, TensorProto.FLOAT, [*shape, None]) for t in dict.fromkeys(taps)]
    proto = helper.make_graph(
        graph.nodes,
        "encoder",
        [info(n, TensorProto.INT64, shape) for n in ("input_ids", "attention_mask")],
        outputs,
        list(graph.constants.values()),
    )
    model = helper.make_model(
        proto,
        producer_name="agentmem",
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(MS, 1)],
    )
    model.ir_version = _IR
    return model
