"""mem0, as ``pip install mem0ai`` gives it, with our fp32 model and no network."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from agentmem.types import SCOPE_FIELDS
from compare.contenders.base import USER, Contender
from compare.data import DIM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compare.data import Row

__all__ = ["Mem0", "Mem0Answers", "Mem0Unlocked"]

MODEL = "minilm-fp32"
_MOST = 1_000_000  # more than is ever stored: get_all lists 20 unless told otherwise


def open_mem0(folder: Path, *, locked: bool = True) -> Any:
    """Its ``Memory``, over local Qdrant and a history file in ``folder``.

    The names of embedding providers are a fixed list in mem0; our class is registered in place of
    that of ``huggingface``.  mem0 also makes an LLM client when it is opened: the one given has no
    key that anything would accept and an address where nobody listens.  With ``infer=False`` it is
    never called; if it were, the call would raise.

    Args:
        locked: give mem0 a Qdrant client that writes one point after the other.  The one that it
            makes itself loses rows when several threads write, and searches raise from then on.
    """
    os.environ["MEM0_TELEMETRY"] = "False"  # read when mem0 is imported, as is the next
    os.environ["MEM0_DIR"] = str(folder)
    from mem0 import Memory
    from mem0.utils.factory import EmbedderFactory

    EmbedderFactory.provider_to_class["huggingface"] = (
        "compare.contenders.mem0_embedding.OnnxEmbedding"
    )
    place = str(folder / "qdrant")
    qdrant = {"client": _locked_client(place)} if locked else {"path": place}
    qdrant |= {"collection_name": "memories", "embedding_model_dims": DIM, "on_disk": True}
    unreachable = {"api_key": "none", "openai_base_url": "http://127.0.0.1:9"}
    return Memory.from_config(
        {
            "vector_store": {"provider": "qdrant", "config": qdrant},
            "embedder": {"provider": "huggingface", "config": {"model": MODEL}},
            "llm": {"provider": "openai", "config": unreachable},
            "history_db_path": str(folder / "history.db"),
        }
    )


def _locked_client(place: str) -> Any:
    from qdrant_client import QdrantClient

    class Locked(QdrantClient):
        """Embedding still runs in all threads at once; only this call waits its turn."""

        one_at_a_time = threading.Lock()

        def upsert(self, *arguments: Any, **named: Any) -> Any:
            with self.one_at_a_time:
                return super().upsert(*arguments, **named)

    return Locked(path=place)


class Mem0(Contender):
    """``add(infer=False)``, and ``search`` with its defaults but for ``top_k``."""

    setup = (
        "`infer=False`: no LLM and no graph is asked; local Qdrant on disk, with a lock around"
        " its writes; no reranker, which is the default; telemetry off. Keyword and entity matching"
        " need the extras `nlp` and `extras` and models from the network; a plain install has"
        " neither, so its search is dense"
    )
    durability = "vector and text in one SQLite commit, history in another, both synced to disk"

    locked = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._memory = open_mem0(folder, locked=self.locked)

    def add(self, row: Row) -> None:
        self._memory.add(row.text, user_id=USER, infer=False)

    def search(self, query: Row, top_k: int) -> list[str]:
        found = self._memory.search(query.text, filters={"user_id": USER}, top_k=top_k)
        return [hit["memory"] for hit in found["results"]]

    def count(self) -> int:
        return len(self._memory.get_all(filters={"user_id": USER}, top_k=_MOST)["results"])

    def close(self) -> None:
        self._memory.vector_store.client.close()
        self._memory.close()


class Mem0Unlocked(Mem0):
    """With the Qdrant client that mem0 makes itself."""

    locked = False


class Mem0Answers:
    """mem0 with the calls that ``agentmem.evaluation.evaluate`` makes (``runner.Judged``, but for
    contexts): one code judges both.

    A memory's time and speaker go where mem0 has a place for them: metadata, and the message's
    ``name``.
    """

    def __init__(self, folder: Path) -> None:
        self._memory = open_mem0(folder)

    def warm_up(self) -> None:
        self._memory.embedding_model.embed("warm up")

    def add_batch(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"results": [self._add(item) for item in items]}

    def _add(self, item: dict[str, Any]) -> dict[str, Any]:
        message = {"role": item.get("role", "user"), "content": item["content"]}
        if "actor_id" in item:
            message["name"] = item["actor_id"]
        metadata = dict(item.get("metadata", {}))
        if "timestamp" in item:
            metadata["timestamp"] = str(item["timestamp"])
        ids = {name: item[name] for name in SCOPE_FIELDS if name in item}
        added = self._memory.add([message], metadata=metadata, infer=False, **ids)
        result: dict[str, Any] = added["results"][0]
        return result

    def search(self, query: str, *, top_k: int, **named: Any) -> dict[str, Any]:
        """What is named beside the scope are AgentMem's own ways to ask; mem0 has the one it has.
        Whether memories answer at all is then for the best score to say."""
        scope = {name: value for name, value in named.items() if name in SCOPE_FIELDS}
        found = self._memory.search(query, filters=scope, top_k=top_k)["results"]
        return {"results": found, "support": found[0]["score"] if found else 0.0}

    def count(self, **scope: str) -> int:
        return len(self._memory.get_all(filters=scope, top_k=_MOST)["results"])
