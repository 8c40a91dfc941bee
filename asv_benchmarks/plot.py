"""Instructions of searches and writes over the commits whose results are kept.

    python asv_benchmarks/plot.py docs/instructions.png

One line for each call, over its value at the first commit that has one; ``asv publish`` draws
everything else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from difference import values
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"
BENCHMARK = "instructions.Paths.track_instructions"


def history() -> tuple[list[str], dict[str, list[float]]]:
    """Commits, oldest first, and for each call its instructions in each of them."""
    found = []
    for file in RESULTS.glob("*/*.json"):
        if file.name == "machine.json":
            continue
        data = json.loads(file.read_text("utf-8"))
        own = {k: v for k, v in values(file) if k.startswith(BENCHMARK)}
        if own:
            found.append((data["date"], data["commit_hash"][:8], own))
    found.sort()
    names = sorted({name for _, _, own in found for name in own})
    nothing = float("nan")
    lines = {name: [own.get(name, nothing) for _, _, own in found] for name in names}
    return [commit for _, commit, _ in found], lines


def draw(path: Path) -> None:
    commits, lines = history()
    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, counts in lines.items():
        first = next(count for count in counts if count == count)
        call = name.partition("(")[2].strip("')")
        axes.plot([count / first for count in counts], marker="o", label=call)
    axes.set_xticks(range(len(commits)), commits)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("instructions, first commit = 1")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
