"""``agentmem stats``, ``check``, ``flush``, ``reembed`` and ``migrate``."""

from __future__ import annotations

from typing import Any

import click

from agentmem.cli.exits import PROBLEMS
from agentmem.cli.opening import open_store, require_store
from agentmem.cli.options import (
    confirm,
    json_option,
    leave_out,
    settings,
    store_options,
    yes_option,
)

__all__ = ["check", "flush", "migrate", "reembed", "stats"]


@click.command()
@click.option("--prometheus", is_flag=True, help="As text that Prometheus reads.")
@json_option
@store_options
def stats(prometheus: bool, as_json: bool) -> None:
    """Show sizes, counts and rates of the store."""
    if prometheus and as_json:
        raise click.UsageError("--prometheus and --json are two formats; choose one")
    with open_store(must_exist=True) as memory:
        if prometheus:
            click.echo(memory.metrics(), nl=False)
            return
        values = memory.stats()
    from agentmem.cli.render import print_json

    if as_json:
        print_json(values)
        return
    from agentmem.cli.render import Column, print_table

    rows = [[name, text] for name, text in _flat(values)]
    print_table([Column("what"), Column("value")], rows)


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested dictionaries as dotted names and texts."""
    from agentmem.cli.render import one_line, size_text

    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        full = f"{prefix}{name}"
        if isinstance(value, dict):
            rows += _flat(value, f"{full}.")
        elif isinstance(value, bool):
            rows.append((full, "yes" if value else "no"))
        elif not isinstance(value, int | float):
            rows.append((full, "-" if value is None else one_line(str(value))))
        elif name == "bytes" or name.endswith("_bytes"):
            rows.append((full, size_text(value)))
        else:
            rows.append((full, f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"))
    return rows


@click.command()
@click.option("--repair", is_flag=True, help="Rebuild what can be rebuilt.")
@json_option
@store_options
def check(repair: bool, as_json: bool) -> None:
    """Check the store and its projections; exit code 1 if there are problems left."""
    from agentmem.cli.progress import bar

    with open_store(must_exist=True) as memory, bar("Checking", "steps") as shown:
        found = memory.check(repair=repair, progress=shown)
    if as_json:
        from agentmem.cli.render import print_json

        print_json(found)
    else:
        from agentmem.cli.render import safe

        for repaired in found.get("repaired", ()):
            click.echo(f"repaired: {safe(repaired)}")
        for problem in found["problems"]:
            click.echo(f"problem: {safe(problem)}")
        click.echo("ok" if found["ok"] else "not ok")
    if not found["ok"]:
        raise click.exceptions.Exit(PROBLEMS)


@click.command()
@click.option("--indexes", is_flag=True, help="Wait until the LanceDB table is indexed, too.")
@store_options
def flush(indexes: bool) -> None:
    """Wait until every projection has caught up with the log."""
    with open_store(must_exist=True) as memory:
        memory.flush(indexes=indexes)


@click.command()
@click.argument("model")
@yes_option
@json_option
@store_options
def reembed(model: str, yes: bool, as_json: bool) -> None:
    """Move the store to another embedding MODEL, making every vector anew.

    It can be interrupted and goes on where it stopped; searches work meanwhile.
    """
    from agentmem.cli.fetching import ready
    from agentmem.cli.progress import bar
    from agentmem.engine import reembed as run
    from agentmem.models import resolve

    leave_out("embedder", "the new MODEL is named after the command")
    path = settings().path
    require_store(path)
    resolve(model)
    confirm(f"Make every vector in {path} anew with {model}?", yes)
    ready(model)
    with bar("Embedding", "memories") as shown:
        result = run(path, model, progress=shown)
    from agentmem.cli.render import number_text

    text = f"the store now uses {model}; {number_text(result['embedded'])} embedded"
    _print_result(result, text, as_json)


@click.command()
@json_option
@store_options
def migrate(as_json: bool) -> None:
    """Bring a store of another version to the schema and the keywords of this one.

    It can be interrupted and goes on where it stopped.
    """
    from agentmem.cli.progress import bar
    from agentmem.cli.render import number_text
    from agentmem.engine import migrate as run

    leave_out("embedder", "a store is migrated with its own model")
    path = settings().path
    require_store(path)
    with bar("Making keywords", "memories") as shown:
        result = run(path, progress=shown)
    made = result["reanalyzed"]
    text = "the store has the current schema and keywords"
    _print_result(result, f"{text}; {number_text(made)} done" if made else text, as_json)


def _print_result(result: Any, text: str, as_json: bool) -> None:
    if as_json:
        from agentmem.cli.render import print_json

        print_json(result)
    else:
        click.echo(text)
