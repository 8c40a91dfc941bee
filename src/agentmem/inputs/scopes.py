"""Checks of scopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem.errors import InvalidInputError, LimitError, ScopeError
from agentmem.inputs.messages import shorten
from agentmem.inputs.texts import check_text
from agentmem.types import SCOPE_FIELDS, Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentmem.config import Limits

__all__ = ["require_scope", "resolve_scope"]


def resolve_scope(given: Mapping[str, object], defaults: Scope, limits: Limits) -> Scope:
    """The scope of a call: its own ids over the defaults, trimmed; may be empty.

    Raises:
        ScopeError: an id that is not a non-empty string.
        LimitError: an id longer than ``limits.max_scope_bytes``.
    """
    if all(given.get(name) is None for name in SCOPE_FIELDS):
        return defaults
    values = []
    for name, default in zip(SCOPE_FIELDS, defaults.as_tuple(), strict=True):
        value = given.get(name)
        values.append(default if value is None else _check_scope_id(value, name, limits))
    return Scope(*values)


def require_scope(scope: Scope) -> None:
    """
    Raises:
        ScopeError: no scope id at all.
    """
    if not scope:
        raise ScopeError(
            "no scope given: say whose memory it is with user_id=, agent_id=, run_id= or org_id="
            " (in the call, or once in Memory(...)); unscoped=True reads across all scopes"
        )


def _check_scope_id(value: object, name: str, limits: Limits) -> str:
    if not isinstance(value, str):
        raise ScopeError(f"{name} must be a string, not {type(value).__name__} {shorten(value)}")
    try:
        return check_text(value, limits.max_scope_bytes, name, "limits.max_scope_bytes").strip()
    except LimitError:
        raise
    except InvalidInputError as error:
        raise ScopeError(str(error)) from None
