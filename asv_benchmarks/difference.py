"""What got slower from one commit to another: ``ci/bench-compare A B``.

asv builds both commits and runs the benchmarks of each in turns, several rounds.  For every value
the ratio of the medians is told, and the ratios between the nearest and the farthest runs: the
bounds within which the noise of this machine leaves it; it takes two runs or more to know them.  A
value got worse when the whole interval lies beyond the threshold.  The exit code is 1 if any did.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

#: Units and endings of names whose larger values are the better ones.
_RATES = ("/s",)
_GAINS = ("ratio", "times the twin's speed")
_SMALLER = ("longest_wait", "p99", "cost")

#: Runs of a commit below which nothing is known of the noise.
_FEWEST = 2


@dataclass(frozen=True)
class Change:
    """One value in both commits; ratios above 1 are worse."""

    name: str
    ratio: float  # of the medians
    least: float
    most: float
    before: float
    after: float
    unit: str

    def worse(self, threshold: float) -> bool:
        return self.least > threshold

    def better(self, threshold: float) -> bool:
        return self.most < 1 / threshold


def is_larger_better(name: str, unit: str) -> bool:
    """Whether a larger value of this benchmark is a better one."""
    if any(word in name for word in _SMALLER):
        return False
    return unit.endswith(_RATES) or unit in _GAINS


def changes(
    before: Mapping[str, list[float]], after: Mapping[str, list[float]], units: Mapping[str, str]
) -> list[Change]:
    """Of the values that both commits have, the worst first; without those of which a commit has
    a single run, which may be as far off as it likes."""
    found = []
    for name in before.keys() & after.keys():
        unit = units.get(name.partition("(")[0], "seconds")
        old, new = before[name], after[name]
        if min(len(old), len(new)) < _FEWEST or min(*old, *new) <= 0:
            continue  # no bounds, or no ratio, can be told
        if is_larger_better(name, unit):
            low, high, middle = (
                min(old) / max(new),
                max(old) / min(new),
                _median(old) / _median(new),
            )
        else:
            low, high, middle = (
                min(new) / max(old),
                max(new) / min(old),
                _median(new) / _median(old),
            )
        found.append(Change(name, middle, low, high, _median(old), _median(new), unit))
    return sorted(found, key=lambda change: (-change.ratio, change.name))


def values(results: Path) -> Iterator[tuple[str, float]]:
    """``(benchmark(parameters), value)`` of one file of asv's results."""
    data = json.loads(results.read_text("utf-8"))
    columns = data["result_columns"]
    for name, row in data["results"].items():
        cells = dict(zip(columns, row, strict=False))
        parameters = list(product(*cells.get("params") or []))
        for i, value in enumerate(cells.get("result") or []):
            if isinstance(value, int | float) and value == value:
                shown = f"({', '.join(parameters[i])})" if parameters and parameters[i] else ""
                yield f"{name}{shown}", float(value)


def run(commit: str, folder: Path, patterns: Iterable[str]) -> Iterator[tuple[str, float]]:
    """One round of one commit, built by asv in its usual environment."""
    settings = json.loads((HERE / "asv.conf.json").read_text("utf-8"))
    settings |= {
        "repo": str(HERE.parent),
        "benchmark_dir": str(HERE / "benchmarks"),
        "env_dir": str(HERE / "env"),
        "results_dir": str(folder),
    }
    conf = folder.with_suffix(".json")
    conf.write_text(json.dumps(settings), "utf-8")
    asv = [sys.executable, "-m", "asv"]
    command = [*asv, "run", "--quick", "--config", str(conf), f"{commit}^!"]
    for pattern in patterns:
        command += ["--bench", pattern]
    # Where asv keeps what it knows about this machine; asked for once, with its own guesses.
    knowing = [*asv, "machine", "--yes", "--config", str(conf)]
    subprocess.run(knowing, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(command, check=True, stdout=sys.stderr)
    for file in folder.glob("*/*.json"):
        if file.name != "machine.json":
            yield from values(file)


def units_of(folder: Path) -> dict[str, str]:
    described: dict[str, Any] = json.loads((folder / "benchmarks.json").read_text("utf-8"))
    return {name: one.get("unit", "") for name, one in described.items() if isinstance(one, dict)}


def tell(found: list[Change], threshold: float) -> list[Change]:
    """Print what changed; returns what got worse."""
    worse = [change for change in found if change.worse(threshold)]
    better = [change for change in found if change.better(threshold)]
    for title, group in (("slower or larger", worse), ("faster or smaller", better[::-1])):
        print(f"\n{title}: {len(group)} of {len(found)}")
        for one in group:
            print(
                f"  {one.ratio:6.2f} x ({one.least:.2f} to {one.most:.2f})"
                f"  {one.before:.4g} -> {one.after:.4g} {one.unit}  {one.name}"
            )
    return worse


def _median(numbers: list[float]) -> float:
    return statistics.median(numbers)


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ci/bench-compare", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--rounds", type=int, default=3, help="of each commit")
    parser.add_argument("--threshold", type=float, default=1.05, help="ratio that is a change")
    parser.add_argument("-b", "--bench", action="append", default=[], metavar="REGEX")
    given = parser.parse_args(arguments)
    if given.rounds < _FEWEST:
        parser.error(
            f"--rounds must be {_FEWEST} or more, not {given.rounds}: how much of a difference is"
            " noise is told by the runs of the same commit"
        )
    return given


def main() -> int:
    given = options_of(sys.argv[1:])
    collected: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    units: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="agentmem-bench-") as temporary:
        for number in range(given.rounds):
            for side, commit in enumerate((given.before, given.after)):
                folder = Path(temporary) / f"{number}-{side}"
                for name, value in run(commit, folder, given.bench):
                    collected[side].setdefault(name, []).append(value)
                units |= units_of(folder)
    return 1 if tell(changes(*collected, units), given.threshold) else 0


if __name__ == "__main__":
    sys.exit(main())
