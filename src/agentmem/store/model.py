"""What a store is opened with: the model of its vectors, the analyzer of its keywords."""

from __future__ import annotations

from collections.abc import Callable

from agentmem.errors import ModelMismatchError, SchemaVersionError
from agentmem.store.state import State

__all__ = ["UNFINISHED", "Model"]

#: Before the recipe of an analyzer while the keywords of a store are on their way to it.
UNFINISHED = "unfinished:"


class Model:
    """The model whose vectors a store is opened to read and write, and the analyzer.

    ``name_of`` gives what people call the model of an id, or None where nobody knows.
    """

    __slots__ = ("analyzer", "dim", "model_id", "name_of")

    def __init__(
        self,
        model_id: str,
        dim: int,
        analyzer: str,
        name_of: Callable[[str], str | None] | None = None,
    ) -> None:
        self.model_id = model_id
        self.dim = dim
        self.analyzer = analyzer
        self.name_of = name_of

    def check(self, stored: State) -> None:
        """
        Raises:
            ModelMismatchError: the store holds vectors of another model.
            SchemaVersionError: it holds keywords of another analyzer.
        """
        if stored.model_id and stored.model_id != self.model_id:
            raise self._mismatch(stored)
        if stored.analyzer and stored.analyzer != self.analyzer:
            if stored.analyzer.startswith(UNFINISHED):
                what = "the keywords of the store are being made anew"
            else:
                what = f"the keywords of the store were made by the recipe {stored.analyzer!r}"
            raise SchemaVersionError(
                f"{what}, and this version of AgentMem has {self.analyzer!r}; with the newest"
                " version that is to use the store, run: agentmem migrate"
            )

    def _mismatch(self, stored: State) -> ModelMismatchError:
        known, given = self._name(stored.model_id), self._name(self.model_id)
        if known is None or known == given:
            known = f"with the id {stored.model_id!r}"
        else:
            known = repr(known)
        given = repr(given or self.model_id)
        return ModelMismatchError(
            f"the store holds vectors of the model {known} (dim {stored.dim}), and was opened with"
            f" {given} (dim {self.dim}); open it with the first, or move it to the second:"
            f" agentmem reembed"
        )

    def _name(self, model_id: str) -> str | None:
        return None if self.name_of is None else self.name_of(model_id)
