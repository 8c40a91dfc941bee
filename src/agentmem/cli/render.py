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
    "number_text",
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
_LONG = 24  # characters; a longer text is worth a column that grows
_LEAST = 24  # characters of a column with long texts
_GAP = 2  # between columns


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; ``wide`` columns share the room that the others leave."""

    name: str
    right: bool = False
    wide: int = 0  # share of the room if its content is long; 0: as wide as its content
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


def number_text(count: int) -> str:
    """``1 memory``, ``2,760 memories``"""
    return "1 memory" if count == 1 else f"{count:,} memories"


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
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        _print_plain(columns, rows)
        return
    room = console().width
    widths = fit(columns, rows, room)
    if widths is None:
        _print_stacked(columns, rows)
    else:
        _print_rich(columns, rows, widths)


def fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Widths of the columns in ``room`` characters; None if they would be too narrow to read.

    A wide column gets at least its longest word (or ``_LONG``), and shares what is left.
    """
    texts = [[column.name, *(row[i] for row in rows)] for i, column in enumerate(columns)]
    needs = [max(map(len, cells)) for cells in texts]
    widths = [
        min(need, max(_longest_word(cells), _LEAST * (need > _LONG))) if column.wide else need
        for column, cells, need in zip(columns, texts, needs, strict=True)
    ]
    left = room - sum(widths) - _GAP * (len(columns) - 1)
    if left < 0:
        return None
    growing = [i for i, width in enumerate(widths) if width < needs[i]]
    while left > 0 and growing:
        shares = sum(columns[i].wide for i in growing)
        for i in growing:
            more = min(max(left * columns[i].wide // shares, 1), needs[i] - widths[i], left)
            widths[i] += more
            left -= more
        growing = [i for i in growing if widths[i] < needs[i]]
    return widths


def _longest_word(texts: Sequence[str]) -> int:
    """Its length, as far as a column should grow for it."""
    words = (len(word) for text in texts for word in text.split())
    return min(max(words, default=0), _LONG)


def _print_rich(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], widths: Sequence[int]
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),  # the box adds one
        header_style="bold",
    )
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            width=width,
            overflow="fold",
            style=column.style,
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def _print_stacked(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """For narrow terminals: a line of the short cells, then each long one on lines of its own."""
    from rich.padding import Padding
    from rich.text import Text

    out = console()
    for row in rows:
        short = [cell for cell, column in zip(row, columns, strict=True) if not column.wide]
        out.print(Text("  ".join(cell for cell in short if cell), style="bold"))
        for cell, column in zip(row, columns, strict=True):
            if column.wide and cell:
                out.print(Padding(Text(cell, style=column.style), (0, 0, 0, 2)))


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
