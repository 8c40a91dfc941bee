"""Recall: on the conversation in ``examples/`` always, on public data where it is at hand.

LoCoMo: one memory per turn, the conversation as user, its session as run; recall@k is the share
of a question's evidence turns among the first k, averaged over the questions of categories 1 to 4
that have evidence.  LongMemEval-S: one memory per turn, a session ranks as its best turn.
Held-out conversations exist, so nothing may be tuned to these; ``docs/ranking.md`` has the
figures, and the floors here lie a little below them.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from agentmem import Memory

DATA = Path(os.environ.get("AGENTMEM_EVAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILE = DATA / "locomo-dev5.json"
LONG = DATA / "longmemeval-s-dev40.jsonl.gz"
OWN = Path(__file__).parents[2] / "examples" / "conversation.json"

has_locomo = pytest.mark.skipif(
    not FILE.is_file(), reason=f"no {FILE}; set AGENTMEM_EVAL_DATA to the folder that has it"
)
has_long = pytest.mark.skipif(
    not LONG.is_file(), reason=f"no {LONG}; set AGENTMEM_EVAL_DATA to the folder that has it"
)


# -- the project's own conversation: 15 sessions, 196 turns, 14 questions


def own_recall(memory: Memory, k: int, **settings: Any) -> float:
    talk = json.loads(OWN.read_text("utf-8"))
    user = talk["user_id"]
    if not memory.count(user_id=user):
        for session in talk["sessions"]:
            items = [
                {
                    "content": turn["content"],
                    "role": turn["role"],
                    "actor_id": turn["name"],
                    "metadata": {"turn": i},
                }
                for i, turn in enumerate(session["turns"])
            ]
            run = session["run_id"]
            memory.add_batch(items, user_id=user, run_id=run, timestamp=session["date"])
    found = []
    for asked in talk["questions"]:
        evidence = {(run, turn) for run, turn in asked["evidence"]}
        hits = memory.search(asked["question"], user_id=user, top_k=k, **settings)["results"]
        places = {(hit["run_id"], hit["metadata"]["turn"]) for hit in hits}
        found.append(len(evidence & places) / len(evidence))
    return 100 * sum(found) / len(found)


def test_recall_on_our_own_conversation(memory: Memory) -> None:
    assert own_recall(memory, 10) >= 79
    # The conversation around a turn counts.
    assert own_recall(memory, 10) > own_recall(memory, 10, mode="dense")
    assert own_recall(memory, 10) > own_recall(memory, 10, mode="keyword")


# -- LoCoMo


def turns_of(sample: dict[str, Any]) -> list[dict[str, Any]]:
    talk = sample["conversation"]
    sessions = sorted(
        (name for name in talk if re.fullmatch(r"session_\d+", name)), key=lambda s: int(s[8:])
    )
    items = []
    for name in sessions:
        when = datetime.strptime(talk[f"{name}_date_time"], "%I:%M %p on %d %B, %Y")
        for turn in talk[name]:
            text = f"{turn['speaker']}: {turn.get('text', '')}"
            if turn.get("blip_caption"):
                text += f" [shared image: {turn['blip_caption']}]"
            items.append(
                {
                    "content": text,
                    "run_id": name,
                    "actor_id": turn["speaker"],
                    "timestamp": when.replace(tzinfo=UTC),
                    "metadata": {"dia_id": turn["dia_id"]},
                }
            )
    return items


def questions_of(sample: dict[str, Any]) -> list[tuple[str, int, set[str]]]:
    """Questions with their category and evidence; a few ids are malformed and dropped."""
    known = {turn["metadata"]["dia_id"] for turn in turns_of(sample)}
    asked = []
    for question in sample["qa"]:
        named = " ".join(question.get("evidence", [])).replace(";", " ").split()
        asked.append((question["question"], question["category"], known.intersection(named)))
    return asked


def recalls(memory: Memory, mode: Any) -> dict[int, float]:
    """Recall@10 in percent: of each category, and as 0 of all four."""
    found: dict[int, list[float]] = {category: [] for category in range(5)}
    for sample in json.loads(FILE.read_text("utf-8")):
        asked = [(q, c, e) for q, c, e in questions_of(sample) if c != 5 and e]
        answers = memory.search_batch(
            [text for text, _, _ in asked], user_id=sample["sample_id"], mode=mode
        )
        for (_, category, evidence), answer in zip(asked, answers, strict=True):
            ids = {item["metadata"]["dia_id"] for item in answer["results"]}
            for kind in (0, category):
                found[kind].append(len(evidence & ids) / len(evidence))
    return {kind: 100 * sum(values) / len(values) for kind, values in found.items()}


def abstention(memory: Memory) -> float:
    """How well ``support`` tells questions that the conversation answers from those of category
    5, which ask one speaker for what the other said: area under the ROC curve."""
    sides: tuple[list[float], list[float]] = ([], [])
    for sample in json.loads(FILE.read_text("utf-8")):
        asked = questions_of(sample)
        answers = memory.search_batch(
            [text for text, _, _ in asked], user_id=sample["sample_id"], support=True
        )
        for (_, category, _), answer in zip(asked, answers, strict=True):
            sides[category == 5].append(answer["support"])
    answered, not_answered = (np.array(side) for side in sides)
    apart = answered[:, None] - not_answered[None, :]
    return float(np.mean((apart > 0) + 0.5 * (apart == 0)))


def fill(memory: Memory) -> None:
    for sample in json.loads(FILE.read_text("utf-8")):
        memory.add_batch(turns_of(sample), user_id=sample["sample_id"])


@has_locomo
@pytest.mark.slow
def test_locomo_with_minilm(tmp_path: Path) -> None:
    from agentmem import Memory

    with Memory(tmp_path / "store", embedder="minilm") as memory:
        fill(memory)
        hybrid = recalls(memory, "hybrid")
        assert hybrid[0] >= 81.1
        assert hybrid[1] >= 49.6
        assert abstention(memory) >= 0.745
        # Each half alone finds less than both.
        keyword = recalls(memory, "keyword")[0]
        assert recalls(memory, "dense")[0] < keyword < hybrid[0]


@has_locomo
def test_locomo_with_the_static_table(memory: Memory) -> None:
    fill(memory)
    assert recalls(memory, "hybrid")[0] >= 79.9
    assert abstention(memory) >= 0.79


@has_long
@pytest.mark.slow
def test_longmemeval_with_the_static_table(memory: Memory) -> None:
    any_found, all_found = [], []
    with gzip.open(LONG, "rt", encoding="utf-8") as lines:
        for line in lines:
            asked = json.loads(line)
            user = asked["question_id"]
            sessions = zip(
                asked["haystack_session_ids"],
                asked["haystack_dates"],
                asked["haystack_sessions"],
                strict=True,
            )
            items = [
                {
                    "content": turn["content"],
                    "role": turn["role"],
                    "run_id": run,
                    "timestamp": datetime.strptime(
                        re.sub(r" \(\w+\)", "", date), "%Y/%m/%d %H:%M"
                    ).replace(tzinfo=UTC),
                }
                for run, date, turns in sessions
                for turn in turns
                if turn["content"].strip()  # a few turns say nothing
            ]
            memory.add_batch(items, user_id=user)
            hits = memory.search(asked["question"], user_id=user, top_k=1000)["results"]
            best = set(list(dict.fromkeys(hit["run_id"] for hit in hits))[:5])
            evidence = set(asked["answer_session_ids"])
            any_found.append(bool(best & evidence))
            all_found.append(evidence <= best)
    assert np.mean(any_found) >= 0.97
    assert np.mean(all_found) >= 0.92
