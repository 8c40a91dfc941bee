"""An ONNX encoder: as many model calls at once as there are cores, and no lock around them.

One ONNX Runtime session is shared by all threads: a session whose operators use one thread
runs in the thread that calls it, so calls on the same session run side by side and there is one
copy of the weights however many they are.  A call that has the model to itself takes a second
session, whose operators use several threads (docs/embedding.md has the measurements).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem._native import vectors
from agentmem.embed.alone import Alone
from agentmem.embed.sessions import open_session, run
from agentmem.embed.slots import Slots
from agentmem.embed.text import Reader
from agentmem.embed.work import Work
from agentmem.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.config import EmbeddingConfig
    from agentmem.types import ModelFiles

__all__ = ["OnnxEncoder"]


class OnnxEncoder:
    """Texts to unit vectors through an ONNX graph; any thread."""

    def __init__(self, files: ModelFiles, config: EmbeddingConfig) -> None:
        """Load the model.

        Raises:
            ModelCorruptError: a file is damaged.
        """
        kept = files.max_length
        if config.max_length:
            kept = min(kept, config.max_length)
        self.size = config.calls
        threads = max(config.threads_per_session, 1)
        # Operators that use several threads share their session's: one session each, then.
        copies = 1 if threads == 1 else self.size
        sessions = [open_session(files, threads) for _ in range(copies)]
        self._dim = files.dim
        self._name = files.name
        self._cls = files.pooling == "cls"
        self._limit = max(config.max_batch_tokens, 1)
        self._reader = Reader(files.tokenizer, kept, special=True)
        # Small calls have slots of their own, so that none waits behind a large one's batches:
        # the two kinds then share the cores as the operating system shares them.
        items = [sessions[i % copies] for i in range(self.size)]
        self._large: Slots[Any] = Slots(items)
        # One more of those, so that no core waits while a slot changes hands.
        self._small: Slots[Any] = Slots([*items, sessions[0]])
        self._helpers = ThreadPoolExecutor(max(self.size - 1, 1), "agentmem-embed")
        wide = config.wide
        self._alone = Alone(
            lambda: open_session(files, wide, awake=True) if wide > threads else None,
            self._helpers,
        )

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """``(n, dim)`` float32, L2-normalised.

        Raises:
            InvalidInputError: a text that has no UTF-8 form.
            ModelError: the model failed, or made NaN or infinity.
        """
        out = np.empty((len(texts), self._dim), np.float32)
        with self._alone.call() as call:
            work = Work(texts, self._reader.ids, limit=self._limit, sessions=self.size)
            batches, tokens = work.first()
            slots = self._small if tokens <= self._limit else self._large
            if batches == 1:
                slots = call.wide(tokens) or slots
            try:
                self._call_helpers(work, slots, out, min(batches, self.size) - 1)
                self._drain(work, slots, out)
                work.wait()
            finally:
                work.stop()
        if not np.isfinite(vectors.normalize(out)).all():
            raise ModelError(
                f"model {self._name!r} made NaN or infinity; agentmem models verify checks its "
                "files"
            )
        return out

    def _call_helpers(
        self, work: Work, slots: Slots[Any], out: NDArray[np.float32], count: int
    ) -> None:
        """Other threads that take from the same work; late ones find nothing left."""
        try:
            for _ in range(count):
                self._helpers.submit(self._drain, work, slots, out)
        except RuntimeError:
            return  # closed meanwhile, or no thread can be started: go on alone

    def _drain(self, work: Work, slots: Slots[Any], out: NDArray[np.float32]) -> None:
        """Compute batches until there are none."""
        while (batch := work.take()) is not None:
            error: BaseException | None = None
            try:
                with slots.borrow() as session:
                    hidden = run(session, batch.ids, batch.mask, self._name)
                if self._cls:
                    out[batch.rows] = hidden[:, 0]
                else:
                    out[batch.rows] = vectors.mean_pool(hidden, batch.mask)
            except BaseException as e:  # the other threads must stop; it is raised again
                error = e
                raise
            finally:
                work.done(error)

    def warm_up(self) -> None:
        """Run the model once, and have the session of several threads ready, too."""
        self.encode(["warm up"])
        self._alone.warm_up()

    def close(self) -> None:
        """Lets running calls finish in their own threads."""
        self._helpers.shutdown(wait=False)
