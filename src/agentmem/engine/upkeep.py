"""What is done to a closed store: another model, another schema, the content of a copy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from agentmem.config import Config
from agentmem.engine.model import Model
from agentmem.errors import StorePathError
from agentmem.inputs import check_copy_path, check_path
from agentmem.store import Store

if TYPE_CHECKING:
    from agentmem.ports import Progress
    from agentmem.store.archive import Header

__all__ = ["migrate", "rebuild", "reembed", "restore"]


def reembed(
    path: str | os.PathLike[str],
    embedder: Any,
    *,
    config: Config | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Move the store in ``path`` to another embedding model (``agentmem reembed``).

    It can be interrupted and goes on where it stopped.  Other processes can search meanwhile;
    once the models are swapped, they get a ModelMismatchError and open the store anew.

    Args:
        embedder: as for ``Memory``.
        progress: called with (memories done, memories in all).

    Returns:
        ``{"model_id", "dim", "embedded"}``

    Raises:
        StorePathError: there is no store in ``path``.
    """
    from agentmem.write.moving import move_to_model

    settings = config or Config()
    model = Model(embedder, settings)
    loaded = model.load()
    try:
        with closing(_existing(path, settings)) as store:
            embedded = move_to_model(store, loaded, progress)
    finally:
        loaded.close()
    return {"model_id": model.model_id, "dim": model.dim, "embedded": embedded}


def migrate(
    path: str | os.PathLike[str],
    *,
    config: Config | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Bring the store in ``path`` to this version's schema, which opening it does too, and to
    its analyzer of keywords (``agentmem migrate``).

    The keywords of a large store take a while; an interrupted run goes on where it stopped.

    Args:
        progress: called with (memories done, memories in all) while keywords are made anew.

    Returns:
        ``{"applied": [names of migrations], "reanalyzed": memories whose keywords were made}``

    Raises:
        StorePathError: there is no store in ``path``.
        SchemaVersionError: it was made by a newer version.
    """
    from agentmem.index.recipe import RECIPE

    reanalyzed = 0
    with closing(_existing(path, config or Config())) as store:
        with store.read() as snapshot:
            recipe = snapshot.analyzer
        if recipe not in ("", RECIPE):
            from agentmem.index.analyzer import EnglishAnalyzer
            from agentmem.write.moving import move_to_analyzer

            reanalyzed = move_to_analyzer(store, EnglishAnalyzer(), progress)
        return {"applied": store.migrated, "reanalyzed": reanalyzed}


def restore(
    backup: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    config: Config | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make the folder ``path`` a store with what a backup holds (``agentmem restore``).

    Args:
        backup: a folder that ``Memory.backup`` made, or any other store.
        path: where to; made if it is missing.
        overwrite: whether a store that is there may be replaced.  Whoever has it open goes on
            with what was restored, unless it was damaged.
        progress: called with (bytes copied, bytes in all).

    Returns:
        ``{"path", "memories", "bytes", "migrated": [names of migrations]}``

    Raises:
        StorePathError: there is no backup, or a store that may not be replaced.
        StoreCorruptError, SchemaVersionError: the backup is damaged, or a newer version's.
        StoreFullError, StoreTimeoutError
    """
    from agentmem.store.copies import restore as run

    settings = config or Config()
    return run(
        check_path(backup).absolute(),
        check_copy_path(path).absolute(),
        settings.store,
        overwrite=overwrite,
        progress=progress,
    )


def rebuild(
    path: str | os.PathLike[str],
    header: Header,
    chunks: Iterable[tuple[str, Sequence[tuple[Any, ...]]]],
    *,
    config: Config | None = None,
) -> dict[str, Any]:
    """Make the folder ``path`` the store that an archive was made of: the same ids, times,
    vectors and history, under a new epoch; all of it or nothing.

    Args:
        path: holds no store yet, or one without anything in it.
        chunks: rows of one kind each, as ``store.archive.COLUMNS`` has them.

    Returns:
        ``{"path", "memories"}``

    Raises:
        StorePathError: a store there has something in it.
        StoreCorruptError, InvalidInputError: the archive is not whole, or makes no sense.
    """
    from agentmem.index.analyzer import EnglishAnalyzer
    from agentmem.store.archive import Builder
    from agentmem.store.copies import building

    folder = check_path(path).absolute()
    with building(folder, (config or Config()).store) as connection:
        builder = Builder(connection, header, EnglishAnalyzer())
        for kind, rows in chunks:
            builder.add(kind, rows)
        builder.finish()
    return {"path": str(folder), "memories": header.counts["memory"]}


def _existing(path: str | os.PathLike[str], config: Config) -> Store:
    folder = check_path(path)
    if not Store.exists(folder):
        raise StorePathError(f"there is no store in {str(folder)!r}; check the path")
    return Store(folder, config.store)
