"""The figures as a section of docs/performance.md and as rows of the README's table."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from compare.contenders import CONTENDERS, STORE_PARTS, STORES, TEXT_PARTS, TEXTS, UNLOCKED
from compare.figures import Spread, ratio, spread

__all__ = ["COMMAND", "readme_rows", "section", "write_readme", "write_section"]

COMMAND = "ci/compare"
BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"
_MB = 1e6

Results = Mapping[str, Any]


def section(results: Results, picture: str) -> str:
    """Markdown of everything that ``results`` has, below the section's heading.

    Args:
        picture: its path as seen from the page.
    """
    blocks = [
        f"![Ratios to mem0, evidence found on LoCoMo, and stores with vectors given]({picture})",
        f"Made by `{COMMAND}` ({results['machine']}, Python {results['python']}). Every run is a"
        " process of its own with an empty folder on the same disk; contenders take turns, every"
        " second round in the opposite order. A figure is the median of the runs, a ratio the"
        " median of the ratios within a round, with the least and the most behind it. All are timed"
        " by the"
        " same code, are refused the network and must find stored texts again, and their rows are"
        " counted after the store was closed and opened.",
    ]
    for name, make in (("texts", _texts), ("stores", _stores), ("recall", _recall)):
        if name in results:
            blocks += make(results[name])
    blocks += _setups(results)
    return "\n\n".join(map(_wrapped, blocks)) + "\n"


def _wrapped(block: str) -> str:
    """Prose in lines; tables, headings and the picture as they are."""
    if block.startswith(("#", "|", "!")):
        return block
    return textwrap.fill(block, 100, break_long_words=False, break_on_hyphens=False)


def write_section(page: Path, text: str) -> None:
    """Put it between the markers of the page.

    Raises:
        ValueError: it has none.
    """
    before, begin, rest = page.read_text("utf-8").partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end:
        raise ValueError(f"{page.name} does not have the lines {BEGIN} and {END}")
    page.write_text(f"{before}{begin}{text}{end}{after}", "utf-8")


def readme_rows(results: Results) -> list[str]:
    """Rows of the table *Measured*: what, figure, command."""
    rows = []
    runs = results.get("texts", {}).get("runs", {})
    if "mem0" in runs:
        for name, said in (
            ("minilm-fp32", "the same fp32 model"),
            ("minilm", "the default model"),
            ("static", "the static table"),
        ):
            parts = [
                _times(ratio(runs[f"agentmem {name}"], runs["mem0"], task))
                for task in ("add", "batch", "threads")
            ]
            rows.append(
                f"| against mem0, `{name}` ({said}): one `add` / 100 texts / 20 threads |"
                f" {' / '.join(parts)} | `{COMMAND}` |"
            )
        ours = runs["agentmem minilm"]
        repeat, imports = (ratio(ours, runs["mem0"], task) for task in ("repeat", "import"))
        rows.append(
            f"| against mem0, `minilm`: the same search again / `import` | {_times(repeat)} /"
            f" {_times(imports)} | `{COMMAND}` |"
        )
    if locomo := results.get("recall", {}).get("locomo"):
        ours, theirs = (locomo["runs"][name] for name in ("agentmem minilm", "mem0"))
        rows.append(
            f"| against mem0, each with its default search: LoCoMo recall@10 |"
            f" {_percent(ours['overall']['recall@10'])} % against"
            f" {_percent(theirs['overall']['recall@10'])} % |"
            f" `{COMMAND} --parts recall --locomo FILE` |"
        )
    return rows


def write_readme(readme: Path, rows: Sequence[str]) -> None:
    """Replace the rows whose command is ours.

    Raises:
        ValueError: there are none.
    """
    lines = readme.read_text("utf-8").splitlines()
    ours = [i for i, line in enumerate(lines) if _is_ours(line)]
    if not ours:
        raise ValueError(f"{readme.name} has no row whose command is {COMMAND}")
    place = ours[0]
    kept = [line for line in lines if not _is_ours(line)]
    readme.write_text("\n".join([*kept[:place], *rows, *kept[place:]]) + "\n", "utf-8")


def _is_ours(line: str) -> bool:
    return bool(re.fullmatch(rf"\|.*\| `{re.escape(COMMAND)}[^`]*` \|", line))


# -- the parts of the section


def _texts(part: Results) -> list[str]:
    sizes, runs = part["sizes"], part["runs"]
    names = [name for name in TEXTS if name in runs]
    theirs = runs.get("mem0", [])
    stored = runs[names[0]][0]["stored"]
    rows = {
        "add": f"one `add` after the other ({sizes['single']}), a second",
        "batch": f"{sizes['batch']} texts: `add_batch`; mem0 has no such call and loops, a second",
        "threads": f"{sizes['threads']} threads, {sizes['each']} adds each, a second",
        "search": f"search, {sizes['questions']} different questions, a second",
        "repeat": "search, the same question again, a second",
        "import": "`import`, ms",
        "class": "`from ... import Memory`, ms",
        "first": "from the start of Python to the first memory stored, ms",
        "memory": "resident memory at the end, MB",
        "disk": f"on disk, {int(stored):,} memories, MB",
    }
    table = [["", *(_shown(name) for name in names)]]
    for task, said in rows.items():
        row = [said]
        for name in names:
            cell = _figure(spread(runs[name], task), task)
            if name != "mem0" and (found := ratio(runs[name], theirs, task)):
                cell += f"; **{_times(found)}** ({_span(found)})"
            row.append(cell)
        table.append(row)
    blocks = [
        "### With texts: mem0",
        f"{_when(part)}. Each store gets {sizes['stored']:,} texts first:"
        f" {_sentences(sizes['sentences'])} of the conversation in `examples/` behind a date. mem0"
        " and `minilm-fp32` compute the same file with the same weights: mem0 through ONNX Runtime"
        " and tokenizers as their manuals show them, one text a call, registered as an embedder of"
        " its own factory. Longer texts move every ratio towards that of the model alone.",
        _table(table),
    ]
    return blocks + _threads(part) + _walls(part, TEXT_PARTS) + _failures(part)


def _threads(part: Results) -> list[str]:
    """What became of memories that many threads added."""
    sizes, runs = part["sizes"], part["runs"]
    if UNLOCKED not in runs:
        return []
    gone = [run["lost"] + run["errors"] for run in runs[UNLOCKED]]
    raised = sum(run["errors"] for run in runs[UNLOCKED])
    missing = {
        whose: sum(run["lost"] + run["errors"] for name in names for run in runs.get(name, []))
        for whose, names in (("mem0 with the lock", TEXTS[:1]), ("AgentMem", TEXTS[1:]))
    }
    return [
        "mem0's local Qdrant is not made for threads, so it was given a client that takes one"
        " write at a time. With the client that it makes itself,"
        f" {min(gone):.0f} to {max(gone):.0f} of the {sizes['threads'] * sizes['each']} memories"
        f" that {sizes['threads']} threads added were not there when the store was opened again;"
        f" {raised:.0f} of those {sum(gone):.0f} adds had raised. In all runs together,"
        f" {' and '.join(f'{whose} missed {n:.0f}' for whose, n in missing.items())}."
    ]


def _stores(part: Results) -> list[str]:
    sizes, runs = part["sizes"], part["runs"]
    tasks = {
        "add": "one a call",
        "threads": f"{sizes['threads']} threads",
        "batch": f"{sizes['batch']} a call",
        "fill": "1,000 a call",
        "search": "searches",
        "agreement": "exact top 10 found, %",
        "import": "`import`, ms",
        "first": "first row stored, ms",
        "memory": "memory, MB",
        "disk": "disk, MB",
    }
    blocks = ["### With vectors given: stores alone"]
    table = [["a second, unless said", *tasks.values()]]
    for name in STORES:
        if name in runs:
            cells = (_figure(spread(runs[name], task), task) for task in tasks)
            table.append([_shown(name), *cells])
    blocks += [
        f"{_when(part)}. {sizes['stored']:,} texts with vectors of 384"
        " numbers are stored first; searches ask for the 10 nearest with a vector. They do not"
        " promise the same: what an add means is in the last table.",
        _table(table),
    ]
    return blocks + _walls(part, STORE_PARTS) + _failures(part)


def _walls(part: Results, names: Sequence[str]) -> list[str]:
    sizes, runs = part["sizes"], part["runs"]
    table = [["a second", "one a call", f"{sizes['batch']} a call", "one search"]]
    for name in names:
        if name in runs:
            cells = (_figure(spread(runs[name], task), task) for task in ("add", "batch", "search"))
            table.append([_part(name, sizes), *cells])
    said = "How far the wall is: parts of the work alone, with nothing around them."
    return [said, _table(table)] if table[1:] else []


def _recall(part: Results) -> list[str]:
    blocks = ["### What is found"]
    for dataset, title, measures in (
        ("locomo", "LoCoMo, evidence turns", ("recall@5", "recall@10", "recall@20")),
        ("longmemeval", "LongMemEval-S, answer sessions", ("any@5", "all@5", "any@10", "all@10")),
    ):
        if dataset not in part:
            continue
        runs = part[dataset]["runs"]
        some = next(iter(runs.values()))
        table = [[f"%, {some['questions']:,} questions", *measures]]
        for name, found in runs.items():
            cells = (_percent(found["overall"][measure]) for measure in measures)
            table.append([_shown(name), *cells])
        blocks += [
            f"{title}, {part[dataset]['date']}: one memory per turn, {some['memories']:,} in all,"
            " no language model, each asked by its own default search"
            f" (`{COMMAND} --parts recall --{dataset} FILE`).",
            _table(table),
        ]
    return blocks


def _setups(results: Results) -> list[str]:
    told: dict[str, Mapping[str, str]] = {}
    for part in ("texts", "stores"):
        told |= results.get(part, {}).get("setups", {})
    versions: dict[str, str] = {}
    for part in ("texts", "stores"):
        versions |= results.get(part, {}).get("versions", {})
    shown = [
        name for name in (*TEXTS[:2], *STORES[1:], *TEXT_PARTS[:1], *STORE_PARTS) if name in told
    ]
    table = [["", "set up", "what an add promises"]]
    for name in shown:
        label = "AgentMem" if name.startswith("agentmem") else name.removesuffix(" fp32")
        table.append([label, told[name]["setup"], told[name]["durability"]])
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return ["### How each was set up", _table(table), f"Versions: {listed}."]


def _failures(part: Results) -> list[str]:
    return [f"Not measured: {name} ({why})." for name, why in part.get("failed", {}).items()]


# -- words and numbers


def _when(part: Results) -> str:
    load = part.get("load")
    besides = "" if load is None else f", load average {load:.1f} before it began"
    return f"{part['date']}, {part['rounds']} rounds{besides}"


def _shown(name: str) -> str:
    model = name.removeprefix("agentmem ")
    words = {"minilm-fp32": ", the same model", "minilm": ", the default"}
    if model == name:
        return "AgentMem" if name == "agentmem" else name
    return f"AgentMem `{model}`{words.get(model, '')}"


def _part(name: str, sizes: Results) -> str:
    arguments = CONTENDERS[name].arguments
    if arguments:
        return f"{name} (`{arguments[0]}`): embed"
    if name == "NumPy":
        return f"NumPy: scan of {sizes['stored']:,} vectors"
    return f"{name}: one transaction"


def _sentences(n: int) -> str:
    return "a sentence" if n == 1 else f"{n} sentences"


def _figure(found: Spread | None, task: str) -> str:
    if found is None:
        return "-"
    if task in ("import", "class", "first"):
        return _number(found.median * 1000)
    if task in ("memory", "disk"):
        return _number(found.median / _MB)
    if task == "agreement":
        return _percent(found.median)
    return _number(found.median)


def _number(value: float) -> str:
    """Three digits: 0.123, 1.23, 12.3, 123, 1,230."""
    if value >= 1000:
        return f"{round(value, 2 - len(str(int(value))) + 1):,.0f}"
    return f"{value:#.3g}".rstrip(".")


def _times(found: Spread | None) -> str:
    return "-" if found is None else f"{_ratio(found.median)} x"


def _span(found: Spread) -> str:
    return f"{_ratio(found.low)} to {_ratio(found.high)}"


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
