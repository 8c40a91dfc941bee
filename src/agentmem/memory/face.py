"""What the parts of ``Memory`` share: the engine, the default scope, checks of arguments."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, NoReturn, TypeVar

from agentmem.errors import LimitError, ScopeError
from agentmem.inputs import check_flag, check_iterable, require_scope, resolve_scope
from agentmem.types import SCOPE_FIELDS, Scope

if TYPE_CHECKING:
    from agentmem.config import Limits
    from agentmem.engine import Engine

__all__ = ["Face"]

_T = TypeVar("_T")

_REMEMBERED = 1024  # scopes whose ids are not checked again


class Face:
    """Checks arguments and hands the work to the engine."""

    _engine: Engine
    _limits: Limits
    _scope: Scope
    _resolved: dict[tuple[object, ...], Scope]  # scopes that were given before

    def _id_list(self, ids: Iterable[str]) -> list[str]:
        return self._bounded(check_iterable(ids, "ids must be a list of ids"), "ids")

    def _query_list(self, queries: Iterable[str | None]) -> list[str | None]:
        given = check_iterable(queries, "queries must be a list of strings")
        return self._bounded(given, "queries")

    def _bounded(self, given: Iterable[_T], what: str) -> list[_T]:
        most = self._limits.max_batch
        found = list(islice(given, most + 1))  # an endless iterator is not followed further
        if len(found) > most:
            raise LimitError(f"there are more {what} than limits.max_batch = {most:,}; split them")
        return found

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} is open files and threads, and cannot be pickled; open the"
            " folder again where it is needed"
        )

    def _resolve(self, user_id: object, agent_id: object, run_id: object, org_id: object) -> Scope:
        given = (user_id, agent_id, run_id, org_id)
        try:
            return self._resolved[given]
        except (KeyError, TypeError):  # not met yet, or nothing that can be a scope
            pass
        scope = resolve_scope(
            dict(zip(SCOPE_FIELDS, given, strict=True)), self._scope, self._limits
        )
        if scope:  # else nearly every call asks for one
            if len(self._resolved) >= _REMEMBERED:
                self._resolved = {}
            self._resolved[given] = scope
        return scope

    def _reading_scope(
        self, user_id: object, agent_id: object, run_id: object, org_id: object, unscoped: bool
    ) -> Scope:
        if unscoped is False or not check_flag(unscoped, "unscoped"):
            given = (user_id, agent_id, run_id, org_id)
            try:
                return self._resolved[given]
            except (KeyError, TypeError):  # not met yet, or nothing that can be a scope
                scope = self._resolve(*given)
            require_scope(scope)
            return scope
        if any(value is not None for value in (user_id, agent_id, run_id, org_id)):
            raise ScopeError("unscoped=True reads across all scopes; leave the scope ids out")
        return Scope()
