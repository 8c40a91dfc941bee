"""The questions of the real evaluation files, where they lie beside the repository."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from agentmem.cli.datasets import read
from agentmem.cli.formats import Source
from agentmem.evaluation import Collection

DATA = Path(os.environ.get("AGENTMEM_EVAL_DATA", Path(__file__).parents[3] / "shared" / "data"))


def collections(dataset: str, name: str, limit: int | None = None) -> list[Collection]:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"no {path}; set AGENTMEM_EVAL_DATA to the folder that has it")
    return list(read(Source(str(path)), dataset, limit))


def test_all_questions_of_locomo_are_read() -> None:
    found = collections("locomo", "locomo-dev5.json")
    assert sum(len(c.memories) for c in found) == 2760
    assert sum(c.left_out for c in found) == 2  # no evidence given
    questions = [question for c in found for question in c.questions]
    assert Counter(q.category for q in questions) == {
        "multi-hop": 142,
        "temporal": 156,
        "open-domain": 44,
        "single-hop": 418,
        "adversarial": 237,
    }
    assert all(bool(q.relevant) == (q.category != "adversarial") for q in questions)
    # "D8:6; D9:17" is two turns.
    assert any({"D8:6", "D9:17"} <= q.relevant for q in questions)


def test_all_questions_of_longmemeval_are_read() -> None:
    found = collections("longmemeval", "longmemeval-s-dev40.jsonl.gz", 5)
    assert [len(c.questions) for c in found] == [1] * 5
    for collection in found:
        sessions = {memory.label for memory in collection.memories}
        assert collection.questions[0].relevant <= sessions
        assert len(sessions) > 30
