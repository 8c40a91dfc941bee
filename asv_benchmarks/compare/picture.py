"""The figures as one picture, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compare.contenders import STORES
from compare.figures import ratio, spread

__all__ = ["draw"]

_RATIOS = {
    "add": "one add",
    "batch": "100 texts",
    "threads": "20 threads",
    "search": "search",
    "repeat": "search again",
    "import": "import",
}


def draw(results: Mapping[str, Any], path: Path) -> None:
    """One panel for each part that was measured."""
    # Without pyplot there is no display to find and no global state to leave behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = {"texts": _texts, "recall": _recall, "stores": _stores}
    parts = [name for name in drawn if name in results]
    figure = Figure(figsize=(5.5 * len(parts), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(parts), squeeze=False)[0]
    for name, panel in zip(parts, panels, strict=True):
        drawn[name](results[name], panel)
    # Nothing of the machine or the moment in the file: equal figures make equal bytes.
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _texts(part: Mapping[str, Any], panel: Any) -> None:
    runs = part["runs"]
    names = [name for name in runs if name.startswith("agentmem")]
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        found = [ratio(runs[name], runs["mem0"], task) for task in _RATIOS]
        at = [x + i * width for x, one in enumerate(found) if one]
        shown = [one for one in found if one]
        middle = [one.median for one in shown]
        error = [
            [one.median - one.low for one in shown],
            [one.high - one.median for one in shown],
        ]
        bars = panel.bar(at, middle, width, yerr=error, label=name.removeprefix("agentmem "))
        panel.bar_label(bars, [f"{value:.3g}" for value in middle], fontsize=6, padding=1)
    panel.set_yscale("log")
    panel.axhline(1, color="black", linewidth=0.8)
    panel.set_xticks([x + 0.4 - width / 2 for x in range(len(_RATIOS))], list(_RATIOS.values()))
    panel.tick_params(axis="x", labelsize=8)
    panel.set_title("Times as fast as mem0", fontsize=10)
    panel.legend(fontsize=8)


def _recall(part: Mapping[str, Any], panel: Any) -> None:
    if "locomo" not in part:
        panel.set_axis_off()
        return
    ks = (5, 10, 20)
    places = (2, 2, -6)  # of the numbers, above or below the lines
    for place, (name, found) in zip(places, part["locomo"]["runs"].items(), strict=False):
        values = [100 * found["overall"][f"recall@{k}"] for k in ks]
        panel.plot(range(len(ks)), values, marker="o", label=name)
        panel.annotate(f"{values[1]:.1f}", (1, values[1] + place), ha="center", fontsize=8)
    panel.set_xticks(range(len(ks)), [f"first {k}" for k in ks])
    panel.set_ylim(0, 100)
    panel.grid(alpha=0.3)
    panel.set_title("LoCoMo: evidence found, %", fontsize=10)
    panel.legend(fontsize=8, loc="lower right")


def _stores(part: Mapping[str, Any], panel: Any) -> None:
    runs = part["runs"]
    names = [name for name in reversed(STORES) if name in runs]
    shown = {"add": "one add a call", "batch": "adds, 100 a call", "search": "searches"}
    height = 0.8 / len(shown)
    for i, (task, said) in enumerate(shown.items()):
        values = [found.median if (found := spread(runs[name], task)) else 0 for name in names]
        bars = panel.barh([y - i * height for y in range(len(names))], values, height, label=said)
        panel.bar_label(bars, [f"{value:,.0f}" for value in values], fontsize=7, padding=2)
    panel.set_yticks([y - height for y in range(len(names))], names)
    panel.set_xscale("log")
    panel.set_xmargin(0.15)
    panel.set_title("Vectors given, a second", fontsize=10)
    panel.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.08))
