"""A static table distilled from a transformer: one row per token, no network at query time.

Each token goes through the model alone (``[CLS] token [SEP]``), its mean-pooled output is
centred, projected onto the leading principal components of the vocabulary, and scaled by how
rare the token is: ``a / (a + p)`` (SIF, Arora, Liang & Ma 2017) with ``p`` by Zipf's law from
the token's place in the vocabulary, which is roughly ordered by frequency.  A text's vector is
the normalised sum of its tokens' rows.

Mean and components are constants shipped in the package, so that tables distilled on different
machines are interchangeable; ``principal_components`` is what made them.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from agentmem.errors import ModelCorruptError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from agentmem.models.build import Report

__all__ = ["distil", "parse_projection", "principal_components", "token_vectors", "zipf_weights"]

_SIF = 1e-4  # the paper's a, in the middle of its range
_BATCH = 64  # tokens of one model call


def distil(
    model: bytes, tokenizer: Path, projection: NDArray[np.float32], report: Report
) -> NDArray[np.float16]:
    """The table ``(vocabulary, dim)`` float16, weights multiplied in.

    Args:
        model: the fp32 ONNX graph.
        projection: ``(1 + dim, hidden)``, see ``principal_components``.
    """
    vectors = token_vectors(model, tokenizer, report)
    table: NDArray[np.float32] = (vectors - projection[0]) @ projection[1:].T
    table *= zipf_weights(len(table))[:, None]
    return table.astype(np.float16)


def token_vectors(model: bytes, tokenizer: Path, report: Report) -> NDArray[np.float32]:
    """``(vocabulary, hidden)``: each token's mean-pooled output, alone in its text.

    Raises:
        ModelCorruptError: the tokenizer has no [CLS] or [SEP].
    """
    import onnxruntime as ort
    from tokenizers import Tokenizer

    vocabulary = Tokenizer.from_file(str(tokenizer)).get_vocab()
    begin, end = vocabulary.get("[CLS]"), vocabulary.get("[SEP]")
    if begin is None or end is None:
        raise ModelCorruptError(f"{tokenizer} has no [CLS] and [SEP], so it is not BERT's")
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    size = max(vocabulary.values()) + 1
    parts = []
    for start in range(0, size, _BATCH):
        tokens = np.arange(start, min(start + _BATCH, size), dtype=np.int64)
        ids = np.stack([np.full_like(tokens, begin), tokens, np.full_like(tokens, end)], axis=1)
        (hidden,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        parts.append(hidden.mean(axis=1))
        report("distil", start + len(tokens), size)
    vectors: NDArray[np.float32] = np.concatenate(parts)
    return vectors


def zipf_weights(size: int) -> NDArray[np.float32]:
    """``(size,)`` SIF weights of tokens in descending order of frequency."""
    probability = 1.0 / np.arange(1, size + 1)
    probability /= probability.sum()
    weights: NDArray[np.float32] = (_SIF / (_SIF + probability)).astype(np.float32)
    return weights


def principal_components(vectors: NDArray[np.float32], dim: int) -> NDArray[np.float16]:
    """``(1 + dim, hidden)`` float16: the mean, then the components, largest variance first.

    A component's largest entry is positive, so that its sign is no accident.
    """
    wide = vectors.astype(np.float64)
    mean = wide.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((wide - mean).T))
    components = axes[:, ::-1][:, :dim].T
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(dim), largest])[:, None]
    found: NDArray[np.float16] = np.vstack([mean, components]).astype(np.float16)
    return found


def parse_projection(blob: bytes) -> NDArray[np.float32]:
    """The shipped constant, as float32."""
    projection: NDArray[np.float16] = np.load(io.BytesIO(blob), allow_pickle=False)
    return projection.astype(np.float32)
