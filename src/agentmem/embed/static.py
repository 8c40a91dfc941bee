"""A static model: a text's vector is the sum of its tokens' rows in a table."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from agentmem._native import batching, vectors
from agentmem.embed.text import Reader, windows
from agentmem.errors import ModelCorruptError, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.config import EmbeddingConfig
    from agentmem.types import ModelFiles

__all__ = ["StaticEncoder"]


class StaticEncoder:
    """Texts to unit vectors through a memory-mapped token table; any thread.

    The table is float16 or float32 ``(vocabulary, dim)``, each token's weight multiplied into
    its row.  A text without any token (control characters only, say) is a zero row: it has no
    direction, and resembles nothing.
    """

    def __init__(self, files: ModelFiles, config: EmbeddingConfig) -> None:
        """Map the table, load the tokenizer.

        Raises:
            ModelCorruptError: a file is damaged.
        """
        kept = files.max_length
        if config.max_length:
            kept = min(kept, config.max_length)
        self._reader = Reader(files.tokenizer, kept, special=False)
        self._name = files.name
        self._table = _open(files)

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """``(n, dim)`` float32, L2-normalised.

        Raises:
            InvalidInputError: a text that has no UTF-8 form.
            ModelError: the table holds NaN or infinity, or is smaller than the vocabulary.
        """
        if len(texts) == 1:
            out = self._pool(texts)
            sound = isfinite(vectors.normalize(out)[0])
        else:
            parts = [self._pool(texts[w.start : w.stop]) for w in windows(texts)]
            out = parts[0] if len(parts) == 1 else np.concatenate(parts)
            sound = bool(np.isfinite(vectors.normalize(out)).all())
        if not sound:
            raise ModelError(
                f"the table of model {self._name!r} holds NaN or infinity; agentmem models "
                "verify checks its files"
            )
        return out

    def _pool(self, texts: list[str]) -> NDArray[np.float32]:
        flat, offsets = batching.flatten(self._reader.ids(texts))
        try:
            return vectors.pool_table(self._table, None, flat, offsets)
        except IndexError as e:
            raise ModelError(
                f"the tokenizer of model {self._name!r} does not belong to its table: {e}"
            ) from e

    def warm_up(self) -> None:
        """Touch the table and the tokenizer once."""
        self.encode(["warm up"])

    def close(self) -> None:
        """Nothing to stop; the mapping goes with the object."""


def _open(files: ModelFiles) -> NDArray[np.float16]:
    remedy = f"agentmem models pull --force {files.name} makes it again"
    try:
        table: NDArray[np.float16] = np.lib.format.open_memmap(files.weights, mode="r")
    except (OSError, ValueError) as e:
        raise ModelCorruptError(f"{files.weights} cannot be read ({e}); {remedy}") from e
    if table.ndim != 2 or table.shape[1] != files.dim or table.dtype not in ("f2", "f4"):
        raise ModelCorruptError(
            f"{files.weights} is {table.dtype} of shape {table.shape}, not float16 of shape "
            f"(vocabulary, {files.dim}); {remedy}"
        )
    return table
