"""Plots of a run, drawn with matplotlib (the extra ``chart``), alone or in an HTML page."""

from __future__ import annotations

import base64
import html
import io
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import InvalidInputError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agentmem.stress.report import Report

__all__ = ["draw", "require_drawable"]

_MIB = 1 << 20
_TIMES = ("mean", "p50", "p90", "p95", "p99", "p99_9", "max")


def require_drawable(path: Path) -> None:
    """Find out before the run whether ``draw`` will be able to write there.

    Raises:
        UnsupportedError: matplotlib is not installed.
        InvalidInputError: a name or folder that cannot be.
    """
    if path.suffix.lower() not in (".html", ".png", ".svg"):
        raise InvalidInputError(f"the report {str(path)!r} must end in .json, .html, .png or .svg")
    if not path.parent.is_dir():
        raise InvalidInputError(f"there is no folder {str(path.parent)!r} for the report")
    if find_spec("matplotlib") is None:
        raise UnsupportedError(
            "drawing a report needs matplotlib, which is not installed;"
            " install it with: pip install 'agentmem[chart]'"
        )


def draw(report: Report, path: Path) -> None:
    """Write the plots; an ``.html`` file also has the tables and the report itself.

    Raises:
        UnsupportedError, InvalidInputError: as ``require_drawable``.
        OSError: the file cannot be written.
    """
    require_drawable(path)
    figure = _figure(report)
    if path.suffix.lower() != ".html":
        figure.savefig(path, dpi=110)
        return
    image = io.BytesIO()
    figure.savefig(image, dpi=110, format="png")
    path.write_text(_page(report, base64.b64encode(image.getvalue()).decode()), "utf-8")


def _figure(report: Report) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    samples: list[dict[str, Any]] = []
    starts: list[tuple[float, str]] = []
    for phase in report.phases:
        first = phase.samples[0]["second"] if phase.samples else 0.0
        begin = samples[-1]["at"] + 1 if samples else min(0.0, first)
        starts.append((begin, phase.name))
        samples += [{**one, "at": begin + one["second"] - first} for one in phase.samples]
    figure = Figure(figsize=(13, 11), layout="constrained")
    FigureCanvasAgg(figure)
    plan = report.plan
    figure.suptitle(
        f"{plan['scenario']}: {plan['workers']:,} {plan['kind']}, {plan['users']:,} users,"
        f" {plan['embedder']}"
    )
    at = [one["at"] for one in samples]
    for axes, panel in zip(figure.subplots(3, 2).flat, _PANELS, strict=True):
        panel(axes, at, samples)
        for begin, name in starts:
            axes.axvline(begin, color="grey", linewidth=0.8, linestyle=":")
            axes.annotate(name, (begin, 1), xycoords=("data", "axes fraction"), fontsize=7)
        axes.set_xlabel("seconds")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    return figure


def _lines(
    axes: Axes,
    at: Sequence[float],
    samples: Sequence[dict[str, Any]],
    names: dict[str, str],
    scale: float = 1.0,
) -> None:
    for name, label in names.items():
        if any(one[name] is not None for one in samples):
            values = [float("nan") if one[name] is None else one[name] * scale for one in samples]
            axes.plot(at, values, label=label)
    axes.set_ylim(bottom=0)


def _throughput(axes: Axes, at: Sequence[float], samples: Sequence[dict[str, Any]]) -> None:
    _lines(axes, at, samples, {"calls_per_second": "calls"})
    axes.set_ylabel("calls/s")


def _latency(axes: Axes, at: Sequence[float], samples: Sequence[dict[str, Any]]) -> None:
    for kind in ("reads", "writes"):
        for share in ("p50", "p99"):
            name = f"{kind}_{share}_ms"
            values = [one[name] or float("nan") for one in samples]
            if any(value == value for value in values):
                axes.plot(at, values, label=f"{kind} {share}")
    axes.set_yscale("log")
    axes.set_ylabel("ms")


def _memory(axes: Axes, at: Sequence[float], samples: Sequence[dict[str, Any]]) -> None:
    names = {"rss_bytes": "resident memory", "cache_bytes": "of it caches"}
    _lines(axes, at, samples, names, 1 / _MIB)
    axes.set_ylabel("MiB")


def _disk(axes: Axes, at: Sequence[float], samples: Sequence[dict[str, Any]]) -> None:
    names = {"wal_bytes": "WAL", "database_bytes": "database", "written_bytes": "written in all"}
    _lines(axes, at, samples, names, 1 / _MIB)
    axes.set_ylabel("MiB")


def _queues(axes: Axes, at: Sequence[float], samples: Sequence[dict[str, Any]]) -> None:
    names = {"queue": "write queue", "connections": "read connections", "behind": "behind"}
    _lines(axes, at, samples, names)
    axes.set_ylabel("calls")


def _shares(axes: Axes, at: Sequence[float], samples: Sequence[dict[str, Any]]) -> None:
    names = {
        "processors": "processors busy",
        "embeddings_hit": "embeddings known",
        "partitions_hit": "searched scopes loaded",
    }
    _lines(axes, at, samples, names)


_PANELS: tuple[Callable[[Axes, Sequence[float], Sequence[dict[str, Any]]], None], ...] = (
    _throughput,
    _latency,
    _memory,
    _disk,
    _queues,
    _shares,
)


def _page(report: Report, image: str) -> str:
    verdict = "every check held" if report.ok else "CHECKS WERE VIOLATED"
    parts = [
        "<!doctype html><meta charset='utf-8'><title>agentmem stress</title>",
        "<style>body{font:14px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:right}"
        "td:first-child,th:first-child{text-align:left}img{max-width:100%}</style>",
        f"<h1>agentmem stress {html.escape(report.plan['scenario'])}</h1>",
        f"<p>{html.escape(report.begun)}: {verdict},"
        f" {sum(report.checks['made'].values()):,} answers checked.</p>",
    ]
    parts += [f"<p>{html.escape(example)}</p>" for example in report.checks["examples"]]
    for phase in report.phases:
        parts.append(f"<h2>{html.escape(phase.name)}, {phase.per_second:,.0f} calls/s</h2><table>")
        heads = "".join(f"<th>{name.replace('_', '.')}, ms</th>" for name in _TIMES)
        parts.append(f"<tr><th>call</th><th>calls</th>{heads}<th>errors</th></tr>")
        for name, found in (*phase.operations.items(), ("all", phase.all)):
            cells = "".join(f"<td>{found[f'{key}_ms']:,.3f}</td>" for key in _TIMES)
            errors = html.escape(json.dumps(found["errors"])) if found["errors"] else "-"
            parts.append(
                f"<tr><td>{html.escape(name)}</td><td>{found['calls']:,}</td>{cells}"
                f"<td>{errors}</td></tr>"
            )
        parts.append("</table>")
    parts.append(f"<img alt='plots over time' src='data:image/png;base64,{image}'>")
    told = {
        **report.to_dict(),
        "phases": [
            {"name": one.name, "trends": one.trends, "stalls": one.stalls} for one in report.phases
        ],
    }
    parts.append(f"<pre>{html.escape(json.dumps(told, indent=1))}</pre>")
    return "\n".join(parts) + "\n"
