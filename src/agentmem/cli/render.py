"""How results look: tables for people at a terminal, aligned plain lines elsewhere, JSON.

Texts come from anywhere, so control characters are made visible before they reach a terminal,
and nothing in them is taken as markup.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Column",
    "metadata_text",
    "one_line",
    "print_json",
    "print_table",
    "safe",
    "size_text",
    "time_text",
]

# C0 and C1 controls, and the marks that reorder text on screen; tab and newline are dealt with
# where they matter.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; ``wide`` columns share the room that the others leave."""

    name: str
    right: bool = False
    wide: int = 0  # share of the room; 0: as wide as its content
    style: str = ""


def safe(text: str) -> str:
    """Control characters replaced by their escapes; tabs and newlines stay."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


def one_line(text: str, width: int = 0) -> str:
    """``text`` in one line, at most ``width`` characters (0: all of it)."""
    line = safe(_SPACES.sub(" ", text).strip())
    return line if not width or len(line) <= width else f"{line[: width - 1]}…"


def time_text(value: str | None) -> str:
    """An ISO 8601 time to the minute, in the zone it names; the offset only where not UTC."""
    if not value:
        return ""
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return safe(value)
    offset = when.strftime("%z")
    return when.strftime("%Y-%m-%d %H:%M") + ("" if offset in ("", "+0000") else f" {offset}")


def metadata_text(metadata: dict[str, Any] | None) -> str:
    """``key=value`` pairs; values that are not text as JSON."""
    pairs = []
    for name, value in (metadata or {}).items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        pairs.append(f"{name}={shown}")
    return one_line(" ".join(pairs))


def size_text(size: float) -> str:
    """A number of bytes in the unit that suits it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def print_json(value: Any) -> None:
    """``value`` as one indented JSON document on standard output."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    click.echo(json.dumps(value, ensure_ascii=encoding != "utf8", indent=2))


def console(*, stderr: bool = False) -> Console:
    """A rich console that prints what it is given: no markup, no emoji, no highlighting."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """A table of texts that are already ``safe``."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        _print_rich(columns, rows)
    else:
        _print_plain(columns, rows)


def _print_rich(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            ratio=column.wide or None,
            no_wrap=not column.wide,
            overflow="fold",
            style=column.style,
        )
    table.expand = any(column.wide for column in columns)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def _print_plain(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """One line per row, columns aligned by spaces, nothing cut: for pipes, files and grep."""
    lines = [[column.name for column in columns]]
    lines += [[cell.replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        cells = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())
