"""Plain text: one memory per line, or per paragraph where paragraphs span several lines."""

from __future__ import annotations

from collections.abc import Iterator

from agentmem.cli.formats.entry import Entry, ReadOptions
from agentmem.cli.formats.source import Source

__all__ = ["read"]

_LINES_LOOKED_AT = 1000
_FULL_LINE = 60  # characters; longer lines were probably broken at a margin


def read(source: Source, options: ReadOptions) -> Iterator[Entry]:
    """A memory per line (``split`` "lines") or per block of lines between blank ones
    ("paragraphs", joined by single spaces); "auto" looks which of the two the file is."""
    split = options.split
    if split == "auto":
        split = "paragraphs" if _has_paragraphs(source) else "lines"
    if split == "lines":
        for number, line in source.lines():
            if line.strip():
                yield Entry(f"line {number}", {"content": line.strip()})
        return
    block: list[str] = []
    first = 0
    for number, line in source.lines():
        if line.strip():
            first = first or number
            block.append(line.strip())
        elif block:
            yield _paragraph(first, block)
            block, first = [], 0
    if block:
        yield _paragraph(first, block)


def _paragraph(line: int, block: list[str]) -> Entry:
    return Entry(f"line {line}", {"content": " ".join(block)})


def _has_paragraphs(source: Source) -> bool:
    """Whether there are blank lines, and most lines that another follows look full."""
    full = followed = 0
    blank = False
    before = ""
    for number, line in source.lines():
        here = line.strip()
        if here and before:
            followed += 1
            full += len(before) >= _FULL_LINE
        blank = blank or not here
        before = here
        if number >= _LINES_LOOKED_AT:
            break
    return blank and full * 2 > followed
