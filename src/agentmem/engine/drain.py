"""The child process that drains the log: ``python -m agentmem.engine.drain``.

A job has the store's folder ``home``, the settings of the ``store`` and of the ``projection``,
the ``patience`` with other drainers, and whether the ``whole`` tail is to be applied or only until
it is short.  The answer names the table that lacks an ``index``, if one does.

The store is opened for reading, once a job, as a second process opens it: while nothing is to be
done, nothing of it is held.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agentmem.config import Config
from agentmem.store import Store
from agentmem.vector.child import Program
from agentmem.vector.drainer import PATIENCE, Drainer
from agentmem.vector.serving import Parent, serve
from agentmem.vector.state import BuildState

__all__ = ["main", "program"]

#: A tenth of the weight of a process that serves, in the scheduler of Linux.  At 19 it would be a
#: seventieth, and on a machine without an idle core a read transaction of the drain would keep
#: the WAL from being emptied for a minute.
_NICE = 10
#: Importing lancedb takes a second, and 100 MB are held meanwhile.
_LINGER = 30.0
#: With more arenas, what Lance's threads free stays with each of them: a child that drained a
#: million rows as they came grew to 620 MiB, and with two stays below 400.
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2"}


def program(home: Path, config: Config, patience: float = PATIENCE) -> Program:
    """What a process that has the store in ``home`` open asks to be run."""
    given = {
        "home": str(home),
        "store": asdict(config.store),
        "projection": asdict(config.projection),
        "patience": patience,
    }
    return Program("agentmem.engine.drain", given, _ENVIRONMENT)


def main() -> None:
    serve(_work, nice=_NICE, linger=_LINGER)


def _work(job: dict[str, Any], parent: Parent) -> dict[str, Any]:
    config = Config.from_dict({"store": job["store"], "projection": job["projection"]})
    home = Path(job["home"])
    indexer = _Noted(home, job["patience"])
    with closing(Store(home, config.store, follow=True)) as store:
        drainer = Drainer(
            home,
            store,
            config.projection,
            indexer,
            patience=job["patience"],
            whole=parent.whole,
        )
        told = {"rows": 0, "seconds": 0.0, "rebuilds": 0}

        def tell(*_progress: int) -> None:
            now = {
                "rows": drainer.follower.rows,
                "seconds": drainer.seconds,
                "rebuilds": drainer.follower.rebuilds,
            }
            parent.tell({name: now[name] - told[name] for name in told})
            told.update(now)

        try:
            if job["whole"]:
                drainer.drain(tell, store.last_seq())
            else:
                drainer.shorten(tell, _never)
        finally:
            tell()
    return {"index": indexer.table}


class _Noted:
    """Notes which table should have indexes: it is the parent's child that builds them."""

    def __init__(self, home: Path, patience: float) -> None:
        self._builders = BuildState(home)
        self._patience = patience
        self.table: str | None = None

    def start(self, table: str) -> None:
        self.table = table

    def nobody(self) -> AbstractContextManager[None]:
        return self._builders.nobody(self._patience)


def _never() -> bool:
    return False  # told to end, the process does


if __name__ == "__main__":
    main()
