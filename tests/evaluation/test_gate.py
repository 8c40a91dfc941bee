"""Recall must not fall: gates on the conversation that this project ships.

Its 14 questions are few, so each gate leaves room for one answer more or less; what is tuned is
judged on the large sets (docs/evaluation.md).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import agentmem.cli
from agentmem.cli.formats import ReadOptions, Source, read
from agentmem.evaluation import Collection, Labelled, Question, evaluate

if TYPE_CHECKING:
    from agentmem.types import SearchMode

CONVERSATION = Path(agentmem.cli.__file__).parent / "data" / "conversation.json"
KS = (1, 5, 10)


@pytest.fixture(scope="module")
def conversation() -> Collection:
    """Turns labelled by session and number, questions by the turns that answer them."""
    content = json.loads(CONVERSATION.read_text("utf-8"))
    items = [e.item for e in read(Source(str(CONVERSATION)), "chat", ReadOptions()) if e.item]
    memories = [Labelled(f"{i['run_id']}:{i['metadata']['turn']}", i) for i in items]
    questions = [
        Question(
            entry["question"],
            frozenset(f"{run}:{turn}" for run, turn in entry["evidence"]),
            {"user_id": content["user_id"]},
        )
        for entry in content["questions"]
    ]
    return Collection("ruth", memories, questions)


def recalls(path: Path, conversation: Collection, embedder: str) -> dict[str, dict[str, float]]:
    """By mode, the overall figures."""
    from agentmem import Memory

    modes: tuple[SearchMode, ...] = ("hybrid", "dense", "keyword")
    with Memory(path, embedder=embedder) as memory:
        # The second and third store nothing: the turns have keys.
        return {m: evaluate(memory, [conversation], mode=m).summary(KS)["overall"] for m in modes}


def test_recall_with_the_static_table(store_path: Path, conversation: Collection) -> None:
    found = recalls(store_path, conversation, "static")
    assert found["hybrid"]["recall@10"] >= 0.72
    assert found["hybrid"]["mrr"] >= 0.66
    # Each half alone finds less than both.
    assert found["hybrid"]["recall@10"] > max(
        found["dense"]["recall@10"], found["keyword"]["recall@10"]
    )


def test_recall_with_minilm(store_path: Path, conversation: Collection) -> None:
    found = recalls(store_path, conversation, "minilm")
    assert found["hybrid"]["recall@5"] >= 0.80
    assert found["hybrid"]["recall@10"] >= 0.87
    assert found["hybrid"]["mrr"] >= 0.70
    assert found["hybrid"]["recall@10"] > max(
        found["dense"]["recall@10"], found["keyword"]["recall@10"]
    )
