"""``agentmem demo``."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import click

from agentmem.cli.opening import open_store
from agentmem.cli.options import json_option, settings, store_options

if TYPE_CHECKING:
    from agentmem import Memory
    from agentmem.cli.importer import Report

__all__ = ["demo"]

_CONVERSATION = Path(__file__).parents[1] / "data" / "conversation.json"
_TOP_K = 5


@dataclass(slots=True)
class _Answer:
    """What a question found; ``rank`` is that of the first turn that holds the answer."""

    question: str
    answer: str
    rank: int | None
    recall: float  # share of the turns with the answer among the first ``_TOP_K``
    milliseconds: float
    shown: dict[str, Any] | None  # that turn, else the best hit


@click.command()
@json_option
@store_options
def demo(as_json: bool) -> None:
    """Import a year of somebody's conversations and answer questions from them.

    The store is a temporary one, unless --store names another.
    """
    from agentmem.cli.progress import bar

    current = settings()
    current.store = current.store or ":memory:"
    content = json.loads(_CONVERSATION.read_text("utf-8"))
    with open_store(embeds=True) as memory:
        with bar("Loading the model"):
            begun = time.perf_counter()
            memory.warm_up()
            loading = time.perf_counter() - begun
        report = _import(memory)
        answers = [_ask(memory, content["user_id"], entry) for entry in content["questions"]]
    if as_json:
        _print_json(loading, report, answers)
    else:
        _print_page(content, loading, report, answers)


def _import(memory: Memory) -> Report:
    from agentmem.cli.formats import ReadOptions, Source, read
    from agentmem.cli.importer import import_entries

    source = Source(str(_CONVERSATION))
    entries = read(source, "chat", ReadOptions())
    return import_entries(memory, entries, name=source.name, scope={})


def _ask(memory: Memory, user: str, entry: dict[str, Any]) -> _Answer:
    begun = time.perf_counter()
    found = memory.search(entry["question"], user_id=user, top_k=_TOP_K)["results"]
    took = time.perf_counter() - begun
    evidence = {(run, turn) for run, turn in entry["evidence"]}
    turns = [(item["run_id"], (item["metadata"] or {}).get("turn")) for item in found]
    hits = [turn in evidence for turn in turns]
    return _Answer(
        question=entry["question"],
        answer=entry["answer"],
        rank=hits.index(True) + 1 if any(hits) else None,
        recall=sum(hits) / len(evidence),
        milliseconds=took * 1000,
        shown=found[hits.index(True) if any(hits) else 0] if found else None,
    )


def _print_json(loading: float, report: Report, answers: list[_Answer]) -> None:
    from agentmem.cli.render import print_json

    print_json(
        {
            "load_seconds": round(loading, 3),
            "memories": report.added + report.known,
            "import_seconds": round(report.seconds, 3),
            "import_rate": round(report.rate, 1),
            **_summary(answers),
            "questions": [asdict(answer) for answer in answers],
        }
    )


def _summary(answers: list[_Answer]) -> dict[str, Any]:
    return {
        "answered_first": sum(answer.rank == 1 for answer in answers),
        f"answered_in_{_TOP_K}": sum(answer.rank is not None for answer in answers),
        f"recall_at_{_TOP_K}": round(mean(answer.recall for answer in answers), 3),
        "search_ms_median": round(median(answer.milliseconds for answer in answers), 2),
        "search_ms_worst": round(max(answer.milliseconds for answer in answers), 2),
    }


def _print_page(
    content: dict[str, Any], loading: float, report: Report, answers: list[_Answer]
) -> None:
    from agentmem.cli.render import Column, one_line, print_table, time_text

    sessions = content["sessions"]
    first, last = (time_text(sessions[i]["date"])[:10] for i in (0, -1))
    click.echo(f"{len(sessions)} conversations with {content['user_id']}, {first} to {last}")
    click.echo(
        f"model loaded in {loading:.1f} s; {report.added + report.known} turns stored in"
        f" {report.seconds:.2f} s ({report.rate:,.0f}/s), each one durable and searchable\n"
    )
    rows = []
    for answer in answers:
        hit = answer.shown
        rows.append(
            [
                one_line(answer.question),
                "-" if answer.rank is None else str(answer.rank),
                f"{hit['score']:.2f}" if hit else "",
                f"{answer.milliseconds:.1f}",
                time_text(hit["timestamp"])[:10] if hit else "",
                one_line(hit["memory"], 160) if hit else "",
            ]
        )
    columns = [
        Column("question", wide=3, style="bold"),
        Column("rank", right=True),
        Column("score", right=True),
        Column("ms", right=True),
        Column("when"),
        Column("memory", wide=5),
    ]
    print_table(columns, rows)
    found = _summary(answers)
    click.echo(
        f"\nrank: where a turn that holds the answer came; first for"
        f" {found['answered_first']} of {len(answers)} questions, among the first {_TOP_K} for"
        f" {found[f'answered_in_{_TOP_K}']}; without one, the best hit is shown"
    )
    click.echo(
        f"a search took {found['search_ms_median']:.1f} ms (median), embedding the question"
        f" included; the slowest {found['search_ms_worst']:.1f} ms"
    )
