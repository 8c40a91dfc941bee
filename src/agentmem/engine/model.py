"""Which embedder a store is opened with."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from agentmem.errors import UnsupportedError

if TYPE_CHECKING:
    from agentmem.config import Config
    from agentmem.models import Spec
    from agentmem.ports import Embedder
    from agentmem.search.context import CountTokens

__all__ = ["Model"]


class Model:
    """The embedder that a caller named or made: what it is, before anything is loaded."""

    def __init__(self, embedder: Any, config: Config) -> None:
        """
        Raises:
            ModelNotFoundError, ModelCorruptError: a name or folder that is no model.
            ConfigError: an object that is no embedder.
        """
        if isinstance(embedder, str | os.PathLike):
            from agentmem.models import resolve

            self._spec: Spec | None = resolve(os.fspath(embedder))
            spec = self._spec
            self._load: Callable[[], Embedder] = partial(_local_embedder, spec, config)
            self.name, self.model_id, self.dim = spec.name, spec.model_id, spec.dim
        else:
            from agentmem.embed import wrap

            self._spec = None
            own = wrap(embedder)
            self._load = lambda: own
            self.name, self.model_id, self.dim = own.name, own.model_id, own.dim

    def name_of(self, model_id: str) -> str | None:
        """What people call the model of an id; None where nobody here knows."""
        if model_id == self.model_id:
            return self.name
        from agentmem.models import names, resolve

        return next((name for name in names() if resolve(name).model_id == model_id), None)

    def load(self) -> Embedder:
        """The embedder; its weights are still read on first use."""
        return self._load()

    def token_counter(self) -> CountTokens:
        """
        Raises:
            UnsupportedError: an embedder of the caller's, whose tokenizer nobody knows.
        """
        if self._spec is None:
            raise UnsupportedError(
                f"the embedder {self.name!r} names no tokenizer to count with; pass"
                " tokenizer=, a function from a list of texts to the number of tokens of each"
            )
        from agentmem.embed.text import token_counter
        from agentmem.models import provision

        return token_counter(provision(self._spec.name).tokenizer)


def _local_embedder(spec: Spec, config: Config) -> Embedder:
    from agentmem.embed import create
    from agentmem.models import provision

    return create(spec, lambda: provision(spec.name), config.embedding)
