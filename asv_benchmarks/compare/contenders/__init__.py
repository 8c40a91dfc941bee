"""Who takes part, and with which tasks.  Their modules are imported in their own processes only."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compare.contenders.base import Contender

__all__ = ["CONTENDERS", "STORES", "STORE_PARTS", "TEXTS", "TEXT_PARTS", "UNLOCKED", "Entry"]

#: Text in, embedded by the contender itself.
TEXTS = ("mem0", "agentmem minilm-fp32", "agentmem minilm", "agentmem static")
#: mem0 as it comes, whose local store is not made for threads: only to say what then happens.
UNLOCKED = "mem0 unlocked"
#: Vectors given, so that only the store is compared.
STORES = ("agentmem", "Chroma", "LanceDB", "Qdrant local", "sqlite-vec", "txtai")
#: One part of the work and nothing else: how fast it could be at most, with texts and with vectors.
TEXT_PARTS = ("ONNX Runtime fp32", "ONNX Runtime int8", "SQLite")
STORE_PARTS = ("SQLite", "NumPy")


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender and how it is run."""

    name: str
    module: str
    kind: str  # class in the module
    imports: dict[str, str] = field(default_factory=dict)  # figure to the statement it times
    packages: tuple[str, ...] = ()  # whose versions are told
    arguments: tuple[str, ...] = ()  # after the folder
    #: Left out of a task list, a task is not run: a part of the work cannot do all of it.
    tasks: tuple[str, ...] = (
        "fill",
        "add",
        "batch",
        "threads",
        "search",
        "repeat",
        "find",
        "count",
    )

    def load(self) -> type[Contender]:
        """
        Raises:
            ImportError: what it compares is not installed.
        """
        module = importlib.import_module(f"compare.contenders.{self.module}")
        found: type[Contender] = getattr(module, self.kind)
        return found

    def versions(self) -> dict[str, str]:
        """Of the packages it stands on, as installed."""
        return {name: metadata.version(name) for name in self.packages}


_OURS = {"import": "import agentmem", "class": "from agentmem import Memory"}


def _ours(model: str) -> Entry:
    return Entry(
        f"agentmem {model}",
        "ours",
        "AgentMem",
        _OURS,
        ("onnxruntime", "apsw"),
        (model,),
    )


_ENTRIES = (
    Entry(
        "mem0",
        "mem0_memory",
        "Mem0",
        {"import": "import mem0", "class": "from mem0 import Memory"},
        ("mem0ai", "qdrant-client", "onnxruntime"),
    ),
    Entry(
        UNLOCKED,
        "mem0_memory",
        "Mem0Unlocked",
        packages=("mem0ai", "qdrant-client"),
        tasks=("threads", "count"),
    ),
    _ours("minilm-fp32"),
    _ours("minilm"),
    _ours("static"),
    Entry(
        "agentmem",
        "ours",
        "AgentMem",
        {"import": "import agentmem"},
        ("apsw",),
        ("minilm-fp32", "dense"),
    ),
    Entry("Chroma", "chroma", "Chroma", {"import": "import chromadb"}, ("chromadb",)),
    Entry("LanceDB", "lance", "Lance", {"import": "import lancedb"}, ("lancedb",)),
    Entry(
        "Qdrant local",
        "qdrant",
        "Qdrant",
        {"import": "import qdrant_client"},
        ("qdrant-client",),
    ),
    Entry(
        "sqlite-vec",
        "sqlite_vec_table",
        "SqliteVec",
        {"import": "import apsw, sqlite_vec"},
        ("sqlite-vec", "apsw"),
    ),
    Entry(
        "txtai",
        "txtai_index",
        "Txtai",
        {"import": "import txtai"},
        ("txtai", "faiss-cpu", "torch"),
    ),
    Entry(
        "ONNX Runtime fp32",
        "parts",
        "BareModel",
        packages=("onnxruntime",),
        arguments=("minilm-fp32",),
        tasks=("add", "batch", "search"),
    ),
    Entry(
        "ONNX Runtime int8",
        "parts",
        "BareModel",
        packages=("onnxruntime",),
        arguments=("minilm",),
        tasks=("add", "batch", "search"),
    ),
    Entry("SQLite", "parts", "BareSqlite", packages=("apsw",), tasks=("fill", "add", "batch")),
    Entry("NumPy", "parts", "BareScan", packages=("numpy",), tasks=("fill", "search")),
)
CONTENDERS = {entry.name: entry for entry in _ENTRIES}
