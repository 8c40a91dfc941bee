"""What the questions beyond the plain search cost: the past, pages, listings, support, filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import common

SIZES = (1_000, 10_000)


class Asking:
    """Searches a second on one thread in one user's memories, static embeddings, no answers kept;
    one memory in twenty has been given another text since the time that ``as_of`` asks for."""

    params = SIZES
    param_names = ("memories",)

    def setup_cache(self) -> dict[int, tuple[str, str]]:
        """Per size the folder of a store, and the time before the changes."""
        made = {}
        for size in SIZES:
            folder = Path(str(size)).absolute()  # asv's own, removed with the run
            with opened(folder) as memory:
                said = [
                    {**item, "metadata": {"n": i}}
                    for i, item in enumerate(common.in_runs(common.texts(size)))
                ]
                added = memory.add_batch(said)["results"]
                then = max(item["created_at"] for item in memory.get_all(limit=1)["results"])
                changed = added[::20]
                memory.update_batch(
                    [{"id": r["id"], "text": f"not {r['memory']}"} for r in changed]
                )
            made[size] = (str(folder), then)
        return made

    def setup(self, made: dict[int, tuple[str, str]], memories: int) -> None:
        folder, self.then = made[memories]
        self.memory = opened(folder)
        self.memory.warm_up()
        asked = common.questions()
        self.asked = [asked[i % len(asked)] for i in range(20)]
        self.cursor = self.memory.search(self.asked[0], cursor="")["next_cursor"]

    def teardown(self, *_: object) -> None:
        self.memory.close()

    def _rate(self, **arguments: Any) -> float:
        return common.rate(lambda i: self.memory.search(self.asked[i % 20], **arguments), 0.2)

    def track_plain(self, made: Any, memories: int) -> float:
        return self._rate()

    def track_support(self, made: Any, memories: int) -> float:
        return self._rate(support=True)

    def track_filtered(self, made: Any, memories: int) -> float:
        return self._rate(filters={"metadata.n": {"lt": memories // 2}})

    def track_second_page(self, made: Any, memories: int) -> float:
        return common.rate(lambda i: self.memory.search(self.asked[0], cursor=self.cursor))

    def track_listed_page(self, made: Any, memories: int) -> float:
        """The first page of ``get_all``."""
        return common.rate(lambda i: self.memory.get_all())

    def track_whole_listing(self, made: Any, memories: int) -> float:
        """Memories a second, through all pages."""
        pages = -(-memories // 100)
        cursor: str | None = None

        def turn(_: int) -> None:
            nonlocal cursor
            cursor = self.memory.get_all(cursor=cursor)["next_cursor"]

        return common.rate(turn) * memories / pages

    def track_as_of(self, made: Any, memories: int) -> float:
        return self._rate(as_of=self.then)

    def track_count_as_of(self, made: Any, memories: int) -> float:
        count: Any = self.memory.count
        return common.rate(lambda i: count(as_of=self.then))


def opened(folder: str | Path) -> Any:
    from agentmem import Memory

    config = {"search": {"answers": 0}, "projection": {"enabled": False}}
    return Memory(folder, embedder="static", user_id="bench", config=config)
