"""The real evaluation files, where they lie beside the repository."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from agentmem.cli.formats import Entry, ReadOptions, Source, read
from agentmem.cli.formats.detect import detect

DATA = Path(__file__).parents[4] / "shared" / "data"


def entries(name: str) -> tuple[str, list[Entry]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no evaluation data beside the repository ({name})")
    source = Source(str(path))
    layout = detect(source)
    return layout, list(read(source, layout, ReadOptions()))


def test_all_turns_of_locomo_are_read() -> None:
    layout, found = entries("locomo-dev5.json")
    assert layout == "locomo"
    users = Counter(entry.item["user_id"] for entry in found if entry.item)
    assert users == {
        "conv-26": 419, "conv-30": 369, "conv-41": 663, "conv-42": 629, "conv-43": 680
    }  # fmt: skip
    keys = {(e.item["user_id"], e.item["idempotency_key"]) for e in found if e.item}
    assert len(keys) == 2760


def test_all_turns_of_longmemeval_are_read() -> None:
    layout, found = entries("longmemeval-s-dev40.jsonl.gz")
    assert layout == "longmemeval"
    full = [entry.item for entry in found if entry.item]
    assert (len(found), len(full)) == (19990, 19986)
    assert len({item["user_id"] for item in full}) == 40
    assert len({(i["user_id"], i["run_id"], i["idempotency_key"]) for i in full}) == 19986
