"""Every table of figures in README.md and docs/ names the command that gives them.

A table has figures when half of its rows or more have a decimal or a number with a unit.  The
command stands in the table, or as code in the same section.  A table that no command can give again
says so in a comment right above it::

    <!-- no command: what was tried and not kept -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FIGURE = re.compile(r"\d+\.\d+|\d[\d,]*\s?(?:%|ms\b|us\b|/s\b|MB\b|[KMG]iB\b|x\b|a second)")
COMMAND = re.compile(
    r"(?:^|[`$ ])(?:asv run|agentmem (?!\[)[-a-z]+|ci/[-a-z]+|AGENTMEM_\w+="
    r"|python (?:-m agentmem |-m pytest|asv_benchmarks/|tests/))",
    flags=re.MULTILINE,
)
CODE = re.compile(r"```.*?```|`[^`]+`", flags=re.DOTALL)
EXCUSE = re.compile(r"<!-- no command: \S.+ -->")
#: First columns of tables that tell defaults, not measurements.
DEFAULTS = {"setting", "part"}


@dataclass(frozen=True)
class Table:
    page: str
    line: int
    head: str
    rows: tuple[str, ...]
    section: str  # everything from its heading of level 2 to the next
    above: str  # the line before it that is not empty


def tables(page: Path) -> Iterator[Table]:
    lines = page.read_text("utf-8").splitlines()
    number = 0
    while number < len(lines):
        is_head = lines[number].startswith("|") and number + 1 < len(lines)
        if not (is_head and re.fullmatch(r"\|[\s:|-]+\|", lines[number + 1])):
            number += 1
            continue
        end = number + 2
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
        above = next((line for line in reversed(lines[:number]) if line.strip()), "")
        yield Table(
            page.relative_to(ROOT).as_posix(),
            number + 1,
            lines[number],
            tuple(lines[number + 2 : end]),
            section_around(lines, number),
            above,
        )
        number = end


def section_around(lines: list[str], number: int) -> str:
    starts = [i for i, line in enumerate(lines) if re.match(r"##? ", line)]
    begin = max((i for i in starts if i <= number), default=0)
    end = min((i for i in starts if i > number), default=len(lines))
    return "\n".join(lines[begin:end])


def has_figures(table: Table) -> bool:
    first = table.head.strip("|").partition("|")[0].strip()
    if first in DEFAULTS:
        return False
    told = [row for row in table.rows if FIGURE.search(re.sub(r"`[^`]*`", "", row))]
    return 2 * len(told) >= len(table.rows)


def names_command(table: Table) -> bool:
    return any(COMMAND.search(code) for code in CODE.findall(table.section))


EVERY = [table for page in PAGES for table in tables(page)]


@pytest.mark.parametrize(
    "table", [t for t in EVERY if has_figures(t)], ids=lambda t: f"{t.page}:{t.line}"
)
def test_a_table_of_figures_names_its_command(table: Table) -> None:
    assert names_command(table) or EXCUSE.fullmatch(table.above.strip()), (
        f"{table.page}:{table.line}: {table.head}\nname the command that gives these figures"
    )


def test_each_row_of_the_readme_has_a_command_of_its_own() -> None:
    (measured,) = (t for t in EVERY if t.page == "README.md" and "command" in t.head)
    bare = [row for row in measured.rows if not re.search(r"`[^`]+` \||as the first \|", row)]
    assert bare == []


def test_figures_and_commands_are_told_from_other_words() -> None:
    def table(row: str, text: str, above: str = "") -> Table:
        return Table("page", 1, "| what | figure |", (row,), text, above)

    assert has_figures(table("| search | 25,000 a second |", ""))
    assert has_figures(table("| recall | 82.3 |", ""))
    assert not has_figures(table("| `p99_ms` | what most calls did not exceed |", ""))
    assert names_command(table("", "Measured by `asv run --quick --bench search`."))
    assert names_command(table("", "```console\n$ agentmem --embedder static eval locomo F\n```"))
    assert not names_command(table("", "The `agentmem` package, measured with care."))
    assert not names_command(table("", "Measured by asv run, it says."))
