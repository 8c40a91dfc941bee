"""``agentmem backup`` and ``agentmem restore``."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentmem.cli.opening import require_store
from agentmem.cli.options import (
    confirm,
    json_option,
    leave_out,
    settings,
    store_options,
    yes_option,
)
from agentmem.errors import StoreCorruptError
from agentmem.inputs import check_copy_path

if TYPE_CHECKING:
    from agentmem.cli.progress import Bar
    from agentmem.ports import Progress

__all__ = ["backup", "restore"]

_OWN_MODEL = "a copy has the model of its store"


@click.command()
@click.argument("folder", metavar="FOLDER")
@json_option
@store_options
def backup(folder: str, as_json: bool) -> None:
    """Copy the store, as it is now, into a new FOLDER; others may go on writing to it.

    The copy is a store itself.  FOLDER is missing or empty.
    """
    from agentmem.cli.progress import bar
    from agentmem.store import Store

    leave_out("embedder", _OWN_MODEL)
    path = settings().path
    require_store(path)
    with closing(Store(path)) as store, bar("Backing up", "MB") as shown:
        made = store.backup(check_copy_path(folder), progress=_megabytes(shown))
    _report("backed up", made, as_json)


@click.command()
@click.argument("source", metavar="BACKUP")
@click.argument("folder", metavar="[FOLDER]", required=False)
@yes_option
@json_option
@store_options
def restore(source: str, folder: str | None, yes: bool, as_json: bool) -> None:
    """Make FOLDER a store with what the folder BACKUP holds.

    Without FOLDER, the store is the one of --store.  A store that is there is replaced, after a
    question, as a whole or not at all.
    """
    from agentmem.cli.progress import bar
    from agentmem.engine import restore as run
    from agentmem.store import Store

    leave_out("embedder", _OWN_MODEL)
    if folder:
        leave_out("store", "FOLDER says where to")
    path = check_copy_path(folder) if folder else settings().path
    require_store(Path(source))
    exists = False
    with suppress(StoreCorruptError):  # its database is lost: nothing is there to be replaced
        exists = Store.exists(path)
    if exists:
        confirm(f"Replace the store in {path} with {source}?", yes)
    with bar("Restoring", "MB") as shown:
        made = run(source, path, overwrite=exists or yes, progress=_megabytes(shown))
    _report("restored", made, as_json)


def _megabytes(shown: Bar) -> Progress:
    return lambda done, total: shown.update(done, total, items=done // 1_000_000)


def _report(verb: str, made: dict[str, Any], as_json: bool) -> None:
    from agentmem.cli.render import number_text, print_json, size_text

    if as_json:
        print_json(made)
        return
    size = size_text(made["bytes"])
    click.echo(f"{verb} {number_text(made['memories'])} ({size}) to {made['path']}")
