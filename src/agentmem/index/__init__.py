"""The hot index: exact hybrid search over what one process holds in memory."""

from __future__ import annotations

from agentmem.index.analyzer import EnglishAnalyzer
from agentmem.index.hot import HotIndex

__all__ = ["EnglishAnalyzer", "HotIndex"]
