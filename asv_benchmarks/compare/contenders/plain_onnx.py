"""A model through ONNX Runtime and tokenizers as their manuals show it: what a user would write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from agentmem.models import provision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["PlainOnnx"]

_ROWS = 32  # of a batch, as sentence-transformers has it


class PlainOnnx:
    """Sentence vectors of a builtin model: its files, ONNX Runtime's default session, mean pooling.

    Texts are padded to the longest of a call and no further, and cut where AgentMem cuts them.
    """

    def __init__(self, model: str) -> None:
        files = provision(model)
        self._tokenizer = Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(files.max_length)
        self._session = ort.InferenceSession(str(files.weights), providers=["CPUExecutionProvider"])

    def one(self, text: str) -> NDArray[np.float32]:
        """``(dim,)`` float32, of length 1."""
        read = self._tokenizer.encode(text)
        return self._vectors(np.array([read.ids]), np.array([read.attention_mask]))[0]

    def many(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``(n, dim)`` float32: texts of similar length together, ``_ROWS`` a call."""
        ids = [read.ids for read in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        out: NDArray[np.float32] | None = None
        for start in range(0, len(order), _ROWS):
            chosen = order[start : start + _ROWS]
            longest = max(len(ids[i]) for i in chosen)
            padded = np.zeros((len(chosen), longest), np.int64)
            mask = np.zeros_like(padded)
            for row, i in enumerate(chosen):
                padded[row, : len(ids[i])] = ids[i]
                mask[row, : len(ids[i])] = 1
            made = self._vectors(padded, mask)
            if out is None:
                out = np.empty((len(ids), made.shape[1]), np.float32)
            out[chosen] = made
        return np.empty((0, 0), np.float32) if out is None else out

    def _vectors(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        hidden = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        shown = mask[:, :, None].astype(np.float32)
        pooled = (hidden * shown).sum(1) / shown.sum(1)
        unit: NDArray[np.float32] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit
