"""Charts are images, and a missing matplotlib is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import agentmem
from agentmem.errors import InvalidInputError
from agentmem.evaluation import Collection, Labelled, Question, chart, evaluate

if TYPE_CHECKING:
    from agentmem import Memory


@pytest.fixture
def summary(memory: Memory) -> dict[str, Any]:
    scope = {"user_id": "alice"}
    talk = [Labelled("m1", {"content": "plays the cello", **scope})]
    asked = [Question("who plays the cello?", frozenset({"m1"}), scope, "music")]
    return evaluate(memory, [Collection("alice", talk, asked)]).summary((1, 5))


def test_a_chart_is_an_image(summary: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "recall.png"
    chart.draw(summary, (1, 5), 5, "title", path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    chart.draw(summary, (1, 5), 5, "title", tmp_path / "recall.svg")
    assert b"<svg" in (tmp_path / "recall.svg").read_bytes()


def test_without_matplotlib_the_remedy_is_named(tmp_path: Path) -> None:
    """In an interpreter that sees the package and nothing else that is installed."""
    seen = tmp_path / "seen"
    seen.mkdir()
    (seen / "agentmem").symlink_to(Path(agentmem.__file__).parent)
    program = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from pathlib import Path\n"
        "from agentmem.evaluation.chart import require_chart\n"
        "require_chart(Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-S", "-c", program, str(seen), str(tmp_path / "recall.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "UnsupportedError" in done.stderr
    assert "pip install 'agentmem[chart]'" in done.stderr


@pytest.mark.parametrize(
    ("name", "reason"), [("recall.txt", "must end in"), ("nowhere/recall.png", "no folder")]
)
def test_a_place_that_cannot_hold_it_is_named(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        chart.require_chart(tmp_path / name)
