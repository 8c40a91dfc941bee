"""Charts are images, and a missing matplotlib is said."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentmem.errors import InvalidInputError, UnsupportedError
from agentmem.evaluation import Collection, Labelled, Question, chart, evaluate

if TYPE_CHECKING:
    from agentmem import Memory


@pytest.fixture
def summary(memory: Memory) -> dict[str, Any]:
    scope = {"user_id": "alice"}
    talk = [Labelled("m1", {"content": "plays the cello", **scope})]
    asked = [Question("who plays the cello?", frozenset({"m1"}), scope, "music")]
    return evaluate(memory, [Collection("alice", talk, asked)]).summary((1, 5))


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="the extra 'chart' is not installed"
)
def test_a_chart_is_an_image(summary: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "recall.png"
    chart.draw(summary, (1, 5), 5, "title", path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    chart.draw(summary, (1, 5), 5, "title", tmp_path / "recall.svg")
    assert b"<svg" in (tmp_path / "recall.svg").read_bytes()


def test_without_matplotlib_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"pip install 'agentmem\[chart\]'"):
        chart.require_chart(tmp_path / "recall.png")


@pytest.mark.parametrize(
    ("name", "reason"), [("recall.txt", "must end in"), ("nowhere/recall.png", "no folder")]
)
def test_a_place_that_cannot_hold_it_is_named(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart, "find_spec", lambda name: object())
    with pytest.raises(InvalidInputError, match=reason):
        chart.require_chart(tmp_path / name)
