"""Counting and timing the public calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import isfunction
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from agentmem.memory.face import Face

__all__ = ["measured"]

_C = TypeVar("_C", bound=type)


def measured(kind: _C) -> _C:
    """Have each public call of a class's bases recorded in its engine's ``operations``.

    What the bases do stays as it is: a call that is part of another one, such as
    ``Reading.search_batch`` inside ``search``, goes to them and is not counted twice.  It only
    bears the name of the class, which is the one that Python's errors about arguments should name.
    """
    for face in kind.__bases__:
        for name, method in list(vars(face).items()):
            if isfunction(method) and not name.startswith("_"):
                method.__qualname__ = f"{kind.__qualname__}.{name}"
                setattr(kind, name, _recorded(name, method))
    return kind


def _recorded(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Face, /, *args: Any, **kwargs: Any) -> Any:
        begin = perf_counter_ns()
        try:
            answer = method(self, *args, **kwargs)
        except BaseException as error:  # an interrupt, too; raised again
            self._engine.operations.failed(name, begin, args, kwargs, error)
            raise
        self._engine.operations.done(name, begin, args, kwargs)
        return answer

    return call
