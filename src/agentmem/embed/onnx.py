"""An ONNX encoder: as many model calls at once as there are cores, and no lock around them.

One ONNX Runtime session is shared by all threads: a session whose operators use one thread
runs in the thread that calls it, so calls on the same session run side by side and there is one
copy of the weights however many they are (docs/embedding.md has the measurements).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from agentmem._native import vectors
from agentmem.embed.slots import Slots
from agentmem.embed.text import Reader
from agentmem.embed.work import Batch, Work
from agentmem.errors import ModelCorruptError, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.config import EmbeddingConfig
    from agentmem.types import ModelFiles

__all__ = ["OnnxEncoder", "open_session"]

#: Every error of ONNX Runtime; they have no common base.
_ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    kind
    for kind in vars(ort_errors).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)

OUTPUT = "last_hidden_state"


def open_session(files: ModelFiles, threads: int = 1) -> ort.InferenceSession:
    """A session with the settings that were measured best.

    Raises:
        ModelCorruptError: the file cannot be loaded, or is not the encoder it should be.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors come as exceptions, not on stderr
    # Idle workers must sleep: the cores belong to the application.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A memory plan per input shape helps fixed shapes only, and there would be hundreds.
    options.enable_mem_pattern = False
    try:
        session = ort.InferenceSession(
            str(files.weights),
            options,
            providers=["CPUExecutionProvider"],
            # Its fused kernel is scalar, 5 times as slow as the two operators it replaces.
            disabled_optimizers=["SkipLayerNormFusion"],
        )
    except _ORT_ERRORS as e:
        raise ModelCorruptError(
            f"{files.weights} cannot be loaded ({e}); agentmem models verify checks it, "
            f"agentmem models pull --force {files.name} makes it again"
        ) from e
    _check(session, files)
    return session


def _check(session: ort.InferenceSession, files: ModelFiles) -> None:
    inputs = {i.name for i in session.get_inputs()}
    outputs = {o.name: o.shape for o in session.get_outputs()}
    if inputs != {"input_ids", "attention_mask"} or OUTPUT not in outputs:
        raise ModelCorruptError(
            f"{files.weights} has inputs {sorted(inputs)} and outputs {sorted(outputs)}; an "
            f"encoder has input_ids and attention_mask, and {OUTPUT}"
        )
    width = outputs[OUTPUT][-1] if outputs[OUTPUT] else None
    if isinstance(width, int) and width != files.dim:
        raise ModelCorruptError(
            f"{files.weights} makes vectors of {width} dimensions, {files.name} has {files.dim}"
        )


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

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """``(n, dim)`` float32, L2-normalised.

        Raises:
            InvalidInputError: a text that has no UTF-8 form.
            ModelError: the model failed, or made NaN or infinity.
        """
        out = np.empty((len(texts), self._dim), np.float32)
        work = Work(texts, self._reader.ids, limit=self._limit, sessions=self.size)
        batches, tokens = work.first()
        slots = self._small if tokens <= self._limit else self._large
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
                    hidden = self._run(session, batch)
                if self._cls:
                    out[batch.rows] = hidden[:, 0]
                else:
                    out[batch.rows] = vectors.mean_pool(hidden, batch.mask)
            except BaseException as e:  # the other threads must stop; it is raised again
                error = e
                raise
            finally:
                work.done(error)

    def _run(self, session: Any, batch: Batch) -> NDArray[np.float32]:
        try:
            hidden: NDArray[np.float32] = session.run(
                [OUTPUT], {"input_ids": batch.ids, "attention_mask": batch.mask}
            )[0]
        except _ORT_ERRORS as e:
            raise ModelError(
                f"model {self._name!r} failed on a batch of shape {batch.ids.shape}: {e}"
            ) from e
        return hidden

    def close(self) -> None:
        """Lets running calls finish in their own threads."""
        self._helpers.shutdown(wait=False)
