"""Verification finds every kind of difference, and only those."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def table_of(store_path: Path) -> Any:
    import lancedb

    db = lancedb.connect(str(store_path / "vectors.lance"))
    return db.open_table(db.list_tables().tables[0])


@pytest.fixture
def drained(author: Any, lance: Any) -> list[int]:
    keys = author.add(40)
    lance.drain()
    assert lance.verify() == []
    return keys


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("content", "forged"),
        ("seq", 1),
        ("id", b"0" * 16),
        ("content_hash", b"0" * 16),
        ("user_id", None),
        ("level_number", 3),
        ("importance", 0.5),
        ("vector", [0.5] * 16),
    ],
)
def test_a_changed_value_is_found(
    lance: Any, drained: list[int], store_path: Path, column: str, value: Any
) -> None:
    table_of(store_path).update(where=f"key = {drained[3]}", values={column: value})
    assert lance.verify() == [f"memory {drained[3]} has another {column} in the table"]
    lance.rebuild()
    assert lance.verify() == []


def test_missing_and_additional_rows_are_found(
    author: Any, lance: Any, drained: list[int], store_path: Path
) -> None:
    table = table_of(store_path)
    rows = table.to_arrow()
    table.delete(f"key = {drained[0]}")
    table.add(rows.slice(1, 1))
    stranger = rows.slice(2, 1)
    table.add(stranger.set_column(0, "key", np.array([[10_000]]).tolist()))
    found = lance.verify()
    assert f"memory {drained[0]} is not in the table" in found
    assert f"memory {drained[1]} is in the table more than once" in found
    assert "memory 10000 is in the table and not in SQLite" in found
    author.add(1)
    lance.drain()
    assert lance.verify() == []


def test_many_differences_are_counted(lance: Any, drained: list[int], store_path: Path) -> None:
    table_of(store_path).update(where="key > 0", values={"content": "forged"})
    found = lance.verify()
    assert len(found) == 21
    assert found[-1] == "20 more differences"


def test_what_the_table_has_not_reached_is_no_difference(
    author: Any, lance: Any, drained: list[int]
) -> None:
    author.update(drained[:5], "later")
    author.delete(drained[5:10])
    author.add(3)
    assert lance.verify() == []


def test_a_table_of_another_life_is_behind_and_one_ahead_of_its_own_is_a_problem(
    lance: Any, drained: list[int], store_path: Path
) -> None:
    path = store_path / "vectors.lance" / "watermark.json"
    mark = json.loads(path.read_text())
    for changes in ({"epoch": "0" * 32}, {"model_id": "another"}):
        path.write_text(json.dumps({**mark, **changes, "seq": 99}))
        assert lance.verify() == []
        lance.drain()
        assert json.loads(path.read_text())["epoch"] == mark["epoch"]
        assert lance.verify() == []
    path.write_text(json.dumps({**mark, "seq": 99}))
    assert lance.verify() == [f"{path.parent} is at event 99, and the store has only 40"]
