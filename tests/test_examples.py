"""The examples run, and what they ship is what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(script: str, folder: Path, *arguments: str) -> str:
    """What an example prints, run in ``folder`` against the installed package."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / script), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_quickstart_finds_what_it_stored(tmp_path: Path) -> None:
    lines = run("quickstart.py", tmp_path).splitlines()
    best = lines[lines.index("which city do I live in?") + 1]
    assert "I moved to Lisbon in March" in best


def test_the_agent_remembers_an_earlier_session(tmp_path: Path) -> None:
    first = run("agent_loop.py", tmp_path)
    assert "agent: Noted." in first
    assert "I recall that you said" in first
    assert "penicillin" in first.rsplit("you:", 1)[1]
    again = run("agent_loop.py", tmp_path)
    assert "I remember 0 messages" in first
    assert "I remember 0 messages" not in again


def test_batch_import_stores_every_turn_once(tmp_path: Path) -> None:
    turns = sum(len(s["turns"]) for s in conversation()["sessions"])
    first = run("batch_import.py", tmp_path)
    assert f"{turns} turns, {turns} of them new" in first
    second = run("batch_import.py", tmp_path)
    assert f"{turns} turns, 0 of them new" in second
    with Memory(tmp_path / "mem") as memory:
        assert memory.count(user_id="ruth") == turns


def conversation() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EXAMPLES / "conversation.json").read_text("utf-8"))
    return loaded


def test_the_conversation_is_a_long_one() -> None:
    sessions = conversation()["sessions"]
    dates = [datetime.fromisoformat(s["date"]) for s in sessions]
    assert len(sessions) >= 12
    assert sum(len(s["turns"]) for s in sessions) >= 150
    assert dates == sorted(dates)
    assert dates[-1] - dates[0] > timedelta(days=180)
    assert len({s["run_id"] for s in sessions}) == len(sessions)
    for turn in (turn for s in sessions for turn in s["turns"]):
        assert set(turn) == {"role", "name", "content"}
        assert turn["role"] in {"user", "assistant"}
        assert turn["content"] == turn["content"].strip() != ""


def test_every_question_names_turns_that_exist() -> None:
    turns = {s["run_id"]: s["turns"] for s in conversation()["sessions"]}
    questions = conversation()["questions"]
    assert len(questions) >= 12
    for question in questions:
        assert set(question) == {"question", "answer", "evidence"}
        assert question["evidence"]
        for run_id, index in question["evidence"]:
            assert 0 <= index < len(turns[run_id])


@pytest.mark.slow
def test_most_questions_are_answered_from_the_conversation(tmp_path: Path) -> None:
    """A first hit for most questions, and evidence among ten for all but one or two."""
    data = conversation()
    with Memory(tmp_path / "store", user_id=data["user_id"]) as memory:
        for session in data["sessions"]:
            begin = datetime.fromisoformat(session["date"])
            memory.add_batch(
                [
                    {
                        "content": turn["content"],
                        "role": turn["role"],
                        "timestamp": begin + timedelta(minutes=n),
                        "metadata": {"turn": n},
                    }
                    for n, turn in enumerate(session["turns"])
                ],
                run_id=session["run_id"],
            )
        ranks = []
        for question in data["questions"]:
            hits = memory.search(question["question"])["results"]
            found = [[hit["run_id"], hit["metadata"]["turn"]] for hit in hits]
            ranks.append([n for n, place in enumerate(found, 1) if place in question["evidence"]])
    assert sum(bool(r) for r in ranks) >= len(ranks) - 2, ranks
    assert sum(1 in r for r in ranks) >= len(ranks) // 2, ranks
