"""``agentmem stress``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agentmem.cli.exits import PROBLEMS, Failure
from agentmem.cli.options import embedder_option, json_option, settings

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
    from agentmem.stress.files import require_writable, write

    if settings().store:
        raise click.UsageError(
            "stress fills a store of its own and never touches that of --store; drop it, or keep"
            " the new one with --keep FOLDER"
        )
    for file in files:
        require_writable(file)
    if workers is None:
        workers = given["users"] if kind == "tasks" else min(4, given["users"])
    current = settings()
    embedder = current.embedder or current.usual_embedder or "static"
    plan = Plan(scenario, kind=kind, workers=workers, embedder=embedder, **given)
    ready(embedder)
    with LoadView(plan) as view:
        report = run(plan, keep, tell=view.tell)
    if as_json:
        from agentmem.cli.render import print_json

        print_json(report.to_dict())
    else:
        from agentmem.cli.loadpage import show

        show(report)
    for file in files:  # after the page: a full disk must not take it away
        write(report, file)
    if not report.ok:
        raise Failure("answers were wrong: see the violations above", PROBLEMS)
