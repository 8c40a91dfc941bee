"""The composition root: the only place where the concrete parts meet.

``core`` is an open store with everything that works on it, ``model`` the embedder it is opened
with, ``upkeep`` what is done to a store as a whole.
"""

from agentmem.engine.core import Engine
from agentmem.engine.upkeep import migrate, rebuild, reembed, restore

__all__ = ["Engine", "migrate", "rebuild", "reembed", "restore"]
