"""Memories as rows of a table, for search and list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentmem.cli.render import (
    Column,
    metadata_text,
    one_line,
    print_table,
    safe,
    time_text,
)
from agentmem.types import SCOPE_FIELDS

__all__ = ["print_fields", "print_memories", "scope_text"]


def print_memories(
    memories: Sequence[dict[str, Any]],
    *,
    ranked: bool = False,
    with_scope: bool = False,
    with_metadata: bool = True,
    with_ids: bool = True,
    with_parts: bool = False,
    width: int = 0,
) -> None:
    """A table; ``width`` is the most characters of a text (0: all)."""
    columns, rows = [], [[] for _ in memories]  # type: ignore[var-annotated]

    def column(made: Column, cells: Sequence[str]) -> None:
        if any(cells):
            columns.append(made)
            for row, cell in zip(rows, cells, strict=True):
                row.append(cell)

    if ranked:
        column(Column("#", right=True), [str(i) for i, _ in enumerate(memories, 1)])
        column(Column("score", right=True), [f"{m['score']:.3f}" for m in memories])
    if with_parts:
        column(Column("parts", wide=2, style="dim"), [_parts_text(m) for m in memories])
    if with_ids:
        column(Column("id", style="dim"), [m["id"] for m in memories])
    column(Column("when"), [time_text(m.get("timestamp") or m["created_at"]) for m in memories])
    if with_scope:
        column(Column("scope", wide=1), [scope_text(m) for m in memories])
    column(Column("who"), [one_line(m.get("actor_id") or m.get("role") or "") for m in memories])
    if with_metadata:
        column(
            Column("metadata", wide=1, style="dim"),
            [metadata_text(m.get("metadata")) for m in memories],
        )
    # Last, because its length varies most: nothing after it is pushed aside.
    column(Column("memory", wide=4), [one_line(m["memory"], width) for m in memories])
    print_table(columns, rows)


def scope_text(memory: dict[str, Any]) -> str:
    """``user=alice run=session_1``"""
    return " ".join(
        f"{name.removesuffix('_id')}={one_line(memory[name])}"
        for name in SCOPE_FIELDS
        if memory.get(name)
    )


def _parts_text(memory: dict[str, Any]) -> str:
    parts: dict[str, float] = memory.get("explain") or {}
    return " ".join(f"{name}={value:.3f}" for name, value in parts.items())


def print_fields(memory: dict[str, Any]) -> None:
    """One memory with all its fields, one per line, the text first."""
    import click

    click.echo(safe(memory["memory"]))
    for name, value in memory.items():
        if name == "memory" or value is None:
            continue
        shown = metadata_text(value) if isinstance(value, dict) else one_line(str(value))
        click.echo(f"  {name + ':':<17} {shown}")
