"""``agentmem get``, ``list``, ``history`` and ``count``."""

from __future__ import annotations

from typing import Any

import click

from agentmem.cli.exits import NOT_FOUND, Failure
from agentmem.cli.opening import open_store
from agentmem.cli.options import (
    ScopeIds,
    as_of_option,
    filter_option,
    json_option,
    require_some_scope,
    scope_options,
    store_options,
    unscoped_option,
)

__all__ = ["count", "get", "history", "list_command"]

_SHOWN_CHARACTERS = 200
_ORDERS = [
    f"{sign}{name}" for name in ("created_at", "updated_at", "timestamp") for sign in ("", "-")
]


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--show-expired", is_flag=True, help="Expired memories too.")
@as_of_option
@json_option
@store_options
def get(ids: tuple[str, ...], show_expired: bool, as_of: str | None, as_json: bool) -> None:
    """Show memories with every field; exit code 3 if any ID is unknown."""
    with open_store(must_exist=True) as memory:
        found = memory.get_batch(list(ids), show_expired=show_expired, as_of=as_of)
    missing = [identity for identity, item in zip(ids, found, strict=True) if item is None]
    from agentmem.cli.render import print_json

    if as_json:
        print_json(found)
    else:
        from agentmem.cli.listing import print_fields

        for item in found:
            if item is not None:
                print_fields(item)
    if missing:
        raise Failure(f"no memory has the id {', '.join(missing)}", NOT_FOUND)


@click.command("list")
@scope_options
@unscoped_option
@filter_option
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=100, show_default=True, help="Most rows."
)
@click.option("--cursor", metavar="CURSOR", help="Go on where the last page ended.")
@click.option("--order", type=click.Choice(_ORDERS), help="Order; '-' for newest first.")
@click.option("--full", is_flag=True, help="Show long texts whole.")
@click.option("--show-expired", is_flag=True, help="Expired memories too.")
@as_of_option
@json_option
@store_options
def list_command(
    scope: ScopeIds,
    unscoped: bool,
    filters: dict[str, Any] | None,
    limit: int,
    cursor: str | None,
    order: str | None,
    full: bool,
    show_expired: bool,
    as_of: str | None,
    as_json: bool,
) -> None:
    """List memories, a page at a time."""
    require_some_scope(scope, unscoped)
    ordered = {"order": order} if order else {}
    with open_store(must_exist=True) as memory:
        page = memory.get_all(
            filters=filters,
            limit=limit,
            cursor=cursor,
            unscoped=unscoped,
            show_expired=show_expired,
            as_of=as_of,
            **ordered,
            **scope,
        )
    from agentmem.cli.render import print_json

    if as_json:
        print_json(page)
        return
    from agentmem.cli.listing import print_memories

    if not page["results"]:
        click.echo("no memories", err=True)
        return
    print_memories(page["results"], with_scope=unscoped, width=0 if full else _SHOWN_CHARACTERS)
    if page["next_cursor"]:
        click.echo(f"more: add --cursor {page['next_cursor']}", err=True)


@click.command()
@click.argument("memory_id", metavar="ID")
@json_option
@store_options
def history(memory_id: str, as_json: bool) -> None:
    """Show what happened to a memory, oldest first; deleted ones too."""
    with open_store(must_exist=True) as memory:
        events = memory.history(memory_id)
    from agentmem.cli.render import Column, one_line, print_json, print_table, time_text

    if not events:
        raise Failure(f"id {memory_id} has no history: it never was, or was purged", NOT_FOUND)
    if as_json:
        print_json(events)
        return
    columns = [
        Column("when"),
        Column("event"),
        Column("who"),
        Column("before", wide=1),
        Column("after", wide=1),
    ]
    rows = [
        [
            time_text(event["updated_at"] or event["created_at"]),
            event["event"],
            one_line(event["actor_id"] or event["role"] or ""),
            one_line(event["old_memory"] or ""),
            one_line(event["new_memory"] or ""),
        ]
        for event in events
    ]
    print_table(columns, rows)


@click.command()
@scope_options
@unscoped_option
@filter_option
@click.option("--show-expired", is_flag=True, help="Expired memories too.")
@as_of_option
@json_option
@store_options
def count(
    scope: ScopeIds,
    unscoped: bool,
    filters: dict[str, Any] | None,
    show_expired: bool,
    as_of: str | None,
    as_json: bool,
) -> None:
    """Print how many memories there are."""
    require_some_scope(scope, unscoped)
    with open_store(must_exist=True) as memory:
        number = memory.count(
            filters=filters, unscoped=unscoped, show_expired=show_expired, as_of=as_of, **scope
        )
    if as_json:
        from agentmem.cli.render import print_json

        print_json({"count": number})
    else:
        click.echo(number)
