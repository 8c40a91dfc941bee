"""The embedder of a model on this machine: what is common to every kind of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from agentmem.errors import ClosedError, InvalidInputError, ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.config import EmbeddingConfig
    from agentmem.embed import Described
    from agentmem.types import ModelFiles

__all__ = ["LocalEmbedder", "checked"]


class Encoder(Protocol):
    """A loaded model."""

    def encode(self, texts: list[str]) -> NDArray[np.float32]: ...
    def warm_up(self) -> None: ...
    def close(self) -> None: ...


class Loaded:
    """An encoder and what its files said."""

    __slots__ = ("encoder", "query_prefix")

    def __init__(self, encoder: Encoder, query_prefix: str) -> None:
        self.encoder = encoder
        self.query_prefix = query_prefix


class LocalEmbedder:
    """Loads its model on first use, once, whichever thread comes first.

    Making one imports nothing and touches no file.  It belongs to the process that made it.
    """

    def __init__(
        self, described: Described, load: Callable[[], ModelFiles], config: EmbeddingConfig
    ) -> None:
        self._described = described
        self._load = load
        self._config = config
        self._pid = os.getpid()
        self._lock = Lock()
        self._loading: Future[Loaded] | None = None  # guarded by the lock
        self._loaded: Loaded | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<LocalEmbedder {self.name!r} dim={self.dim}>"

    @property
    def name(self) -> str:
        return self._described.name

    @property
    def dim(self) -> int:
        return self._described.dim

    @property
    def model_id(self) -> str:
        return self._described.model_id

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``(n, dim)`` float32, L2-normalised, row i of text i; equal texts computed once.

        Raises:
            InvalidInputError: not a sequence of strings, or one that has no UTF-8 form.
            ModelError: the model cannot be loaded, or failed.
            ClosedError: after ``close``, or in a forked child.
        """
        self._check_open()
        return _unique(checked(texts), self._ready().encoder, self.dim)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same for search queries, each behind the model's query prefix."""
        self._check_open()
        queries = checked(texts)
        loaded = self._ready()
        if loaded.query_prefix:
            queries = [loaded.query_prefix + q for q in queries]
        return _unique(queries, loaded.encoder, self.dim)

    def warm_up(self) -> None:
        """Load the model now, with all that it opens later else, and run it once."""
        self._check_open()
        self._ready().encoder.warm_up()

    def close(self) -> None:
        """Calls that are running finish; later ones raise ``ClosedError``."""
        with self._lock:
            self._closed = True
            loaded, self._loaded = self._loaded, None
        if loaded is not None and os.getpid() == self._pid:
            loaded.encoder.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the embedder {self.name!r} is closed; make a new one")
        if os.getpid() != self._pid:
            # Its threads are not here, and its locks may have been held while forking.
            raise ClosedError(
                f"the embedder {self.name!r} belongs to process {self._pid}, which forked this "
                f"one ({os.getpid()}); make a new one here"
            )

    def _ready(self) -> Loaded:
        """The loaded model; loads it, or waits for the thread that does.

        An error goes to all who waited for this attempt; the next call tries again.
        """
        loaded = self._loaded
        if loaded is not None:
            return loaded
        with self._lock:
            self._check_open()
            if self._loaded is not None:
                return self._loaded
            attempt, mine = self._loading, self._loading is None
            if attempt is None:
                attempt = self._loading = Future()
        if not mine:
            try:
                return attempt.result()
            except CancelledError:
                return self._ready()
        try:
            loaded = self._open()
        except BaseException as e:  # whatever it is, those who wait must hear; it is raised again
            with self._lock:
                self._loading = None
            if isinstance(e, Exception):
                attempt.set_exception(e)
            else:  # an interrupt is for this thread only
                attempt.cancel()
            raise
        with self._lock:
            self._loading = None
            if not self._closed:
                self._loaded = loaded
        attempt.set_result(loaded)
        if self._closed:
            loaded.encoder.close()
        return loaded

    def _open(self) -> Loaded:
        files = self._load()
        for what in ("model_id", "dim", "kind"):
            found, promised = getattr(files, what), getattr(self._described, what)
            if found != promised:
                raise ModelError(
                    f"model {self.name!r} was promised with {what} {promised!r}, but its files "
                    f"have {found!r}; agentmem models pull --force {self.name} makes them again"
                )
        encoder: Encoder
        if files.kind == "static":
            from agentmem.embed.static import StaticEncoder

            encoder = StaticEncoder(files, self._config)
        else:
            from agentmem.embed.onnx import OnnxEncoder

            encoder = OnnxEncoder(files, self._config)
        return Loaded(encoder, files.query_prefix)


def checked(texts: Sequence[str]) -> list[str]:
    """The texts as a list.

    Raises:
        InvalidInputError: one string instead of a sequence of them, or something else inside.
    """
    if isinstance(texts, str):
        raise InvalidInputError(f"texts must be a list of strings; put {texts[:40]!r} into one")
    result = list(texts)
    for i, text in enumerate(result):
        if not isinstance(text, str):
            raise InvalidInputError(f"texts[{i}] must be a string, not {text!r}")
    return result


def _unique(texts: list[str], encoder: Encoder, dim: int) -> NDArray[np.float32]:
    """Encode each distinct text once, and give each row its vector."""
    if len(texts) == 1:
        return encoder.encode(texts)
    import numpy as np

    if not texts:
        return np.empty((0, dim), np.float32)
    position: dict[str, int] = {}
    rows = [position.setdefault(text, len(position)) for text in texts]
    encoded = encoder.encode(list(position))
    return encoded if len(position) == len(texts) else encoded[rows]
