"""Search of what does not fit into memory: a whole store from volumes, many small scopes in turn.

``AGENTMEM_BENCH_LONG=1`` adds a million memories (some minutes, and about 4 GB of disk).
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from . import common

TOP_K = 10
TAIL = 10_000  # memories that no volume has yet
BATCH = 20_000
ROUNDS = 3


def fill(memory: Any, memories: int, *, per_user: int, seed: int = common.SEED) -> None:
    """Different texts in runs of ``common.RUN``, ``per_user`` for each user."""
    for first in range(0, memories, BATCH):
        size = min(BATCH, memories - first)
        texts = common.texts(size, seed + first)
        memory.add_batch(
            [
                {
                    "content": text,
                    "user_id": f"user-{i // per_user}",
                    "run_id": f"run-{seed}-{i // common.RUN}",
                }
                for i, text in enumerate(texts, first)
            ]
        )


def questions() -> list[str]:
    """Those of the conversation, and sentences that were said in it."""
    return [*common.questions(), *common.sentences()[5::7]][:60]


def open_memory(folder: str, **index: int) -> Any:
    from agentmem import Memory

    return Memory(
        folder,
        embedder="static",
        config={
            "index": index,
            "store": {"durability": "off"},
            "projection": {"enabled": False},
            "search": {"answers": 0},
        },
    )


class Unscoped:
    """A store in one piece, and ``TAIL`` memories that came after its volume was written."""

    timeout = 3600
    params = (100_000, *common.long(1_000_000))
    param_names = ("memories",)

    def setup_cache(self) -> dict[int, tuple[str, float]]:
        """Per size the folder of a store, and the seconds that its volume took."""
        made = {}
        for memories in self.params:
            folder = str(Path(str(memories)).absolute())  # asv's own, removed with the run
            with open_memory(folder, large_rows=1) as memory:
                fill(memory, memories, per_user=1_000)
                begin = time.perf_counter()
                memory.search("coffee", unscoped=True)
                took = time.perf_counter() - begin
                fill(memory, TAIL, per_user=1_000, seed=1)
            made[memories] = (folder, took)
        return made

    def setup(self, made: dict[int, tuple[str, float]], memories: int) -> None:
        self.folder, self.took = made[memories]
        self.asked = questions()
        self.memory = open_memory(self.folder, large_rows=1)
        self.vectors = self.memory._engine.embedder.embed_queries(self.asked)
        self.memory.search("coffee", unscoped=True)  # follows the tail

    def teardown(self, made: dict[int, tuple[str, float]], memories: int) -> None:
        self.memory.close()

    def _search(self, memory: Any, i: int, mode: str) -> list[dict[str, Any]]:
        i %= len(self.asked)
        given = {} if mode == "keyword" else {"vector": self.vectors[i]}
        found = memory.search(self.asked[i], unscoped=True, mode=mode, top_k=TOP_K, **given)
        results: list[dict[str, Any]] = found["results"]
        return results

    def _p95(self, mode: str) -> float:
        return common.percentile_ms(
            lambda i: self._search(self.memory, i, mode), 0.95, ROUNDS * len(self.asked)
        )

    def _recall(self, mode: str) -> float:
        """Share of the exact best ten, as a search from memory finds them."""
        kept = []
        with open_memory(self.folder, large_rows=0, max_bytes=8 << 30) as exact:
            for i in range(len(self.asked)):
                wanted = {item["id"]: item["score"] for item in self._search(exact, i, mode)}
                found = self._search(self.memory, i, mode)
                for item in found:
                    assert abs(wanted.get(item["id"], item["score"]) - item["score"]) < 1e-5
                if wanted:
                    worst = min(wanted.values())
                    kept.append(sum(i["score"] >= worst - 1e-6 for i in found) / len(wanted))
        return sum(kept) / len(kept)

    def track_hybrid_p95(self, made: Any, memories: int) -> float:
        return self._p95("hybrid")

    def track_dense_p95(self, made: Any, memories: int) -> float:
        return self._p95("dense")

    def track_keyword_p95(self, made: Any, memories: int) -> float:
        return self._p95("keyword")

    def track_hybrid_recall(self, made: Any, memories: int) -> float:
        return self._recall("hybrid")

    def track_dense_recall(self, made: Any, memories: int) -> float:
        return self._recall("dense")

    def track_building(self, made: Any, memories: int) -> float:
        """Of the volume, clusters and all, from SQLite."""
        return self.took

    def track_memory(self, made: Any, memories: int) -> float:
        """That the tail takes; the volume is mapped."""
        return float(self.memory.stats()["large"]["bytes"] / 2**20)

    def track_file(self, made: Any, memories: int) -> float:
        return float(self.memory.stats()["large"]["file_bytes"] / 2**20)

    track_hybrid_p95.unit = "ms"  # type: ignore[attr-defined]
    track_dense_p95.unit = "ms"  # type: ignore[attr-defined]
    track_keyword_p95.unit = "ms"  # type: ignore[attr-defined]
    track_hybrid_recall.unit = "share"  # type: ignore[attr-defined]
    track_dense_recall.unit = "share"  # type: ignore[attr-defined]
    track_building.unit = "s"  # type: ignore[attr-defined]
    track_memory.unit = "MiB"  # type: ignore[attr-defined]
    track_file.unit = "MiB"  # type: ignore[attr-defined]


class ManyScopes:
    """Scopes of 100 memories in random order, of which a fifteenth or so fit into the budget:
    6.4 KB for each scope, 64 MB for 10,000 of them."""

    timeout = 3600
    params = (300, *common.long(1_000, 10_000))
    param_names = ("scopes",)

    def setup_cache(self) -> str:
        folder = Path("scopes").absolute()  # asv's own, removed with the run
        for scopes in self.params:
            with open_memory(str(folder / str(scopes)), large_rows=0) as memory:
                fill(memory, 100 * scopes, per_user=100)
        return str(folder)

    def setup(self, folder: str, scopes: int) -> None:
        self.budget = 6_400 * scopes
        self.memory = open_memory(f"{folder}/{scopes}", large_rows=0, max_bytes=self.budget)
        self.asked = questions()
        self.vectors = self.memory._engine.embedder.embed_queries(self.asked)
        dice = random.Random(common.SEED)
        self.users = [f"user-{dice.randrange(scopes)}" for _ in range(4_000)]

    def teardown(self, folder: str, scopes: int) -> None:
        self.memory.close()

    def _search(self, i: int) -> None:
        at = i % len(self.asked)
        user = self.users[i % len(self.users)]
        self.memory.search(self.asked[at], user_id=user, vector=self.vectors[at])

    def track_p95(self, folder: str, scopes: int) -> float:
        return common.percentile_ms(self._search, 0.95, 2_000, warm=500)

    def track_most_held(self, folder: str, scopes: int) -> float:
        """The most that was held after any search, over the budget."""
        most = 0
        for i in range(1_000):
            self._search(i)
            most = max(most, self.memory.stats()["index"]["bytes"])
        return most / self.budget

    track_p95.unit = "ms"  # type: ignore[attr-defined]
    track_most_held.unit = "ratio"  # type: ignore[attr-defined]
