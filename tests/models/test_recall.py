"""Integers and the static table find what single precision finds, on LoCoMo's evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem.types import ModelFiles

TOP = 10


class Conversation:
    """Turns, questions and the rows of each question's evidence."""

    def __init__(self, sample: dict[str, Any]) -> None:
        turns = [
            turn
            for name, session in sample["conversation"].items()
            if re.fullmatch(r"session_\d+", name)
            for turn in session
        ]
        rows = {turn["dia_id"]: i for i, turn in enumerate(turns)}
        self.texts = [self.text(turn) for turn in turns]
        self.questions: list[str] = []
        self.evidence: list[set[int]] = []
        for question in sample["qa"]:
            named = re.split(r"[ ;]+", " ".join(question["evidence"]))
            found = {rows[name] for name in named if name in rows}
            if question["category"] in (1, 2, 3, 4) and found:
                self.questions.append(question["question"])
                self.evidence.append(found)

    @staticmethod
    def text(turn: dict[str, str]) -> str:
        caption = turn.get("blip_caption")
        shared = f" [shared image: {caption}]" if caption else ""
        return f"{turn['speaker']}: {turn['text']}{shared}"

    def recalls(self, model: Any) -> list[float]:
        scores = model.embed(self.questions) @ model.embed(self.texts).T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        return [
            len(wanted & set(row.tolist())) / len(wanted)
            for wanted, row in zip(self.evidence, best, strict=True)
        ]


@pytest.mark.slow
def test_recall_stays_within_two_points(
    eval_data: Path,
    load: Callable[..., Any],
    fp32: ModelFiles,
    minilm: ModelFiles,
    static: ModelFiles,
) -> None:
    samples = json.loads((eval_data / "locomo-dev5.json").read_text(encoding="utf-8"))
    conversations = [Conversation(sample) for sample in samples[:2]]
    recall = {}
    for files in (fp32, minilm, static):
        model = load(files)
        recall[files.name] = 100 * np.mean([r for c in conversations for r in c.recalls(model)])
    assert recall["minilm"] >= recall["minilm-fp32"] - 2
    assert recall["static"] >= recall["minilm-fp32"] - 2
    assert recall["minilm-fp32"] > 40  # else the harness itself is broken
