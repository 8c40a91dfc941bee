"""Checks of what callers hand in: scopes, texts, labels, metadata, vectors.

Everything is checked before anything is written, so an error leaves the store as it was.
"""

from __future__ import annotations

from agentmem.inputs.lists import check_iterable
from agentmem.inputs.messages import clip, shorten, without_secrets
from agentmem.inputs.metadata import check_metadata
from agentmem.inputs.paths import check_copy_path, check_path
from agentmem.inputs.scopes import require_scope, resolve_scope
from agentmem.inputs.texts import check_label, check_text
from agentmem.inputs.values import (
    check_count,
    check_flag,
    check_importance,
    check_level,
    check_memory_type,
    check_progress,
)
from agentmem.inputs.vectors import check_vector, check_vectors

__all__ = [
    "check_copy_path",
    "check_count",
    "check_flag",
    "check_importance",
    "check_iterable",
    "check_label",
    "check_level",
    "check_memory_type",
    "check_metadata",
    "check_path",
    "check_progress",
    "check_text",
    "check_vector",
    "check_vectors",
    "clip",
    "require_scope",
    "resolve_scope",
    "shorten",
    "without_secrets",
]
