"""``agentmem search``."""

from __future__ import annotations

from typing import Any

import click

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

__all__ = ["search"]

_SHOWN_CHARACTERS = 400


@click.command()
@click.argument("query")
@scope_options
@unscoped_option
@filter_option
@click.option(
    "-k", "--top-k", type=click.IntRange(1), default=10, show_default=True, help="Most results."
)
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "dense", "keyword"]),
    default="hybrid",
    show_default=True,
    help="Rank by meaning and words, meaning alone, or words alone.",
)
@click.option("--threshold", type=float, metavar="SCORE", help="Leave out lower scores.")
@click.option("--explain", is_flag=True, help="Show the parts of each score.")
@click.option(
    "--metadata/--no-metadata", "with_metadata", default=True, help="Show metadata  [shown]."
)
@click.option("--ids", "with_ids", is_flag=True, help="Show ids.")
@click.option("--full", is_flag=True, help="Show long texts whole.")
@click.option("--show-expired", is_flag=True, help="Expired memories too.")
@click.option("--support", is_flag=True, help="Show how likely it is that they answer.")
@as_of_option
@json_option
@store_options
def search(
    query: str,
    scope: ScopeIds,
    unscoped: bool,
    filters: dict[str, Any] | None,
    as_json: bool,
    with_metadata: bool,
    with_ids: bool,
    full: bool,
    **arguments: Any,
) -> None:
    """Find the memories that answer QUERY, best first.

    No match is no error: the exit code is 0 and the list empty.
    """
    require_some_scope(scope, unscoped)
    with open_store(embeds=arguments["mode"] != "keyword", must_exist=True) as memory:
        found = memory.search(query, filters=filters, unscoped=unscoped, **scope, **arguments)
    from agentmem.cli.render import print_json

    if as_json:
        print_json(found)
        return
    from agentmem.cli.listing import print_memories

    if arguments["support"]:
        click.echo(f"support: {found['support']:.3f}")
    if not found["results"]:
        click.echo("nothing found", err=True)
        return
    print_memories(
        found["results"],
        ranked=True,
        with_scope=unscoped,
        with_metadata=with_metadata,
        with_ids=with_ids,
        with_parts=arguments["explain"],
        width=0 if full else _SHOWN_CHARACTERS,
    )
