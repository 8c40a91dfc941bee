"""The hot index: exact hybrid search over what one process holds in memory.

``HotIndex`` needs NumPy and ``EnglishAnalyzer`` the stemmer, so each is loaded on first use;
``RECIPE``, which opening a store needs, loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem.index.recipe import RECIPE

if TYPE_CHECKING:
    from agentmem.index.analyzer import EnglishAnalyzer
    from agentmem.index.hot import HotIndex

__all__ = ["RECIPE", "EnglishAnalyzer", "HotIndex"]

_HOMES = {"EnglishAnalyzer": "agentmem.index.analyzer", "HotIndex": "agentmem.index.hot"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
