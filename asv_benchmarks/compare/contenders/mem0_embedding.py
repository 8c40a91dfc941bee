"""The embedder that mem0 is given.  Imported by mem0's own factory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mem0.embeddings.base import EmbeddingBase

from compare.contenders.plain_onnx import PlainOnnx

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OnnxEmbedding"]


class OnnxEmbedding(EmbeddingBase):
    """``config.model`` is a builtin model of AgentMem, run as a user would run it."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._model = PlainOnnx(self.config.model)

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        """One text: what mem0 asks for when it does not infer, and of each query."""
        del memory_action
        vector: list[float] = self._model.one(text).tolist()
        return vector

    def embed_batch(self, texts: Sequence[str], memory_action: str = "add") -> list[list[float]]:
        del memory_action
        vectors: list[list[float]] = self._model.many(texts).tolist()
        return vectors
