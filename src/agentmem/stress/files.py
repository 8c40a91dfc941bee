"""The files that a report is written to: data, or plots."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from agentmem.errors import InvalidInputError, UnsupportedError

if TYPE_CHECKING:
    from agentmem.stress.report import Report

__all__ = ["require_writable", "write"]

_DATA = ".json"
_DRAWN = (".html", ".png", ".svg")


def require_writable(path: Path) -> None:
    """Find out before the run whether ``write`` will be able to do it.

    Raises:
        InvalidInputError: a name or folder that cannot be.
        UnsupportedError: plots are asked for, and matplotlib is not installed.
    """
    kind = path.suffix.lower()
    if kind not in (_DATA, *_DRAWN):
        raise InvalidInputError(f"the report {str(path)!r} must end in .json, .html, .png or .svg")
    if not path.parent.is_dir():
        raise InvalidInputError(f"there is no folder {str(path.parent)!r} for the report")
    if kind in _DRAWN and find_spec("matplotlib") is None:
        raise UnsupportedError(
            "drawing a report needs matplotlib, which is not installed;"
            " install it with: pip install 'agentmem[chart]'"
        )


def write(report: Report, path: Path) -> None:
    """Write what the name's ending asks for.

    Raises:
        UnsupportedError, InvalidInputError: as ``require_writable``.
        OSError: the file cannot be written.
    """
    require_writable(path)
    if path.suffix.lower() == _DATA:
        report.save(path)
    else:
        from agentmem.stress.chart import draw

        draw(report, path)
