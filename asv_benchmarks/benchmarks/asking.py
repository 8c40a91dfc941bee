"""What the questions beyond the plain search cost: the past, pages, support, filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import common
from .search import rate

if TYPE_CHECKING:
    from collections.abc import Callable


class Asking(common.TemporaryStore):
    """Searches a second on one thread in one user's memories, static embeddings, no answers kept;
    one memory in twenty has been given another text since the time that ``as_of`` asks for."""

    params = (1_000, 10_000)
    param_names = ("memories",)

    def setup(self, memories: int) -> None:
        self.memory = self.open("static", {"search": {"answers": 0}})
        texts = common.texts(memories)
        said = [
            {"content": text, "run_id": str(i // 25), "metadata": {"n": i}}
            for i, text in enumerate(texts)
        ]
        added = self.memory.add_batch(said)["results"]
        self.then = max(item["created_at"] for item in self.memory.get_all(limit=1)["results"])
        changed = added[::20]
        self.memory.update_batch([{"id": r["id"], "text": f"not {r['memory']}"} for r in changed])
        asked = common.questions()
        self.asked = [asked[i % len(asked)] for i in range(20)]
        self.cursor = self.memory.search(self.asked[0], cursor="")["next_cursor"]

    def _rate(self, **arguments: Any) -> float:
        return rate(lambda i: self.memory.search(self.asked[i % 20], **arguments))

    def track_plain(self, memories: int) -> float:
        return self._rate()

    def track_support(self, memories: int) -> float:
        return self._rate(support=True)

    def track_filtered(self, memories: int) -> float:
        return self._rate(filters={"metadata.n": {"lt": memories // 2}})

    def track_second_page(self, memories: int) -> float:
        return rate(lambda i: self.memory.search(self.asked[0], cursor=self.cursor))

    def track_as_of(self, memories: int) -> float:
        return self._rate(as_of=self.then)

    def track_count_as_of(self, memories: int) -> float:
        count: Callable[..., int] = self.memory.count
        return rate(lambda i: count(as_of=self.then))
