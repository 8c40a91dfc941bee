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
    return {
        "store": {"path": str(engine.path), **store, **engine.store.stats()},
        "embedder": {**engine.model_facts(), "cache": engine.embedder.stats()},
        "writes": engine.queue.stats(),
        "index": engine.index.stats(),
        "large": engine.large.stats(),
        "search": {
            "items": engine.items.stats(),
            "answers": engine.kept.stats(),
            "words": engine.analyzer.stats(),
        },
        "projection": engine.projection.stats(),
        "operations": engine.operations.stats(),
    }


def metrics(engine: Engine, version: str) -> str:
    """See ``Memory.metrics``."""
    from agentmem.telemetry.prometheus import render

    return render(figures(engine), engine.operations, version)
