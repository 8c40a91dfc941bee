"""Opening the store of the running command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.cli.options import settings
from agentmem.errors import StorePathError

if TYPE_CHECKING:
    from agentmem import Memory
    from agentmem.engine import Engine

__all__ = ["open_engine", "open_store", "require_store", "store_embedder"]


def open_store(
    *, embeds: bool = False, must_exist: bool = False, config: dict[str, Any] | None = None
) -> Memory:
    """The Memory of the running command; use it as a context manager.

    ``embeds`` says that the command will need the model: it is fetched first, with a bar.
    ``must_exist`` is for commands that only read: a misspelt path is no new store.  ``config`` has
    sections of ``Config``.

    Raises:
        StorePathError: there must be a store and there is none.
        AgentMemError: as ``Memory``.
    """
    path = settings().path
    if must_exist:
        require_store(path)
    name = store_embedder(path)
    if embeds:
        from agentmem.cli.fetching import ready

        ready(name)
    from agentmem import Memory

    return Memory(str(path), embedder=name, config=config)  # text, for ":memory:" is no folder


@contextmanager
def open_engine() -> Iterator[Engine]:
    """The engine below a Memory, for a command that reads what Memory does not show."""
    from agentmem.config import Config
    from agentmem.engine import Engine

    path = settings().path
    require_store(path)
    with closing(Engine(path, store_embedder(path), Config())) as engine:
        yield engine


def require_store(path: Path) -> None:
    """
    Raises:
        StorePathError: there is no store.
    """
    from agentmem.store import Store

    if not Store.exists(path) and (path.is_dir() or not path.exists()):
        raise StorePathError(
            f"there is no store at {path}; add or import something, or name another with --store"
        )


def store_embedder(path: Path) -> str:
    """The embedder of --embedder; else the builtin one that made the store; else that of
    AGENTMEM_EMBEDDER; else the default."""
    from agentmem.models import names, resolve
    from agentmem.store import Store

    current = settings()
    if current.embedder:
        return current.embedder
    if Store.exists(path):
        with closing(Store(path)) as store, store.read() as snapshot:
            model_id = snapshot.model_id
        for name in names():
            if resolve(name).model_id == model_id:
                return name
    return current.usual_embedder or names()[0]
