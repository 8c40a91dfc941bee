"""Options that several commands share, and what was given."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import click

from agentmem.cli.exits import PROBLEMS, Failure
from agentmem.inputs import check_path, shorten
from agentmem.types import SCOPE_FIELDS

__all__ = [
    "ScopeIds",
    "Settings",
    "as_of_option",
    "confirm",
    "embedder_option",
    "filter_option",
    "json_option",
    "leave_out",
    "level_option",
    "metadata_option",
    "require_some_scope",
    "scope_options",
    "settings",
    "store_option",
    "store_options",
    "unscoped_option",
    "yes_option",
]

F = TypeVar("F", bound=Callable[..., Any])


class ScopeIds(TypedDict, total=False):
    """The scope ids given on the command line, as keyword arguments of ``Memory``'s calls."""

    user_id: str
    agent_id: str
    run_id: str
    org_id: str


@dataclass(slots=True)
class Settings:
    """The global options, wherever on the command line they stood."""

    store: str | None = None  # as given with --store
    embedder: str | None = None  # as given with --embedder

    @property
    def path(self) -> Path:
        """The store's folder: --store, AGENTMEM_STORE, else one of the user's own."""
        given = self.store or os.environ.get("AGENTMEM_STORE", "").strip()
        if given:
            return Path(given) if given == ":memory:" else check_path(given)
        import platformdirs

        return platformdirs.user_data_path("agentmem", appauthor=False) / "memory"

    @property
    def usual_embedder(self) -> str | None:
        """AGENTMEM_EMBEDDER: for a store that does not say which it has."""
        return os.environ.get("AGENTMEM_EMBEDDER", "").strip() or None


def settings(ctx: click.Context | None = None) -> Settings:
    """The settings of the running command."""
    ctx = ctx or click.get_current_context()
    found: Settings = ctx.find_root().ensure_object(Settings)
    return found


def leave_out(option: str, why: str) -> None:
    """For a command that has no use for a global option, which else would do nothing unnoticed.

    Raises:
        click.UsageError: ``--option`` was given.
    """
    if getattr(settings(), option) is not None:
        raise click.UsageError(f"{why}; leave --{option} out")


def _keep(name: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def callback(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            if not value.strip():  # an unset shell variable, most likely
                raise click.BadParameter("is empty; give a value or leave the option out")
            setattr(settings(ctx), name, value)

    return callback


store_option = click.option(
    "--store",
    metavar="PATH",
    expose_value=False,
    callback=_keep("store"),
    help="Folder of the store  [env: AGENTMEM_STORE].",
)

embedder_option = click.option(
    "--embedder",
    metavar="NAME",
    expose_value=False,
    callback=_keep("embedder"),
    help="Embedding model, for a new store  [env: AGENTMEM_EMBEDDER].",
)


def store_options(command: F) -> F:
    """--store and --embedder, for after the command's name as well."""
    return store_option(embedder_option(command))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

as_of_option = click.option(
    "--as-of", metavar="TIME", help="What the store held at this time, such as 2025-05-01T10:00."
)

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")

unscoped_option = click.option(
    "--unscoped", "--all", "unscoped", is_flag=True, help="Across all scopes."
)


def _once(ctx: click.Context, parameter: click.Parameter, values: tuple[Any, ...]) -> Any:
    """The callback of an option of which click would take the last and forget the others.

    Raises:
        click.BadParameter: it is given more than once.
    """
    if len(values) > 1:
        raise click.BadParameter("is given more than once", ctx, parameter)
    return values[0] if values else None


def scope_options(command: F) -> F:
    """--user, --agent, --run and --org, passed on as ``scope``: the ids that were given."""

    def collect(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> None:
        scope = ctx.params.setdefault("scope", {})
        value = _once(ctx, parameter, values)
        if value is not None:
            scope[parameter.name] = value

    for name in reversed(SCOPE_FIELDS):
        short = name.removesuffix("_id")
        command = click.option(
            f"--{short}",
            f"--{short}-id",
            name,
            metavar="ID",
            expose_value=False,
            is_eager=True,  # so that ``scope`` is there, even if no id was given
            multiple=True,
            callback=collect,
            help=f"The {short} whose memories they are.",
        )(command)
    return command


def require_some_scope(scope: ScopeIds, unscoped: bool | None = None) -> None:
    """``unscoped`` is None for a command without that option.

    Raises:
        click.UsageError: neither a scope nor --unscoped.
    """
    if scope and unscoped:
        raise click.UsageError("--unscoped reads across all scopes; leave it or the scope out")
    if not scope and not unscoped:
        whose = "say whose memories: --user ID (or --agent, --run, --org)"
        raise click.UsageError(whose if unscoped is None else f"{whose}, or --unscoped for all")


def confirm(question: str, yes: bool) -> None:
    """Ask on standard error, unless ``yes``.

    Raises:
        Failure: the answer is anything but yes.
        click.UsageError: there is nobody to answer.
    """
    if yes:
        return
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:
        click.echo(err=True)
        raise click.UsageError("nobody is there to answer; pass --yes")
    if answer.strip().lower() not in ("y", "yes"):
        raise Failure("nothing was changed", PROBLEMS)


class _TwiceError(Exception):
    pass


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(repr(next(key for key in keys if keys.count(key) > 1)))
    return made


class _JSONObject(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    name = "JSON"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            parsed = json.loads(value, object_pairs_hook=_without_duplicates)
        except json.JSONDecodeError as error:
            self.fail(f"{value!r} is not JSON: {error.msg}, column {error.colno}", param, ctx)
        except (ValueError, RecursionError) as error:  # thousands of digits, or of levels
            self.fail(f"{shorten(value)} cannot be read as JSON: {error}", param, ctx)
        except _TwiceError as error:
            self.fail(f"{value!r} has the key {error} twice", param, ctx)
        if not isinstance(parsed, dict):
            self.fail(f"{value!r} is not a JSON object", param, ctx)
        return parsed


filter_option = click.option(
    "--filter",
    "filters",
    type=_JSONObject(),
    multiple=True,
    callback=_once,
    help="""Only memories that match, such as '{"metadata.src": "crm"}'.""",
)


def _pairs(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, Any] | None:
    """
    Raises:
        click.BadParameter: no pair, no object, or a key for the second time: one of its values
            would be lost.
    """
    merged: dict[str, Any] = {}
    for value in values:
        if value.lstrip().startswith("{"):
            found = _JSONObject().convert(value, parameter, ctx)
        else:
            name, equals, text = value.partition("=")
            if not equals or not name.strip():
                raise click.BadParameter(f"{value!r} is neither KEY=VALUE nor a JSON object")
            found = {name.strip(): text}
        for name in found:
            if name in merged:
                raise click.BadParameter(
                    f"{name!r} is given twice; for a list write JSON:"
                    f""" '{{"{name}": ["one", "two"]}}'"""
                )
        merged.update(found)
    return merged if values else None


class _Level(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """An integer as JSON writes it is one; anything else is a label."""

    name = "LEVEL"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | int:
        text = str(value).strip()
        if not re.fullmatch("-?(0|[1-9][0-9]*)", text):
            return text
        if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
            self.fail(f"{shorten(text)} is an integer beyond 64 bits", param, ctx)
        return int(text)


level_option = click.option(
    "--level", type=_Level(), metavar="LEVEL", help="A level of your own: an integer or a label."
)


metadata_option = click.option(
    "-m",
    "--metadata",
    multiple=True,
    metavar="KEY=VALUE|JSON",
    callback=_pairs,
    help="Metadata, as KEY=VALUE (text) or a JSON object; repeatable.",
)
