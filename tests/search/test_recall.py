"""Recall on LoCoMo's development conversations, where they are on this machine.

One memory per turn, the conversation as user and its session as run; recall@k is the share of a
question's evidence turns among the first k, averaged over the questions of categories 1 to 4
that have evidence.  Held-out conversations exist, so nothing may be tuned to these five.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agentmem import Memory

DATA = Path(os.environ.get("AGENTMEM_EVAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILE = DATA / "locomo-dev5.json"

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason=f"no {FILE}; set AGENTMEM_EVAL_DATA to the folder that has it"
)


def turns_of(sample: dict[str, Any]) -> list[dict[str, Any]]:
    talk = sample["conversation"]
    sessions = sorted(
        (name for name in talk if re.fullmatch(r"session_\d+", name)), key=lambda s: int(s[8:])
    )
    items = []
    for name in sessions:
        for turn in talk[name]:
            text = f"{turn['speaker']}: {turn.get('text', '')}"
            if turn.get("blip_caption"):
                text += f" [shared image: {turn['blip_caption']}]"
            items.append({"content": text, "run_id": name, "metadata": {"dia_id": turn["dia_id"]}})
    return items


def questions_of(sample: dict[str, Any], known: set[str]) -> list[tuple[str, set[str]]]:
    """Questions with their evidence; a few ids are malformed and dropped."""
    asked = []
    for question in sample["qa"]:
        named = " ".join(question.get("evidence", [])).replace(";", " ").split()
        evidence = known.intersection(named)
        if question["category"] != 5 and evidence:
            asked.append((question["question"], evidence))
    return asked


def recalls(memory: Memory, mode: Any, ks: tuple[int, ...]) -> dict[int, float]:
    """Recall in percent at each k, over all five conversations."""
    found: dict[int, list[float]] = {k: [] for k in ks}
    for sample in json.loads(FILE.read_text("utf-8")):
        user = sample["sample_id"]
        known = {turn["metadata"]["dia_id"] for turn in turns_of(sample)}
        asked = questions_of(sample, known)
        answers = memory.search_batch(
            [text for text, _ in asked], user_id=user, mode=mode, top_k=max(ks)
        )
        for (_, evidence), answer in zip(asked, answers, strict=True):
            ids = [item["metadata"]["dia_id"] for item in answer["results"]]
            for k in ks:
                found[k].append(len(evidence.intersection(ids[:k])) / len(evidence))
    return {k: 100 * sum(values) / len(values) for k, values in found.items()}


def fill(memory: Memory) -> None:
    for sample in json.loads(FILE.read_text("utf-8")):
        memory.add_batch(turns_of(sample), user_id=sample["sample_id"])


@pytest.mark.slow
def test_hybrid_recall_with_minilm(tmp_path: Path) -> None:
    from agentmem import Memory

    with Memory(tmp_path / "store", embedder="minilm") as memory:
        fill(memory)
        hybrid = recalls(memory, "hybrid", (5, 10, 20))
        assert hybrid[10] >= 66
        # Each half alone finds less than both.
        assert recalls(memory, "dense", (10,))[10] < recalls(memory, "keyword", (10,))[10]
        assert recalls(memory, "keyword", (10,))[10] < hybrid[10]


def test_hybrid_recall_with_the_static_table(memory: Memory) -> None:
    fill(memory)
    assert recalls(memory, "hybrid", (10,))[10] >= 64
