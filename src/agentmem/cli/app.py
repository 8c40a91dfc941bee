"""The ``agentmem`` command: lazily loaded subcommands, errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from importlib import import_module
from typing import Any

import click

from agentmem.cli.exits import BROKEN_PIPE, INTERRUPTED, STORE, Failure, exit_code
from agentmem.cli.options import embedder_option, store_option
from agentmem.errors import AgentMemError

__all__ = ["cli", "run"]

#: Command name to the module that has it (under the same name, or with ``_command`` added where
#: the name is a keyword or builtin), in the order in which help lists them.
_COMMANDS = {
    "demo": "demo:demo",
    "add": "add:add",
    "search": "search:search",
    "import": "transfer:import_command",
    "export": "transfer:export_command",
    "get": "read:get",
    "list": "read:list_command",
    "history": "read:history",
    "count": "read:count",
    "update": "change:update",
    "delete": "change:delete",
    "purge": "change:purge",
    "stats": "upkeep:stats",
    "check": "upkeep:check",
    "flush": "upkeep:flush",
    "backup": "copies:backup",
    "restore": "copies:restore",
    "reembed": "upkeep:reembed",
    "migrate": "upkeep:migrate",
    "models": "models:models",
    "eval": "eval:eval_command",
    "stress": "stress:stress",
}


class _App(click.Group):
    """Loads a command's module when the command is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(f"agentmem.cli.commands.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], _COMMANDS, n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from None
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AgentMemError as error:
            raise Failure(str(error), exit_code(error)) from error
        except (KeyboardInterrupt, click.Abort):
            raise Failure("interrupted", INTERRUPTED) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise Failure("", BROKEN_PIPE) from None
            where = f": {error.filename}" if error.filename else ""
            raise Failure(f"{error.strerror or error}{where}", STORE) from error


@click.group(cls=_App, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "-V", "--version", package_name="agentmem", prog_name="agentmem")
@store_option
@embedder_option
def cli() -> None:
    """Long-term memory for AI agents: one folder on disk, local embeddings, hybrid search.

    \b
    Try it:      agentmem demo
    Remember:    agentmem add "I moved to Lisbon in March" --user alice
    Recall:      agentmem search "where does she live?" --user alice

    The store is the folder given with --store or AGENTMEM_STORE, else a folder of your own.
    """


def run() -> None:
    """Run the command line and leave with its exit code."""
    _replace_closed()
    for stream in (sys.stdout, sys.stderr):
        # Whatever a terminal cannot show is shown escaped instead of ending the command.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        cli.main(prog_name="agentmem")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        _leave(code)


def _replace_closed() -> None:
    """A standard stream that was closed (``>&-``) is None in Python; read from and write to
    nothing instead, and keep files that are opened from getting its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _leave(code: int) -> None:
    """Flush what is left to say; a reader that went away is no reason to complain."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or BROKEN_PIPE
    except ValueError:
        pass  # already closed
    if code == BROKEN_PIPE:
        # The interpreter flushes once more at exit and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
