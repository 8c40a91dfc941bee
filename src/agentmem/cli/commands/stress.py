"""``agentmem stress``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentmem.cli.exits import PROBLEMS, Failure
from agentmem.cli.options import embedder_option, json_option, settings

if TYPE_CHECKING:
    from agentmem.stress import Report

__all__ = ["stress"]

_SCENARIOS = ("creation", "retrieval", "vector", "batch", "concurrent", "cache", "mixed")
_KINDS = ("threads", "tasks", "processes")


@click.command()
@click.argument("scenario", type=click.Choice(_SCENARIOS))
@click.option(
    "--kind",
    type=click.Choice(_KINDS),
    default="threads",
    show_default=True,
    help="What the workers are.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 20_000),
    metavar="N",
    help="Workers that make calls at the same time; 4, or with tasks one for each user.",
)
@click.option(
    "--users",
    type=click.IntRange(1, 20_000),
    default=100,
    show_default=True,
    help="Users, each with a scope of its own.",
)
@click.option(
    "--size", type=click.IntRange(0), metavar="N", help="Memories stored before it begins."
)
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Length of a phase.")
@click.option(
    "--warm-up", type=float, default=2.0, show_default=True, help="Seconds before it, not reported."
)
@click.option(
    "--rate",
    default="",
    metavar="N|N%",
    help="Open loop: calls a second, or a share of what a closed loop reaches first.",
)
@click.option("--timeout", type=float, default=30.0, show_default=True, help="Of a call, seconds.")
@click.option(
    "--verify",
    type=float,
    default=0.1,
    show_default=True,
    help="Share of writes read back at once.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of everything by chance.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Keep the store, in this empty folder.",
)
@click.option(
    "--report",
    "files",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Write .json, or plots as .html, .png or .svg (needs agentmem[chart]); repeatable.",
)
@embedder_option
@json_option
def stress(
    scenario: str,
    kind: Any,
    workers: int | None,
    keep: Path | None,
    files: tuple[Path, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Put load on a store and check every answer; exit code 1 if one was wrong.

    The store is a temporary one unless --keep names a folder; --store is refused.  All data is
    made from --seed.
    """
    from agentmem.cli.fetching import ready
    from agentmem.cli.loadview import LoadView
    from agentmem.stress import Plan, run
    from agentmem.stress.chart import draw, require_drawable

    if settings().store:
        raise click.UsageError(
            "stress fills a store of its own and never touches that of --store; drop it, or keep"
            " the new one with --keep FOLDER"
        )
    drawings = [file for file in files if file.suffix.lower() != ".json"]
    for file in drawings:
        require_drawable(file)
    if workers is None:
        workers = given["users"] if kind == "tasks" else min(4, given["users"])
    current = settings()
    embedder = current.embedder or current.usual_embedder or "static"
    plan = Plan(scenario, kind=kind, workers=workers, embedder=embedder, **given)
    ready(embedder)
    with LoadView(plan) as view:
        report = run(plan, keep, tell=view.tell)
    for file in files:
        if file in drawings:
            draw(report, file)
        else:
            report.save(file)
    if as_json:
        from agentmem.cli.render import print_json

        print_json(report.to_dict())
    else:
        _print(report)
    if not report.ok:
        raise Failure("answers were wrong: see the violations above", PROBLEMS)


def _print(report: Report) -> None:
    from agentmem.cli.render import Column, print_table

    columns = [Column("call", style="bold")]
    columns += [
        Column(name, right=True)
        for name in ("calls", "/s", "mean", "p50", "p90", "p95", "p99", "p99.9", "max", "p99/p50")
    ]
    columns += [Column("errors"), Column("timeouts", right=True)]
    for phase in report.phases:
        asked = f", {phase.rate:,.0f} calls/s asked for" if phase.rate else ""
        click.echo(f"{phase.name}: {phase.seconds:.1f} s{asked}; times in milliseconds\n")
        rows = [
            _row(name, found) for name, found in (*phase.operations.items(), ("all", phase.all))
        ]
        print_table(columns, rows)
        click.echo()
        for line in _resources(phase.samples):
            click.echo(line)
        click.echo()
    checks = report.checks
    click.echo(
        f"{sum(checks['made'].values()):,} answers checked,"
        f" {sum(checks['violations'].values()):,} wrong; {report.final['memories']:,} memories in"
        f" the store opened anew, {report.final['lost']:,} lost"
    )
    for kind, count in checks["violations"].items():
        click.echo(f"violated {count:,} times: {kind}")
    for example in checks["examples"]:
        click.echo(f"  {example}")


def _row(name: str, found: dict[str, Any]) -> list[str]:
    times = [found[f"{key}_ms"] for key in ("mean", "p50", "p90", "p95", "p99", "p99_9", "max")]
    errors = ", ".join(f"{kind} {n:,}" for kind, n in found["errors"].items())
    if errors:
        errors += f" ({100 * found['error_rate']:.2g} %)"
    ratio = found["p99_ms"] / found["p50_ms"] if found["p50_ms"] else 0.0
    return [
        name,
        f"{found['calls']:,}",
        f"{found['per_second']:,.0f}",
        *(f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in times),
        f"{ratio:.1f}",
        errors or "-",
        f"{found['timeouts']:,}",
    ]


def _resources(samples: list[dict[str, Any]]) -> list[str]:
    """What was used, a line each."""
    from agentmem.cli.render import size_text

    if not samples:
        return []
    last = samples[-1]

    def most(name: str) -> Any:
        return max(sample[name] for sample in samples)

    busy = sum(sample["processors"] for sample in samples) / len(samples)
    lines = [
        f"memory: {size_text(samples[0]['rss_bytes'])} at first, at most"
        f" {size_text(most('rss_bytes'))}, {size_text(last['rss_bytes'])} at last;"
        f" {busy:.1f} processors busy",
        f"store: {last['memories']:,} memories, database {size_text(last['database_bytes'])},"
        f" WAL at most {size_text(most('wal_bytes'))}",
        f"at most {most('queue'):,} writes queued, {most('connections')} read connections in use,"
        f" {most('behind'):,} calls of the open loop behind",
    ]
    if last["written_bytes"] is not None:
        lines[1] += f", {size_text(last['written_bytes'])} written to disk in all"
    shares = [
        f"{what} {100 * last[name]:.1f} %"
        for name, what in (
            ("embeddings_hit", "embeddings known"),
            ("partitions_hit", "searched scopes loaded"),
        )
        if last[name] is not None
    ]
    return [*lines, "; ".join(shares)] if shares else lines
