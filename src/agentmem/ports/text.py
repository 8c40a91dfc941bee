"""Text to vectors and to keyword terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.types import (
        TermBatch,
    )

__all__ = ["Analyzer", "Embedder", "Remake"]

#: From texts to their vectors ``(n, dim)`` float32, normalised, and their keyword terms.
Remake = Callable[[Sequence[str]], "tuple[NDArray[np.float32], TermBatch]"]


@runtime_checkable
class Embedder(Protocol):
    """Text to vectors.  ``model_id`` and ``dim`` are known before any weight is loaded."""

    @property
    def dim(self) -> int: ...

    @property
    def model_id(self) -> str:
        """Hash of weights, recipe and calibration; equal ids mean interchangeable vectors."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``(n, dim)`` float32, L2-normalised, row i of text i; any thread, no shared lock."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same for search queries (some models prefix them)."""
        ...

    def warm_up(self) -> None:
        """Load everything now instead of on first use."""
        ...

    def close(self) -> None: ...


class Analyzer(Protocol):
    """Text to keyword terms."""

    @property
    def recipe(self) -> str:
        """Name and version of segmentation, folding, stop words and stemmer; stored in meta."""
        ...

    def analyze(self, texts: Sequence[str]) -> TermBatch: ...
