"""The single-precision graph computes what BERT's equations say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from agentmem.models import graph
from agentmem.models.architecture import load_weights, read_architecture
from agentmem.models.runtime import session
from agentmem.types import ModelFiles


class Bert:
    """BERT in NumPy, double precision, one text at a time, without padding or mask: the truth.

    Written from the paper's equations; nothing of the package is used, so that an error
    cannot agree with itself.
    """

    def __init__(self, weights: Path, *, layers: int, heads: int, **options: Any) -> None:
        prefix = options.get("prefix", "")
        self.w = {
            name[len(prefix) :]: value.astype(np.float64)
            for name, value in load_file(str(weights)).items()
            if name.startswith(prefix)
        }
        self.layers, self.heads = layers, heads
        self.activation = options.get("activation", "gelu")
        self.first_position = options.get("first_position", 0)

    def hidden(self, ids: Sequence[int]) -> np.ndarray:
        """Last hidden state, (length, hidden)."""
        w, first = self.w, self.first_position
        x = w["embeddings.word_embeddings.weight"][list(ids)]
        x = x + w["embeddings.position_embeddings.weight"][first : first + len(ids)]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = self.norm(x, "embeddings.LayerNorm")
        for i in range(self.layers):
            x = self.block(x, f"encoder.layer.{i}")
        return x

    def block(self, x: np.ndarray, name: str) -> np.ndarray:
        q, k, v = (self.linear(x, f"{name}.attention.self.{p}") for p in ("query", "key", "value"))
        size = x.shape[1] // self.heads
        mixed = np.empty_like(x)
        for h in range(self.heads):
            part = slice(h * size, (h + 1) * size)
            scores = q[:, part] @ k[:, part].T / math.sqrt(size)
            odds = np.exp(scores - scores.max(axis=1, keepdims=True))
            mixed[:, part] = odds / odds.sum(axis=1, keepdims=True) @ v[:, part]
        y = self.linear(mixed, f"{name}.attention.output.dense")
        y = self.norm(x + y, f"{name}.attention.output.LayerNorm")
        z = self.act(self.linear(y, f"{name}.intermediate.dense"))
        z = self.linear(z, f"{name}.output.dense")
        return self.norm(y + z, f"{name}.output.LayerNorm")

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def act(self, x: np.ndarray) -> np.ndarray:
        if self.activation == "relu":
            return np.maximum(x, 0)
        if self.activation == "gelu_tanh":
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def run_graph(folder: Path, ids: list[list[int]], **options: Any) -> list[np.ndarray]:
    """Hidden states of one padded batch through the folder's graph."""
    arch = read_architecture(folder)
    weights = load_weights(folder / "model.safetensors", arch)
    model = graph.build(arch, weights, graph.Products(), **options)
    length = max(map(len, ids))
    rows = np.array([i + [0] * (length - len(i)) for i in ids], np.int64)
    mask = np.array([[1] * len(i) + [0] * (length - len(i)) for i in ids], np.int64)
    feeds = {"input_ids": rows, "attention_mask": mask}
    (out,) = session(model.SerializeToString()).run(["last_hidden_state"], feeds)
    return [row[: len(i)] for row, i in zip(out, ids, strict=True)]


IDS = [[2, 12, 13, 14, 15, 3], [2, 9, 3], [2, 3], [2, *range(5, 21), 3]]


def test_minilm_equals_the_equations(
    fp32: ModelFiles, published: Path, load: Callable[..., Any], sentences: list[str]
) -> None:
    runner = load(fp32)
    truth = Bert(published / "model.safetensors", layers=6, heads=12)
    ids = runner.ids([*sentences[:6], " ".join(sentences)])
    ids[-1] = ids[-1][:140]
    for row, hidden in zip(ids, runner.hidden(ids), strict=True):
        expected = truth.hidden(row)
        np.testing.assert_allclose(hidden, expected, atol=1e-4)
        pooled = expected.mean(axis=0)
        np.testing.assert_allclose(runner.pool(hidden), pooled / np.linalg.norm(pooled), atol=1e-6)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({}, {}),
        ({"prefix": "bert."}, {"prefix": "bert."}),
        ({"hidden_act": "relu"}, {"activation": "relu"}),
        ({"hidden_act": "gelu_new"}, {"activation": "gelu_tanh"}),
        (
            {"model_type": "roberta", "pad_token_id": 1, "prefix": "roberta."},
            {"prefix": "roberta.", "first_position": 2},
        ),
    ],
    ids=["bert", "prefix", "relu", "tanh", "roberta"],
)
def test_any_bert_equals_the_equations(
    make_bert: Callable[..., Path], config: dict[str, Any], options: dict[str, Any]
) -> None:
    folder = make_bert(**config)
    truth = Bert(folder / "model.safetensors", layers=2, heads=3, **options)
    for ids, hidden in zip(IDS, run_graph(folder, IDS), strict=True):
        np.testing.assert_allclose(hidden, truth.hidden(ids), atol=1e-4)


def test_half_precision_weights_are_read(make_bert: Callable[..., Path]) -> None:
    folder = make_bert()
    path = folder / "model.safetensors"
    halves = {k: v.astype(np.float16) for k, v in load_file(str(path)).items()}
    save_file(halves, str(path))
    truth = Bert(path, layers=2, heads=3)
    for ids, hidden in zip(IDS, run_graph(folder, IDS), strict=True):
        np.testing.assert_allclose(hidden, truth.hidden(ids), atol=1e-4)


def test_balancing_changes_no_value(make_bert: Callable[..., Path]) -> None:
    """Shift and scale are exact in real numbers; only rounding may differ."""
    folder = make_bert()
    rng = np.random.default_rng(1)

    def balance(width: int, shift: float) -> graph.Balance:
        scale = np.exp2(rng.integers(-1, 4, width)).astype(np.float32)
        return graph.Balance(scale, (shift * rng.standard_normal(width)).astype(np.float32))

    balances = {}
    for i in range(2):
        balances[f"layer{i}.attended"] = balance(24, 3.0)
        balances[f"layer{i}.active"] = balance(40, 0.0)
    balances["layer0.out"] = balance(24, 3.0)
    plain = run_graph(folder, IDS)
    balanced = run_graph(folder, IDS, balances=balances)
    for a, b in zip(plain, balanced, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_building_twice_gives_the_same_bytes(make_bert: Callable[..., Path]) -> None:
    folder = make_bert()
    arch = read_architecture(folder)
    weights = load_weights(folder / "model.safetensors", arch)
    first, second = (graph.build(arch, weights, graph.Products()) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )
