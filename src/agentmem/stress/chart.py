"""Plots of a run, drawn with matplotlib (the extra ``chart``), alone or in an HTML page."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.stress.monitor import HIT_RATES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agentmem.stress.report import Report

__all__ = ["draw", "timeline"]

_MIB = 1 << 20
_TIMES = ("mean", "p50", "p90", "p95", "p99", "p99_9", "max")


def draw(report: Report, path: Path) -> None:
    """Write the plots; an ``.html`` file also has the tables and the report itself.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
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

    samples, starts = timeline(report)
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


def timeline(report: Report) -> tuple[list[dict[str, Any]], list[tuple[float, str]]]:
    """The samples of all phases one after the other, each with the second ``at`` which it is
    drawn; and where each phase begins.  0 is where the first one's warm-up ends."""
    warm_up = report.plan["warm_up"]
    samples: list[dict[str, Any]] = []
    starts: list[tuple[float, str]] = []
    begin = -warm_up
    for phase in report.phases:
        starts.append((begin, phase.name))
        warm = begin + warm_up
        samples += [{**one, "at": warm + one["second"]} for one in phase.samples]
        begin = samples[-1]["at"] if samples else begin
    return samples, starts


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
    _lines(axes, at, samples, {"processors": "processors busy", **HIT_RATES})


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
