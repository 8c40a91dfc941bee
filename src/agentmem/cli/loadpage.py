"""What a run of ``agentmem stress`` found, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from agentmem.stress import Report

__all__ = ["show"]

#: Part of a call's time (see ``stress.stalls``) -> how it is called here.
_PARTS = {
    "late": "before it began",
    "computing": "computing",
    "no_processor": "without a processor",
    "collecting": "garbage collector",
    "rest": "locks and disk",
}
#: Sample's field -> what it is called, and the size of one as it is told.
_TRENDS = {
    "rss_bytes": ("resident memory", "MiB", 1 << 20),
    "cache_bytes": ("of it caches", "MiB", 1 << 20),
    "rest_bytes": ("the rest", "MiB", 1 << 20),
    "wal_bytes": ("WAL", "MiB", 1 << 20),
    "files": ("open files", "", 1),
    "threads": ("threads", "", 1),
}


def show(report: Report) -> None:
    """Print the tables, what was used, and the verdict."""
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
        if phase.trends:
            click.echo(_trends(phase.trends))
        click.echo()
        _show_stalls(phase.stalls)
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


def _show_stalls(stalls: dict[str, Any]) -> None:
    """Where the time of the slowest hundredth went, and the slowest calls of all."""
    from agentmem.cli.render import Column, print_table

    heads = [Column(name, right=True) for name in ("ms", *_PARTS.values())]
    pauses = stalls["collector"]
    if stalls["slow"]:
        print_table(
            [Column("slowest hundredth", style="bold"), Column("calls", right=True), *heads],
            [
                [name, f"{found['calls']:,}", *_times(found)]
                for name, found in stalls["slow"].items()
            ],
        )
        click.echo()
    print_table(
        [
            Column("slowest", style="bold"),
            Column("second", right=True),
            *heads,
            Column("meanwhile"),
        ],
        [
            [call["operation"], f"{call['second']:.1f}", *_times(call), _meanwhile(call)]
            for call in stalls["slowest"]
        ],
    )
    click.echo(
        f"\nthe garbage collector stopped everything {pauses['pauses']:,} times, for"
        f" {pauses['ms']:,.0f} ms in all and at most {pauses['max_ms']:,.1f} ms\n"
    )


def _times(found: dict[str, Any]) -> list[str]:
    return [f"{found[name]:,.2f}" for name in ("ms", *_PARTS)]


def _meanwhile(call: dict[str, Any]) -> str:
    """What other threads of the process computed."""
    if "others" not in call:
        return "-"
    named = [f"{name} {ms:.1f} ms" for name, ms in call["meanwhile"].items()]
    return ", ".join([f"all others {call['others']:.1f} ms", *named])


def _trends(found: dict[str, dict[str, Any]]) -> str:
    parts = []
    for name, (what, unit, size) in _TRENDS.items():
        value = found[name]
        each = f"{value['per_hour'] / size:+,.1f} {unit}".rstrip()
        parts.append(f"{what} {value['verdict']} ({each} an hour)")
    return "second half: " + ", ".join(parts)


def _resources(samples: list[dict[str, Any]]) -> list[str]:
    """What was used, a line each."""
    from agentmem.cli.render import size_text
    from agentmem.stress.monitor import HIT_RATES

    if not samples:
        return []
    last = samples[-1]

    def most(name: str) -> Any:
        return max(sample[name] for sample in samples)

    busy = sum(sample["processors"] for sample in samples) / len(samples)
    lines = [
        f"memory: {size_text(samples[0]['rss_bytes'])} at first, at most"
        f" {size_text(most('rss_bytes'))}, {size_text(last['rss_bytes'])} at last, of them caches"
        f" {size_text(last['cache_bytes'])};"
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
        for name, what in HIT_RATES.items()
        if last[name] is not None
    ]
    return [*lines, f"since the start: {'; '.join(shares)}"] if shares else lines
