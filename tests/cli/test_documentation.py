"""docs/cli.md describes every command and every option."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agentmem.cli import exits
from agentmem.cli.app import cli
from agentmem.cli.formats import FORMATS

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
SECTIONS = dict(
    re.findall(r"^### `([^`]+)`\n(.*?)(?=^##|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
)
SHARED = PAGE.partition("\n### ")[0]


def commands(
    group: click.Group = cli, name: str = "agentmem"
) -> Iterator[tuple[str, click.Command]]:
    with click.Context(group) as ctx:
        for short in group.list_commands(ctx):
            command = group.get_command(ctx, short)
            assert command is not None
            if isinstance(command, click.Group):
                yield from commands(command, f"{name} {short}")
            else:
                yield f"{name} {short}", command


COMMANDS = dict(commands())


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert set(SECTIONS) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_described(name: str) -> None:
    known = set(re.findall(r"--[a-z-]+", SECTIONS.get(name, "") + SHARED))
    options = {
        option
        for parameter in COMMANDS[name].params
        if isinstance(parameter, click.Option)
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    hidden_twins = {"--user-id", "--agent-id", "--run-id", "--org-id"}
    assert options - known - hidden_twins == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown_at_work(name: str) -> None:
    lines = re.findall(r"^\$ (.*)$", SECTIONS.get(name, ""), flags=re.MULTILINE)
    assert any(name in line for line in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_a_help_text(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    bare = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert bare == []


def test_every_exit_code_is_described() -> None:
    described = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE)}
    assert described == {value for value in vars(exits).values() if type(value) is int}


def test_every_format_is_described() -> None:
    assert [name for name in FORMATS if f"| `{name}` |" not in PAGE] == []
