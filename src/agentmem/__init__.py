"""AgentMem: long-term memory for AI agents, as a library.

>>> from agentmem import Memory
>>> with Memory("./mem") as mem:
...     mem.add("I moved to Lisbon in March", user_id="alice")
...     mem.search("where does she live?", user_id="alice")

Names are loaded on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentmem.aio import AsyncMemory
    from agentmem.config import Config
    from agentmem.errors import (
        AgentMemError,
        ClosedError,
        ConfigError,
        ConflictError,
        FilterError,
        InvalidInputError,
        LimitError,
        ModelCorruptError,
        ModelError,
        ModelMismatchError,
        ModelNotFoundError,
        NotFoundError,
        OfflineError,
        SchemaVersionError,
        ScopeError,
        StoreCorruptError,
        StoreError,
        StoreFullError,
        StorePathError,
        StoreTimeoutError,
        UnsupportedError,
        VectorError,
    )
    from agentmem.memory import Memory

__all__ = [
    "AgentMemError",
    "AsyncMemory",
    "ClosedError",
    "Config",
    "ConfigError",
    "ConflictError",
    "FilterError",
    "InvalidInputError",
    "LimitError",
    "Memory",
    "ModelCorruptError",
    "ModelError",
    "ModelMismatchError",
    "ModelNotFoundError",
    "NotFoundError",
    "OfflineError",
    "SchemaVersionError",
    "ScopeError",
    "StoreCorruptError",
    "StoreError",
    "StoreFullError",
    "StorePathError",
    "StoreTimeoutError",
    "UnsupportedError",
    "VectorError",
    "__version__",
]

__version__ = "0.1.0"

_HOMES = {"AsyncMemory": "agentmem.aio", "Memory": "agentmem.memory", "Config": "agentmem.config"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'agentmem' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES.get(name, "agentmem.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
