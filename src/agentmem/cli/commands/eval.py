"""``agentmem eval``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentmem.cli.opening import open_store, store_embedder
from agentmem.cli.options import json_option, settings, store_options

if TYPE_CHECKING:
    from agentmem.evaluation import Evaluation
    from agentmem.types import SearchMode

__all__ = ["eval_command"]

F = TypeVar("F", bound=Callable[..., Any])

_MOST = 1000  # largest rank
_SHOWN = {"recall": "recall", "any": "any", "all": "all", "ndcg": "nDCG"}


@click.group("eval")
def eval_command() -> None:
    """Measure what searches find, on questions whose answers are known.

    The store is a temporary one, unless --store names another.
    """


class _Settings(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """Settings of the ranking, all of them numbers."""

    name = "NAME=VALUE,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, float]:
        if isinstance(value, dict):
            return value
        found: dict[str, float] = {}
        for part in str(value).split(","):
            name, _, number = part.partition("=")
            try:
                found[name.strip()] = float(number) if "." in number else int(number)
            except ValueError:
                self.fail(f"{part!r} is not a setting such as window_weight=0.25", param, ctx)
        return found


class _Ranks(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    name = "N,N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        if isinstance(value, list):
            return value
        try:
            ks = sorted({int(part) for part in str(value).split(",")})
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 1,5,10", param, ctx)
        if ks[0] < 1 or ks[-1] > _MOST:
            self.fail(f"ranks lie between 1 and {_MOST:,}, not {value!r}", param, ctx)
        return ks


def _options(command: F) -> F:
    """What the three layouts have in common."""
    for option in reversed(
        (
            click.argument("path", metavar="PATH"),
            click.option(
                "-k",
                "--k",
                "ks",
                type=_Ranks(),
                default="1,5,10,20",
                show_default=True,
                help="Ranks to judge at; searches go as deep as the last.",
            ),
            click.option(
                "--mode",
                type=click.Choice(["hybrid", "dense", "keyword"]),
                default="hybrid",
                show_default=True,
                help="How to search.",
            ),
            click.option(
                "--limit",
                type=click.IntRange(min=1),
                metavar="N",
                help="Only the first N conversations (locomo) or questions.",
            ),
            click.option(
                "--context",
                type=click.FloatRange(0, 100, min_open=True),
                metavar="PERCENT",
                help="Also pack contexts with this share of the tokens of everything stored.",
            ),
            click.option(
                "--headings/--no-headings",
                default=True,
                help="With --context: dates above the passages  [shown].",
            ),
            click.option(
                "--try",
                "trials",
                type=_Settings(),
                multiple=True,
                help="Compare with these settings of the ranking; repeatable.",
            ),
            click.option("--details", is_flag=True, help="With --json: every question's ranks."),
            click.option(
                "--chart",
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="FILE.png",
                help="Draw a chart (.png, .svg or .pdf); needs agentmem[chart].",
            ),
            json_option,
            store_options,
        )
    ):
        command = option(command)
    return command


@eval_command.command("locomo")
@_options
def locomo(**given: Any) -> None:
    """Evidence turns found in LoCoMo's conversations.

    PATH is locomo10.json or a part of it.  Questions of category 5 ask for what was never said;
    they count for telling apart (AUROC), the others for recall.
    """
    _evaluate("locomo", **given)


@eval_command.command("longmemeval")
@_options
def longmemeval(**given: Any) -> None:
    """Answer sessions found in the haystacks of LongMemEval.

    PATH is one of its JSON files, or one question per line; gzip is fine.  A session's rank is
    that of its best turn.
    """
    _evaluate("longmemeval", **given)


@eval_command.command("jsonl")
@_options
def jsonl(**given: Any) -> None:
    """Your own memories found by your own queries.

    PATH has one JSON object a line: memories {"id", "content"}, queries {"query", "relevant"},
    or groups {"memories", "queries"}.
    """
    _evaluate("jsonl", **given)


def _evaluate(
    dataset: str,
    *,
    path: str,
    ks: list[int],
    mode: SearchMode,
    limit: int | None,
    context: float | None,
    headings: bool,
    trials: tuple[dict[str, float], ...],
    details: bool,
    chart: Path | None,
    as_json: bool,
) -> None:
    from agentmem.cli.datasets import DATASETS

    if details and not as_json:
        raise click.UsageError("--details is for --json; give both")
    if not headings and context is None:
        raise click.UsageError("--no-headings is for --context; give both")
    if chart is not None:
        from agentmem.evaluation.chart import require_chart

        require_chart(chart)
    asked: dict[str, Any] = {
        "depth": ks[-1],
        "mode": mode,
        "context": None if context is None else context / 100,
        "template": None if headings else {"head": ""},
    }
    at = min(ks, key=lambda k: abs(k - DATASETS[dataset]))
    with _store(keep=bool(trials)) as embedder:
        found = _run(dataset, path, embedder, limit, asked)
        others = {_name(t): _run(dataset, path, embedder, limit, asked, t) for t in trials}
    summary = {"dataset": dataset, "file": path, "embedder": embedder, **found.summary(ks)}
    if others:
        summary["trials"] = _compared({"as it is": found, **others}, ks, at)
    if chart is not None:
        from agentmem.evaluation.chart import draw

        draw(summary, ks, at, f"{dataset}: {embedder}, {mode}", chart)
    if as_json:
        from agentmem.cli.render import print_json

        print_json({**summary, "details": found.details()} if details else summary)
    else:
        _print_page(summary, ks, at)
        if chart is not None:
            click.echo(f"chart: {chart}")


@contextmanager
def _store(keep: bool) -> Iterator[str]:
    """Where nobody named a store, a temporary one, which lasts for the whole command if it is to
    be opened again; yields the embedder."""
    current = settings()
    with tempfile.TemporaryDirectory(prefix="agentmem-") as folder:
        if not current.store:
            current.store = str(Path(folder, "store")) if keep else ":memory:"
        yield store_embedder(current.path)


def _name(trial: dict[str, float]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in trial.items())


def _compared(trials: dict[str, Evaluation], ks: list[int], at: int) -> dict[str, Any]:
    from agentmem.evaluation import held_out

    best = held_out(trials, at)
    return {
        "settings": {name: found.summary(ks)["overall"] for name, found in trials.items()},
        "held_out": None if best is None else {f"recall@{at}": best.recall, "chosen": best.chosen},
    }


def _run(
    dataset: str,
    path: str,
    embedder: str,
    limit: int | None,
    asked: dict[str, Any],
    ranking: dict[str, float] | None = None,
) -> Evaluation:
    from agentmem.cli import datasets
    from agentmem.cli.fetching import ready
    from agentmem.cli.formats import Source
    from agentmem.cli.progress import bar
    from agentmem.embed.text import token_counter
    from agentmem.evaluation import evaluate

    source = Source(path)
    try:
        counter = token_counter(ready(embedder) / "tokenizer.json")
        config = {"ranking": ranking} if ranking else None
        with (
            open_store(config=config) as memory,
            bar(f"Asking {source.stem}", "questions") as shown,
        ):

            def done(evaluation: Evaluation) -> None:
                shown.update(source.position, source.size, items=len(evaluation.outcomes))

            return evaluate(
                memory,
                datasets.read(source, dataset, limit),
                count_tokens=counter,
                done=done,
                **asked,
            )
    finally:
        source.close()


def _print_page(summary: dict[str, Any], ks: list[int], at: int) -> None:
    from agentmem.cli.render import Column, number_text, one_line, print_table

    overall = summary["overall"]
    rate = summary["ingest"]["rate"]
    click.echo(
        f"{summary['dataset']} with {summary['embedder']}, {summary['mode']}:"
        f" {number_text(summary['memories'])} ({rate or 0:,.0f}/s),"
        f" {summary['questions']:,} questions\n"
    )
    columns = [Column("%", style="bold"), *(Column(f"@{k}", right=True) for k in ks)]
    rows = [
        [shown, *(_percent(overall[f"{name}@{k}"]) for k in ks)] for name, shown in _SHOWN.items()
    ]
    print_table(columns, rows)
    click.echo()
    names = [*(f"{name}@{at}" for name in _SHOWN), "mrr"]
    titles = [*(f"{shown}@{at}" for shown in _SHOWN.values()), "MRR"]
    columns = [Column("category", style="bold"), Column("questions", right=True)]
    columns += [Column(title, right=True) for title in titles]
    groups = [*summary["categories"].items(), ("all", overall)]
    rows = [
        [one_line(group), f"{found['questions']:,}", *(_percent(found[name]) for name in names)]
        for group, found in groups
    ]
    print_table(columns, rows)
    click.echo()
    if "trials" in summary:
        columns = [Column("ranking", style="bold")]
        columns += [Column(title, right=True) for title in titles]
        rows = [
            [name, *(_percent(found[measure]) for measure in names)]
            for name, found in summary["trials"]["settings"].items()
        ]
        print_table(columns, rows)
        click.echo()
    for line in _remarks(summary, at):
        click.echo(line)


def _remarks(summary: dict[str, Any], at: int) -> list[str]:
    """What the tables do not say, a line each."""
    lines = []
    if summary["left_out"]:
        lines.append(f"{summary['left_out']:,} questions left out: nothing says what answers them")
    others = summary["others"]
    if others["questions"]:
        lines.append(
            f"{others['questions']:,} questions were searched among other memories, too, up to"
            f" {others['most']:,} that the store held beside those of their collection; ranks that"
            " these take lower the figures"
        )
    if summary["abstention_auroc"] is not None:
        lines.append(
            f"{summary['unanswerable']:,} questions without an answer: told from the others by"
            f" their support with AUROC {summary['abstention_auroc']:.3f}"
        )
    tokens = summary["tokens"]
    if tokens is not None:
        lines.append(
            f"tokens: {tokens[f'first@{at}']:,.0f} in the first {at} memories,"
            f" {tokens['collection']:,.0f} in all ({_percent(tokens[f'saved@{at}'])} % saved)"
        )
    held = summary.get("trials", {}).get("held_out")
    if held is not None:
        lines.append(
            f"held out, each collection with what is best for the others:"
            f" {_percent(held[f'recall@{at}'])} recall@{at}"
            f" ({', '.join(f'{name}: {best}' for name, best in held['chosen'].items())})"
        )
    packed = summary["context"]
    if packed is not None:
        lines.append(
            f"context: {_percent(packed['kept'])} % of the answers in"
            f" {packed['tokens']:,.0f} tokens ({_percent(packed['saved'])} % saved)"
        )
    took = summary["search_ms"]
    if took["p50"] is not None:
        lines.append(
            f"search: p50 {took['p50']:.2f} ms, p95 {took['p95']:.2f} ms, p99 {took['p99']:.2f} ms"
            f" (top_k {took['top_k']}, embedding the question included)"
        )
    return lines


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
