"""``agentmem models``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentmem.cli.exits import PROBLEMS
from agentmem.cli.options import json_option, leave_out
from agentmem.errors import ModelCorruptError, ModelNotFoundError

if TYPE_CHECKING:
    from agentmem.models import Spec

__all__ = ["models"]


@click.group()
def models() -> None:
    """List, fetch and verify embedding models.

    A NAME is that of a builtin model, or a folder with a BERT-family model.
    """
    leave_out("store", "models belong to the machine, not to a store")
    leave_out("embedder", "the models meant are named after the command")


@models.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List the builtin models and where they lie on this machine."""
    from agentmem.models import names, resolve

    specs = [resolve(name) for name in names()]
    places = [_place(spec) for spec in specs]
    from agentmem.cli.render import Column, print_json, print_table

    if as_json:
        print_json(
            [
                {
                    "name": spec.name,
                    "model_id": spec.model_id,
                    "dim": spec.dim,
                    "max_length": spec.max_length,
                    "summary": spec.summary,
                    "path": None if place is None else str(place),
                }
                for spec, place in zip(specs, places, strict=True)
            ]
        )
        return
    rows = [
        [
            spec.name,
            str(spec.dim),
            f"{spec.max_length:,}",
            "no" if place is None else "yes",
            spec.summary,
        ]
        for spec, place in zip(specs, places, strict=True)
    ]
    columns = [
        Column("name", style="bold"),
        Column("dimensions", right=True),
        Column("tokens", right=True),
        Column("here"),
        Column("what it is", wide=1),
    ]
    print_table(columns, rows)


@models.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Build it again even if it is here.")
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the published files, instead of a download.",
)
@json_option
def pull(names: tuple[str, ...], force: bool, folder: Path | None, as_json: bool) -> None:
    """Fetch and build models, unless they are here already."""
    from agentmem.cli.fetching import ready

    pulled = [
        {"name": name, "path": str(ready(name, folder=folder, force=force))} for name in names
    ]
    if as_json:
        from agentmem.cli.render import print_json

        print_json(pulled)
    else:
        for model in pulled:
            click.echo(f"{model['name']}: {model['path']}")


@models.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Check the files of models against their checksums; all models on this machine if none is
    named.  Exit code 1 if one is damaged."""
    from agentmem.models import names as builtin
    from agentmem.models import resolve

    found = [_verified(resolve(name)) for name in names or builtin()]
    if not names:
        found = [one for one in found if one.path is not None]
    absent = [one.name for one in found if one.path is None]
    if absent:
        raise ModelNotFoundError(_absent(absent[0]))
    if as_json:
        from agentmem.cli.render import print_json

        print_json(
            [
                {"name": one.name, "path": str(one.path), "ok": not one.problem}
                | ({"problem": one.problem} if one.problem else {})
                for one in found
            ]
        )
    else:
        for one in found:
            click.echo(f"{one.name}: {one.problem or 'ok'}")
        if not found:
            click.echo("no model is on this machine; run: agentmem models pull minilm", err=True)
    if any(one.problem for one in found):
        raise click.exceptions.Exit(PROBLEMS)


@models.command("path")
@click.argument("name")
def path_command(name: str) -> None:
    """Print the folder of a model's files."""
    from agentmem.models import resolve

    place = _place(resolve(name))
    if place is None:
        raise ModelNotFoundError(_absent(name))
    click.echo(str(place))


@dataclass(frozen=True, slots=True)
class _Verified:
    name: str
    path: Path | None
    problem: str = ""


def _verified(spec: Spec) -> _Verified:
    from agentmem.models import manifest

    place = _place(spec)
    if place is not None:
        try:
            manifest.check(spec, place)
        except ModelCorruptError as error:
            return _Verified(spec.name, place, str(error))
    return _Verified(spec.name, place)


def _place(spec: Spec) -> Path | None:
    from agentmem.models import sources

    return sources.find_built(spec)


def _absent(name: str) -> str:
    return f"model {name!r} is not on this machine; run: agentmem models pull {name}"
