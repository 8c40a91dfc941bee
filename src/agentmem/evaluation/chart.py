"""A chart of an evaluation, drawn with matplotlib (the extra ``chart``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agentmem.errors import InvalidInputError, UnsupportedError

__all__ = ["draw", "require_chart"]

_NAMES = {"recall": "recall", "any": "any", "all": "all", "ndcg": "nDCG"}


def require_chart(path: Path) -> None:
    """Find out before the work whether ``draw`` will be able to do it.

    Raises:
        UnsupportedError: matplotlib is not installed.
        InvalidInputError: ``path`` is no image that can be written there.
    """
    if find_spec("matplotlib") is None:
        raise UnsupportedError(
            "drawing a chart needs matplotlib, which is not installed;"
            " install it with: pip install 'agentmem[chart]'"
        )
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InvalidInputError(f"the chart {str(path)!r} must end in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise InvalidInputError(f"there is no folder {str(path.parent)!r} for the chart")


def draw(summary: Mapping[str, Any], ks: Sequence[int], at: int, title: str, path: Path) -> None:
    """Write two panels: every measure against k, and recall at ``at`` by category.

    Args:
        summary: of ``Evaluation.summary``.

    Raises:
        UnsupportedError, InvalidInputError: as ``require_chart``.
        OSError: the file cannot be written.
    """
    require_chart(path)
    # Without pyplot there is no display to find and no global state to leave behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = [*summary["categories"].items(), ("all", summary["overall"])]
    figure = Figure(figsize=(11, 1.5 + max(3.0, 0.4 * len(groups))), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    for name, shown in _NAMES.items():
        values = [100 * (summary["overall"][f"{name}@{k}"] or 0) for k in ks]
        left.plot(range(len(ks)), values, marker="o", label=shown)
    left.set_xticks(range(len(ks)), [str(k) for k in ks])
    left.set_ylim(0, 100)
    left.set_xlabel("k")
    left.set_ylabel("%")
    left.grid(alpha=0.3)
    left.legend()
    values = [100 * (group[f"recall@{at}"] or 0) for _, group in groups]
    names = [f"{name} ({group['questions']})" for name, group in groups]
    bars = right.barh(names, values)
    right.bar_label(bars, fmt="%.1f", padding=3)
    right.set_xlim(0, 110)
    right.set_xlabel(f"recall@{at}, %")
    figure.savefig(path, dpi=120)
