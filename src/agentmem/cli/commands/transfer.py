"""``agentmem import`` and ``agentmem export``."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import click

from agentmem.cli.formats import FORMATS
from agentmem.cli.formats.entry import FormatError
from agentmem.cli.opening import open_engine, open_store, require_store
from agentmem.cli.options import (
    ScopeIds,
    filter_option,
    json_option,
    leave_out,
    require_some_scope,
    scope_options,
    settings,
    store_options,
    unscoped_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentmem.cli.formats import Entry, Source
    from agentmem.cli.importer import Report

__all__ = ["export_command", "import_command"]

_SCOPES_SHOWN = 5


@click.command("import")
@click.argument("file", metavar="FILE")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["auto", *FORMATS]),
    default="auto",
    show_default=True,
    help="Layout of FILE; auto looks at its beginning.",
)
@scope_options
@click.option(
    "--split",
    type=click.Choice(["auto", "lines", "paragraphs"]),
    default="auto",
    show_default=True,
    help="What is one memory in plain text.",
)
@click.option("--dedupe", is_flag=True, help="Do not store texts that their scope already has.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    help="Memories per transaction.",
)
@click.option(
    "--vectors/--no-vectors", "with_vectors", default=True, help="Use vectors in FILE  [used]."
)
@click.option("--dry-run", is_flag=True, help="Read FILE and count; store nothing.")
@json_option
@store_options
def import_command(
    file: str,
    layout: str,
    scope: ScopeIds,
    split: Literal["auto", "lines", "paragraphs"],
    dedupe: bool,
    batch_size: int,
    with_vectors: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Store what a FILE holds ('-': standard input; gzip is fine).

    Scope options serve where FILE does not say whose memories they are.  Importing a
    conversation, an export or a mem0 file twice adds nothing the second time.

    An archive makes an empty store what the exported one was: ids, times, vectors, history.  To
    a store that has something (and with --dedupe or --no-vectors) it adds the memories alone.
    """
    from agentmem.cli import formats
    from agentmem.cli.formats.detect import detect

    source = formats.Source(file)
    try:
        if layout == "auto":
            layout = detect(source)
        options = formats.ReadOptions(
            user_id=scope.get("user_id"), run_id=scope.get("run_id"), split=split
        )
        if layout == "archive" and with_vectors and not (dedupe or dry_run) and _is_empty():
            _print_report(_rebuild(source), layout, dry_run, as_json)
            return
        entries = formats.read(source, layout, options)
        if not with_vectors:
            entries = formats.without_vectors(entries)
        report = (
            _dry_run(entries) if dry_run else _import(source, entries, scope, batch_size, dedupe)
        )
        if not report.read and layout != "archive":
            raise FormatError(f"{source.name} holds no memories; nothing was stored")
    finally:
        source.close()
    _print_report(report, layout, dry_run, as_json)


def _dry_run(entries: Iterator[Entry]) -> Report:
    from agentmem.cli.importer import Report

    report = Report()
    for entry in entries:
        report.read += 1
        report.empty += entry.item is None
    return report


def _import(
    source: Source, entries: Iterator[Entry], scope: ScopeIds, batch_size: int, dedupe: bool
) -> Report:
    from agentmem.cli.importer import import_entries
    from agentmem.cli.progress import bar

    with open_store(embeds=True) as memory, bar(f"Importing {source.stem}", "memories") as shown:

        def done(report: Report) -> None:
            shown.update(source.position, source.size, items=report.added + report.known)

        return import_entries(
            memory,
            entries,
            name=source.name,
            scope=scope,
            batch_size=batch_size,
            dedupe=dedupe,
            done=done,
        )


def _is_empty() -> bool:
    from agentmem.config import Config
    from agentmem.store.copies import is_empty

    path = settings().path
    return str(path) != ":memory:" and is_empty(path, Config().store)


def _rebuild(source: Source) -> Report:
    """Make the empty store what the archive says.

    Raises:
        FormatError: the archive is not whole, or does not fit together.
        ModelMismatchError: --embedder names another model than the archive's.
    """
    from agentmem.cli.importer import rebuild
    from agentmem.cli.progress import bar

    given = settings().embedder
    with bar(f"Importing {source.stem}", "rows") as shown:

        def done(rows: int) -> None:
            shown.update(source.position, source.size, items=rows)

        return rebuild(settings().path, source, embedder=given, done=done)


def _print_report(report: Report, layout: str, dry_run: bool, as_json: bool) -> None:
    from agentmem.cli.render import number_text, one_line, print_json

    if as_json:
        print_json(
            {
                "format": layout,
                "read": report.read,
                "added": report.added,
                "known": report.known,
                "empty": report.empty,
                "scopes": list(report.scopes),
                "seconds": round(report.seconds, 3),
                "rate": round(report.rate, 1),
            }
        )
        return
    empty = f"; {report.empty:,} without text left out" if report.empty else ""
    if dry_run:
        click.echo(f"{layout}: {number_text(report.read - report.empty)}{empty}")
        return
    known = f", {report.known:,} were already there" if report.known else ""
    pace = f"{report.seconds:.1f} s, {report.rate:,.0f}/s"
    click.echo(f"{layout}: stored {number_text(report.added)}{known}{empty} ({pace})")
    more = len(report.scopes) - _SCOPES_SHOWN
    shown = [one_line(scope) for scope in islice(report.scopes, _SCOPES_SHOWN)]
    click.echo(f"scope: {', '.join(shown)}{f' and {more:,} more' if more > 0 else ''}")
    click.echo(f"store: {settings().path}")


@click.command("export")
@click.argument("file", metavar="FILE", default="-")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["jsonl", "parquet", "archive"]),
    help="Layout of FILE  [by its name, else jsonl].",
)
@scope_options
@unscoped_option
@filter_option
@click.option(
    "--vectors/--no-vectors", "with_vectors", default=True, help="Write vectors  [written]."
)
@click.option("--history", "with_history", is_flag=True, help="Write each memory's history.")
@click.option("--show-expired", is_flag=True, help="Expired memories too.")
@click.option("--force", is_flag=True, help="Write over FILE if it exists.")
@json_option
@store_options
def export_command(
    file: str,
    layout: str | None,
    scope: ScopeIds,
    unscoped: bool,
    filters: dict[str, Any] | None,
    with_vectors: bool,
    with_history: bool,
    show_expired: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write memories to a FILE ('-' or nothing: standard output).

    JSONL keeps every field, times, ids and the exact bytes of the vectors, and import reads it
    again.  An archive keeps everything, the history of deleted memories too, and import makes
    the same store of it.  FILE appears whole or not at all.
    """
    require_some_scope(scope, unscoped)
    from agentmem.cli import exporters
    from agentmem.cli.progress import bar
    from agentmem.inputs import resolve_scope
    from agentmem.types import Scope

    layout = layout or exporters.layout_of(file)
    if as_json and file == "-":
        raise click.UsageError("--json reports about a FILE; without one the export is printed")
    if layout == "archive":
        if filters is not None or not with_vectors:
            raise click.UsageError("an archive has everything: no --filter, no --no-vectors")
        leave_out("embedder", "an archive has the model of its store")
        _archive(file, scope, force=force, as_json=as_json)
        return
    with (
        open_engine() as engine,
        exporters.open_export(
            engine,
            resolve_scope(scope, Scope(), engine.config.limits),
            filters,
            show_expired=show_expired,
            with_vectors=with_vectors,
            with_history=with_history,
        ) as export,
        bar("Exporting", "memories") as shown,
        exporters.target(file, force=force) as stream,
    ):
        written = exporters.write(layout, export, stream, lambda done: shown(done, export.total))
    _print_written(layout, file, written, as_json)


def _archive(file: str, scope: ScopeIds, *, force: bool, as_json: bool) -> None:
    from contextlib import closing

    from agentmem.cli import exporters
    from agentmem.cli.exporters.archive import write
    from agentmem.cli.progress import bar
    from agentmem.config import Limits
    from agentmem.inputs import resolve_scope
    from agentmem.store import Store
    from agentmem.types import Scope

    path = settings().path
    require_store(path)
    whose = resolve_scope(scope, Scope(), Limits())
    with (
        closing(Store(path)) as store,
        bar("Exporting", "rows") as shown,
        exporters.target(file, force=force) as stream,
    ):
        counts = write(store, whose, stream, shown)
    _print_written("archive", file, counts["memory"], as_json)


def _print_written(layout: str, file: str, written: int, as_json: bool) -> None:
    from agentmem.cli.render import number_text, print_json

    if as_json:
        print_json({"format": layout, "file": file, "written": written})
    else:
        where = "standard output" if file == "-" else file
        click.echo(f"{layout}: wrote {number_text(written)} to {where}", err=file == "-")
