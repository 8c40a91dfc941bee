"""What ``ci/compare`` takes.  Needs only Python itself: help and mistakes are told before anything
is installed."""

from __future__ import annotations

import argparse
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from compare.contenders import CONTENDERS

__all__ = ["options_of"]

PARTS_OF_RUN = ("texts", "stores", "recall")
_ABOUT = """Run the comparison and write what it found.

    ci/compare [options], or in an environment with everything installed:
    PYTHONPATH=asv_benchmarks python -m compare [options]

Figures are kept in results.json beside this file, part by part: a part that is not run stays as it
was.  Not kept is what is timed with --only, because ratios need all contenders in turns, and what
is judged with --limit.
From them come the section of docs/performance.md, its picture, and rows of the README.
"""


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ci/compare", description=_ABOUT, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS_OF_RUN), help="of the run: %(default)s")
    parser.add_argument("--only", default="", help="these contenders, separated by commas")
    parser.add_argument("--rounds", type=int, default=5, help="of texts (default %(default)s)")
    parser.add_argument("--store-rounds", type=int, default=3, help="default %(default)s")
    parser.add_argument("--stored", type=int, default=1000, help="texts stored before timing")
    parser.add_argument("--rows", type=int, default=5000, help="vectors stored before timing")
    parser.add_argument("--sentences", type=int, default=1, help="of a text (default %(default)s)")
    parser.add_argument("--locomo", metavar="FILE", help="LoCoMo's questions")
    parser.add_argument("--longmemeval", metavar="FILE", help="LongMemEval's (tens of minutes)")
    parser.add_argument("--limit", type=int, help="only the first so many of a FILE")
    parser.add_argument("--machine", default=machine(), help='in words (default "%(default)s")')
    parser.add_argument("--render", action="store_true", help="run nothing, only write the pages")
    parser.add_argument("--dry", action="store_true", help="write nothing, only print")
    options = parser.parse_args(arguments)
    options.parts = options.parts.split(",")
    if unknown := set(options.parts) - set(PARTS_OF_RUN):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options.some = bool(options.only)
    options.only = options.only.split(",") if options.only else list(CONTENDERS)
    if unknown := set(options.only) - set(CONTENDERS):
        parser.error(f"no such contender: {', '.join(sorted(unknown))}")
    return options


def machine() -> str:
    """Cores, processor and memory, as far as the system tells."""
    known = Path("/proc/cpuinfo")
    text = known.read_text("utf-8") if known.exists() else ""
    model = re.search(r"^model name\s*: (.+)$", text, flags=re.MULTILINE)
    said = f"{os.cpu_count()} cores of {model[1] if model else platform.machine()}"
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        said += f", {size / 2**30:.0f} GB"
    return f"{said}, {platform.system()}"
