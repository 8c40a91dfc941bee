"""Text to vectors.

The door: ``create`` makes the embedder of a model that is described but perhaps not yet on this
machine, ``wrap`` makes one of a user's object.  Both answer ``ports.Embedder``, neither imports
anything heavy nor reads a file; ``load`` is called once, by whoever embeds first::

    spec = models.resolve("minilm")
    embedder = embed.create(spec, lambda: models.provision(spec.name), config.embedding)
    embedder.embed(["likes surfing", "works at Acme"])        # (2, 384) float32, unit length

Inside, text flows through the files in this order: ``local`` (checks, duplicates, lazy loading),
``text`` (token ids), then either ``onnx`` (``work`` cuts batches, ``slots`` bounds how many run)
or ``static`` (one pass over a table).  ``custom`` stands alone.  ``caching`` stands before any of
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from agentmem.config import EmbeddingConfig
    from agentmem.embed.caching import CachingEmbedder
    from agentmem.embed.custom import CallableEmbedder
    from agentmem.embed.local import LocalEmbedder
    from agentmem.ports import Embedder
    from agentmem.types import ModelFiles

__all__ = ["Described", "create", "remember", "wrap"]


class Described(Protocol):
    """What must be known of a model before its files are (``models.Spec`` is one)."""

    @property
    def name(self) -> str: ...
    @property
    def model_id(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def kind(self) -> Literal["onnx", "static"]: ...


def create(
    described: Described, load: Callable[[], ModelFiles], config: EmbeddingConfig
) -> LocalEmbedder:
    """The embedder of a model whose files ``load`` returns.

    ``load`` may take minutes (a download), is called in the thread that embeds first, and again
    by a later call if it failed.
    """
    from agentmem.embed.local import LocalEmbedder

    return LocalEmbedder(described, load, config)


def remember(embedder: Embedder, config: EmbeddingConfig) -> CachingEmbedder:
    """The embedder behind a memory of what it embedded before."""
    from agentmem.embed.caching import CachingEmbedder

    return CachingEmbedder(embedder, config)


def wrap(user: Any) -> CallableEmbedder:
    """The embedder of an object with ``embed(texts) -> (n, d)`` and ``dim``.

    Raises:
        ConfigError: it has not what is needed.
    """
    from agentmem.embed.custom import CallableEmbedder

    return CallableEmbedder(user)
