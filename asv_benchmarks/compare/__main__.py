"""Run the comparison and write what it found: ``ci/compare``; see ``options`` for what it takes."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import agentmem
from compare import page, recall
from compare.contenders import CONTENDERS, STORE_PARTS, STORES, TEXT_PARTS, TEXTS, UNLOCKED
from compare.figures import goals_met
from compare.measure import Sizes
from compare.options import options_of
from compare.picture import draw
from compare.rounds import FailedRunError, rounds, run_module

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results.json"


def timed(names: Sequence[str], sizes: Sizes, count: int, *, first: bool) -> dict[str, Any]:
    """One of the parts that are timed, as it is kept."""
    entries = {name: CONTENDERS[name] for name in names}
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    runs, failed = rounds(names, sizes, count, say, first=first)
    versions = {"agentmem": agentmem.__version__}
    for name in runs:
        versions |= entries[name].versions()
    setups = {}
    for name in runs:
        kind = entries[name].load()
        setups[name] = {"setup": kind.setup, "durability": kind.durability}
    return {
        "date": today(),
        "load": load,  # what the machine did besides, before we began
        "rounds": count,
        "sizes": asdict(sizes),
        "runs": runs,
        "failed": failed,
        "versions": versions,
        "setups": setups,
    }


def judged(dataset: str, file: str, limit: int | None, only: Sequence[str]) -> dict[str, Any]:
    """Recall of each contender on one data set, as it is kept."""
    runs = {}
    for name in (name for name in recall.CONTENDERS if name in only):
        with tempfile.TemporaryDirectory(prefix="agentmem-compare-") as folder:
            out = Path(folder) / "out.json"
            asked = (name, dataset, file, str(out), *([str(limit)] if limit else []))
            try:
                run_module("compare.recall", *asked)
            except FailedRunError as error:
                say(f"{dataset}, {name}: not judged ({error})")
                continue
            runs[name] = json.loads(out.read_text("utf-8"))
        shown = {k: v for k, v in runs[name]["overall"].items() if "@" in k}
        say(f"{dataset}, {name}: {shown}")
    return {"date": today(), "runs": runs}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what was asked for, by part."""
    found: dict[str, Any] = {}
    if "texts" in options.parts:
        names = [name for name in (*TEXTS, UNLOCKED, *TEXT_PARTS) if name in options.only]
        sizes = Sizes(stored=options.stored, sentences=options.sentences)
        found["texts"] = timed(names, sizes, options.rounds, first=True)
    if "stores" in options.parts:
        names = [name for name in (*STORES, *STORE_PARTS) if name in options.only]
        sizes = Sizes(stored=options.rows, sentences=options.sentences, given=True)
        found["stores"] = timed(names, sizes, options.store_rounds, first=True)
    if "recall" in options.parts:
        found["recall"] = {
            dataset: judged(dataset, file, options.limit, options.only)
            for dataset in recall.DATASETS
            if (file := getattr(options, dataset))
        }
    return found


def keep(found: dict[str, Any], results: dict[str, Any], options: argparse.Namespace) -> None:
    """Put what was found into ``results``, in place of what they had of it."""
    results |= {"machine": options.machine, "python": platform.python_version()}
    for part in ("texts", "stores"):
        if part in found and not options.some:
            results[part] = found[part]
    for dataset, judgement in found.get("recall", {}).items():
        if options.limit:
            continue
        old = results.setdefault("recall", {}).setdefault(dataset, {"runs": {}})
        old |= {"date": judgement["date"], "runs": old["runs"] | judgement["runs"]}


def write(results: dict[str, Any]) -> None:
    """The page's section, its picture, and the README's rows."""
    picture = ROOT / "docs" / "comparison.png"
    draw(results, picture)
    page.write_section(ROOT / "docs" / "performance.md", page.section(results, picture.name))
    page.write_readme(ROOT / "README.md", page.readme_rows(results))


def today() -> str:
    return f"{datetime.now(UTC):%d %B %Y}".lstrip("0")


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    options = options_of(sys.argv[1:])
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    found = results if options.render else run(options)
    if not options.dry:
        if not options.render:
            keep(found, results, options)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        write(results)
    locomo = found.get("recall", {}).get("locomo", {})
    for line in goals_met(found.get("texts", {}).get("runs", {}), locomo.get("runs", {})):
        say(line)
    if lost := lost_by_us(found):
        sys.exit(f"ci/compare: {lost:.0f} memories were refused or lost by AgentMem")


def lost_by_us(found: dict[str, Any]) -> float:
    """Adds that raised, and rows that were not there when the store was opened again."""
    return sum(
        figures.get("lost", 0) + figures.get("errors", 0)
        for part in ("texts", "stores")
        for name, runs in found.get(part, {}).get("runs", {}).items()
        if name.startswith("agentmem")
        for figures in runs
    )


if __name__ == "__main__":
    main()
