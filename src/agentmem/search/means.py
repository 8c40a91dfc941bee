"""What a search works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentmem.config import Config
    from agentmem.ports import Analyzer, Embedder, HotIndex, LargeIndex, Store
    from agentmem.search.allowed import Allowed
    from agentmem.search.items import Items

__all__ = ["Means"]


@dataclass(frozen=True, slots=True)
class Means:
    """The parts of one open store that its searches share."""

    store: Store
    embedder: Embedder
    analyzer: Analyzer
    index: HotIndex
    large: LargeIndex
    items: Items
    allowed: Allowed
    config: Config
