"""``agentmem demo`` and ``agentmem models``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import agentmem.cli
from agentmem.cli.formats import ReadOptions, Source, read

CONVERSATION = Path(agentmem.cli.__file__).parent / "data" / "conversation.json"


def test_the_conversation_is_what_the_demo_says() -> None:
    content = json.loads(CONVERSATION.read_text("utf-8"))
    entries = list(read(Source(str(CONVERSATION)), "chat", ReadOptions()))
    turns = {(e.item["run_id"], e.item["metadata"]["turn"]) for e in entries if e.item}
    assert len(turns) == len(entries) >= 150
    assert len(content["questions"]) >= 12
    for question in content["questions"]:
        assert {tuple(place) for place in question["evidence"]} <= turns, question["question"]


def test_the_demo_finds_most_answers(run_json, environment) -> None:
    found = run_json("demo")
    assert found["memories"] >= 150
    assert len(found["questions"]) >= 12
    assert found["answered_in_5"] >= 0.5 * len(found["questions"])
    assert found["import_rate"] > 0
    assert all(answer["milliseconds"] > 0 for answer in found["questions"])
    assert not environment.exists()  # a temporary store, whatever AGENTMEM_STORE says


def test_the_demo_shows_a_page(run) -> None:
    shown = run("demo").stdout
    assert "model loaded in" in shown
    assert "turns stored in" in shown
    assert "among the first 5 for" in shown


def test_the_demo_can_fill_a_store_twice(run, run_json, tmp_path) -> None:
    for _ in range(2):
        run("demo", "--store", tmp_path / "demo", "--json")
    count = json.loads(run("--store", tmp_path / "demo", "count", "--all", "--json").stdout)
    assert count["count"] == run_json("demo")["memories"]


# -- models


def test_the_builtin_models_are_listed(run, run_json) -> None:
    listed = {model["name"]: model for model in run_json("models", "list")}
    assert list(listed) == ["minilm", "minilm-fp32", "static", "bge-small"]
    assert listed["static"]["dim"] == 256
    assert "calibrated" in run("models", "list").stdout


def test_a_model_is_pulled_verified_and_located(run, run_json) -> None:
    pulled = run_json("models", "pull", "static")
    place = run("models", "path", "static").stdout.strip()
    assert pulled == [{"name": "static", "path": place}]
    assert run("models", "verify", "static").stdout == "static: ok\n"
    assert any(model["name"] == "static" for model in run_json("models", "verify"))


@pytest.fixture
def own_copy(run, monkeypatch, tmp_path) -> Path:
    """A copy of the static model that may be damaged."""
    import shutil

    place = Path(run("models", "path", "static").stdout.strip())
    copy = tmp_path / "models" / "static"
    shutil.copytree(place, copy)
    monkeypatch.setenv("AGENTMEM_MODELS", str(copy.parent))
    return copy


def test_a_damaged_model_is_found(run, run_json, own_copy) -> None:
    assert run("models", "path", "static").stdout.strip() == str(own_copy)
    weights = max(own_copy.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert "damaged" in run("models", "verify", "static", code=1).stdout
    assert run_json("models", "verify", "static", code=1)[0]["ok"] is False


def test_a_model_that_is_not_here_cannot_be_verified(run, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("AGENTMEM_CACHE", str(tmp_path))
    monkeypatch.delenv("AGENTMEM_MODELS", raising=False)
    assert "models pull bge-small" in run("models", "verify", "bge-small", code=5).stderr
    assert "models pull bge-small" in run("models", "path", "bge-small", code=5).stderr


def test_offline_says_how_to_place_the_files(run, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("AGENTMEM_CACHE", str(tmp_path))
    monkeypatch.setenv("AGENTMEM_OFFLINE", "1")
    monkeypatch.delenv("AGENTMEM_MODELS", raising=False)
    message = run("models", "pull", "bge-small", code=5).stderr
    assert "AGENTMEM_OFFLINE" in message
    assert str(tmp_path) in message
