"""What an open store says about itself: sizes, counters, latencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentmem.engine.core import Engine

__all__ = ["figures", "metrics"]


def figures(engine: Engine) -> dict[str, Any]:
    """See ``Memory.stats``."""
    engine.check_usable()
    with engine.store.read() as snapshot:
        store = snapshot.stats()
    cache = {**engine.embedder.stats(), "stored": engine.writer.reused}
    return {
        "store": {"path": str(engine.path), **store, **engine.store.stats()},
        "embedder": {**engine.model_facts(), "cache": _rated(cache)},
        "writes": engine.queue.stats(),
        "index": engine.index.stats(),
        "large": engine.large.stats(),
        "search": {
            "items": _rated(engine.items.stats()),
            "answers": _rated(engine.kept.stats()),
            "words": engine.analyzer.stats(),
        },
        "projection": engine.projection.stats(),
        "operations": engine.operations.stats(),
    }


def _rated(cache: dict[str, Any]) -> dict[str, Any]:
    """With the share of what was looked for that was there; 0 before the first look."""
    looked = cache["hits"] + cache["misses"]
    return {**cache, "hit_rate": cache["hits"] / looked if looked else 0.0}


def metrics(engine: Engine, version: str) -> str:
    """See ``Memory.metrics``."""
    from agentmem.telemetry.prometheus import render

    return render(figures(engine), engine.operations, version)
