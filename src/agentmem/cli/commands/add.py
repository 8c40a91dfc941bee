"""``agentmem add``."""

from __future__ import annotations

import sys
from typing import Any

import click

from agentmem.cli.opening import open_store
from agentmem.cli.options import (
    ScopeIds,
    json_option,
    level_option,
    metadata_option,
    require_some_scope,
    scope_options,
    store_options,
)
from agentmem.types import MEMORY_TYPES

__all__ = ["add"]


@click.command()
@click.argument("texts", metavar="TEXT...", nargs=-1)
@scope_options
@metadata_option
@click.option("--actor", "actor_id", metavar="ID", help="Who said it.")
@click.option("--role", metavar="ROLE", help="user, assistant, or another role.")
@click.option(
    "--type", "memory_type", type=click.Choice(MEMORY_TYPES), help="Kind of memory  [episodic]."
)
@level_option
@click.option("--importance", type=click.FloatRange(0, 1), help="From 0 to 1.")
@click.option("--timestamp", metavar="TIME", help="When it happened, ISO 8601  [now].")
@click.option("--expires", "expiration_date", metavar="TIME", help="When to forget it, ISO 8601.")
@click.option("--id", metavar="UUID", help="An id of your own choice.")
@click.option("--key", "idempotency_key", metavar="KEY", help="Adding twice with it adds once.")
@click.option("--dedupe", is_flag=True, help="Do not store a text that the scope already has.")
@json_option
@store_options
def add(
    texts: tuple[str, ...],
    scope: ScopeIds,
    metadata: dict[str, Any] | None,
    dedupe: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Remember each TEXT; '-', or no TEXT at all, reads one from standard input."""
    require_some_scope(scope)
    contents = [_standard_input() if text == "-" else text for text in texts or ("-",)]
    if len(contents) > 1 and (fields["idempotency_key"] or fields["id"]):
        raise click.UsageError("--key and --id belong to one TEXT, not to several")
    given = {name: value for name, value in fields.items() if value is not None}
    items = [{"content": content, **given} for content in contents]
    if metadata:
        for item in items:
            item["metadata"] = metadata
    with open_store(embeds=True) as memory:
        result = memory.add_batch(items, dedupe=dedupe, **scope)
    from agentmem.cli.render import one_line, print_json

    if as_json:
        print_json(result)
        return
    for added in result["results"]:
        note = "" if added["event"] == "ADD" else "  (already there)"
        click.echo(f"{added['id']}  {one_line(added['memory'], 100)}{note}")


def _standard_input() -> str:
    if sys.stdin.isatty():
        raise click.UsageError("no TEXT given, and standard input is a terminal")
    return sys.stdin.read().strip()
