"""A user's own embedder, checked at every call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agentmem.embed.local import checked
from agentmem.errors import ClosedError, ConfigError, VectorError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CallableEmbedder"]


class CallableEmbedder:
    """Wraps an object with ``embed(texts) -> (n, d)`` of floats and an int ``dim``.

    It may also have ``embed_queries``, ``model_id`` (a string that changes whenever its vectors
    do; else one is made of ``name``, or its class, and ``dim``), ``warm_up`` and ``close``.  It
    is called from several threads at once; what it raises comes through as it is.  Vectors are
    normalised here.
    """

    def __init__(self, user: Any) -> None:
        """Check the object.

        Raises:
            ConfigError: no ``embed``, or ``dim`` is not a positive int, or ``model_id`` not a
                non-empty string.
        """
        self._who = type(user).__name__
        dim = getattr(user, "dim", None)
        if not callable(getattr(user, "embed", None)):
            raise ConfigError(
                f"an embedder needs embed(texts) -> (n, d) floats and an int dim; {self._who} "
                "has no embed"
            )
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
            raise ConfigError(f"{self._who}.dim must be an int of at least 1, not {dim!r}")
        self._user = user
        self._dim = dim
        self._model_id = _identity(user, dim)
        self._closed = False

    def __repr__(self) -> str:
        return f"<CallableEmbedder of {self._who} dim={self._dim}>"

    @property
    def name(self) -> str:
        return str(getattr(self._user, "name", None) or self._who)

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def model_id(self) -> str:
        return self._model_id

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``(n, dim)`` float32, L2-normalised.

        Raises:
            VectorError: the object returned something else than finite ``(n, dim)`` floats, or
                a row of zeros.
            ClosedError: after ``close``.
        """
        return self._call(self._user.embed, "embed", texts)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same through the object's ``embed_queries``, where it has one."""
        method = getattr(self._user, "embed_queries", None)
        if callable(method):
            return self._call(method, "embed_queries", texts)
        return self.embed(texts)

    def warm_up(self) -> None:
        method = getattr(self._user, "warm_up", None)
        if callable(method):
            method()

    def close(self) -> None:
        """Closes the object too, if it can be."""
        if self._closed:
            return
        self._closed = True
        method = getattr(self._user, "close", None)
        if callable(method):
            method()

    def _call(
        self, method: Callable[[list[str]], Any], called: str, texts: Sequence[str]
    ) -> NDArray[np.float32]:
        import numpy as np

        from agentmem._native import vectors

        if self._closed:
            raise ClosedError(f"the embedder {self._who} is closed; make a new one")
        wanted = checked(texts)
        if not wanted:
            return np.empty((0, self._dim), np.float32)
        out = self._floats(method(wanted), called, len(wanted))
        norms = vectors.normalize(out)
        usable = np.isfinite(norms) & (norms > 0)
        if not usable.all():
            bad = int(np.argmin(usable))
            what = (
                "a vector of zeros, which has no direction and can be like nothing,"
                if norms[bad] == 0
                else "NaN or infinity (or a vector too long for float32)"
            )
            raise VectorError(
                f"{self._who}.{called} returned {what} for texts[{bad}]: {wanted[bad][:40]!r}"
            )
        return out

    def _floats(self, returned: Any, called: str, n: int) -> NDArray[np.float32]:
        """What was returned, as our own float32 copy."""
        import numpy as np

        who = f"{self._who}.{called}"
        try:
            array = np.asarray(returned)
        except ValueError as e:  # rows of different lengths
            raise VectorError(f"{who} must return a ({n}, {self._dim}) array: {e}") from e
        if array.shape != (n, self._dim):
            raise VectorError(
                f"{who} must return shape ({n}, {self._dim}) for {n} texts, not {array.shape}"
            )
        if array.dtype.kind != "f":
            raise VectorError(f"{who} must return floats, not {array.dtype}")
        with np.errstate(over="ignore"):  # becomes infinity, which is refused
            return np.array(array, np.float32, order="C")


def _identity(user: Any, dim: int) -> str:
    given = getattr(user, "model_id", None)
    if given is None:
        name = getattr(user, "name", None) or f"{type(user).__module__}.{type(user).__qualname__}"
        return f"custom:{name}:{dim}"
    if not isinstance(given, str) or not given.strip():
        raise ConfigError(
            f"{type(user).__name__}.model_id must be a non-empty string, not {given!r}"
        )
    return given
