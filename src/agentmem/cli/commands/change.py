"""``agentmem update``, ``delete`` and ``purge``."""

from __future__ import annotations

from typing import Any

import click

from agentmem.cli.opening import open_store
from agentmem.cli.options import (
    ScopeIds,
    confirm,
    json_option,
    metadata_option,
    scope_options,
    store_options,
    yes_option,
)

__all__ = ["delete", "purge", "update"]


@click.command()
@click.argument("memory_id", metavar="ID")
@click.argument("text", required=False)
@metadata_option
@json_option
@store_options
def update(
    memory_id: str, text: str | None, metadata: dict[str, Any] | None, as_json: bool
) -> None:
    """Change a memory's TEXT, its metadata (replaced as a whole), or both."""
    if text is None and metadata is None:
        raise click.UsageError("nothing to change: give a TEXT, --metadata, or both")
    with open_store(embeds=text is not None, must_exist=True) as memory:
        result = memory.update(memory_id, text, metadata=metadata)
    if as_json:
        from agentmem.cli.render import print_json

        print_json(result)
    else:
        click.echo(f"updated {memory_id}")


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@scope_options
@yes_option
@json_option
@store_options
def delete(ids: tuple[str, ...], scope: ScopeIds, yes: bool, as_json: bool) -> None:
    """Delete memories by ID, or all of a scope.  Their history stays; see purge."""
    _need_one(ids, scope)
    from agentmem.cli.render import number_text

    with open_store(must_exist=True) as memory:
        if ids:
            confirm(f"Delete {number_text(len(ids))}?", yes)
            memory.delete_batch(list(ids))
            deleted = len(ids)
        else:
            deleted = memory.count(show_expired=True, **scope)
            confirm(f"Delete {number_text(deleted)} of {_scope(scope)}?", yes)
            deleted = memory.delete_all(**scope)["deleted"]
    _report("deleted", deleted, as_json)


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@scope_options
@yes_option
@json_option
@store_options
def purge(ids: tuple[str, ...], scope: ScopeIds, yes: bool, as_json: bool) -> None:
    """Erase memories by ID, or all of a scope, from every file of the store, history included.

    Memories that were deleted before are erased too.  There is no way back.
    """
    _need_one(ids, scope)
    from agentmem.cli.render import number_text

    with open_store(must_exist=True) as memory:
        if ids:
            confirm(f"Erase {number_text(len(ids))} for good?", yes)
            purged = sum(memory.purge(memory_id)["purged"] for memory_id in ids)
        else:
            live = memory.count(show_expired=True, **scope)
            confirm(f"Erase everything of {_scope(scope)} for good ({live:,} live)?", yes)
            purged = memory.purge(**scope)["purged"]
    _report("purged", purged, as_json)


def _need_one(ids: tuple[str, ...], scope: ScopeIds) -> None:
    if ids and scope:
        raise click.UsageError("give either IDs or a scope, not both")
    if not ids and not scope:
        raise click.UsageError("say what: IDs, or a scope such as --user ID")


def _scope(scope: ScopeIds) -> str:
    from agentmem.cli.render import one_line

    return " ".join(f"{n.removesuffix('_id')} {one_line(str(v))}" for n, v in scope.items())


def _report(verb: str, count: int, as_json: bool) -> None:
    from agentmem.cli.render import number_text, print_json

    if as_json:
        print_json({verb: count})
    else:
        click.echo(f"{verb} {number_text(count)}")
