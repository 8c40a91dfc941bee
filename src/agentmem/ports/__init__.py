"""Protocols through which the upper floors see the lower ones.

``write`` and ``search`` know the store, the embedder, the index and the projection only by
these shapes; ``engine`` is the one place where the concrete classes meet them.
"""

from __future__ import annotations

from agentmem.ports.lookups import LookUps
from agentmem.ports.projecting import HotIndex, LargeIndex, Projection
from agentmem.ports.storing import Filter, Snapshot, StaleSnapshot, Store
from agentmem.ports.text import Analyzer, Embedder, Remake
from agentmem.ports.transaction import WriteTransaction
from agentmem.ports.work import Aside, Progress, Work

__all__ = [
    "Analyzer",
    "Aside",
    "Embedder",
    "Filter",
    "HotIndex",
    "LargeIndex",
    "LookUps",
    "Progress",
    "Projection",
    "Remake",
    "Snapshot",
    "StaleSnapshot",
    "Store",
    "Work",
    "WriteTransaction",
]
