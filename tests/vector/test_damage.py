"""Whatever happens to the table, the next drain makes it equal to SQLite again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import StoreCorruptError, StoreError

CONFTEST = str(Path(__file__).with_name("conftest.py"))


def remove_everything(folder: Path) -> None:
    shutil.rmtree(folder)


def remove_table(folder: Path) -> None:
    shutil.rmtree(next(folder.glob("*.lance")))


def remove_watermark(folder: Path) -> None:
    (folder / "watermark.json").unlink()


def garble_watermark(folder: Path) -> None:
    (folder / "watermark.json").write_bytes(b'{"seq": 30')


def foreign_watermark(folder: Path) -> None:
    (folder / "watermark.json").write_text('{"seq": "30", "other": 1}')


def file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


def remove_manifests(folder: Path) -> None:
    for path in folder.glob("*.lance/_versions/*"):
        path.unlink()


def garble_manifests(folder: Path) -> None:
    for path in folder.glob("*.lance/_versions/*.manifest"):
        path.write_bytes(os.urandom(path.stat().st_size))


def remove_data(folder: Path) -> None:
    for path in folder.glob("*.lance/data/*"):
        path.unlink()


def cut_data(folder: Path) -> None:
    for path in folder.glob("*.lance/data/*"):
        os.truncate(path, 20)


def garble_data(folder: Path) -> None:
    for path in folder.glob("*.lance/data/*"):
        path.write_bytes(os.urandom(path.stat().st_size))


def other_columns(folder: Path) -> None:
    import lancedb

    (path,) = folder.glob("*.lance")
    db = lancedb.connect(str(folder))
    for _ in range(9):
        db.create_table(path.stem, [{"key": 1, "name": "someone else's"}], mode="overwrite")


DAMAGE = [
    remove_everything,
    remove_table,
    remove_watermark,
    garble_watermark,
    foreign_watermark,
    file_instead,
    remove_manifests,
    garble_manifests,
    remove_data,
    cut_data,
    garble_data,
    other_columns,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_table_is_told_and_heals_with_the_next_write(
    author: Any, filled: Any, folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    if damage is not remove_everything:
        assert filled.verify() != []
    author.update(author.add(5), "after the damage")
    author.assert_whole(filled)
    assert filled.seq == 40


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_table_heals_by_rebuilding(
    author: Any, filled: Any, folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    assert filled.rebuild() == 30
    assert filled.verify() == []
    assert len(list(folder.glob("*.lance"))) == 1


@pytest.mark.parametrize(
    "damage", [remove_everything, remove_table, remove_watermark, garble_watermark, file_instead]
)
def test_a_missing_table_heals_without_a_write(
    author: Any, filled: Any, folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    assert filled.seq == 0
    author.assert_whole(filled)


@pytest.mark.parametrize("damage", [remove_everything, remove_table, remove_data])
def test_a_table_that_vanishes_while_it_is_drained(
    author: Any, lance: Any, folder: Path, damage: Callable[[Path], None]
) -> None:
    author.add(50)
    done: list[int] = []

    def progress(*_: int) -> None:
        if not done:
            damage(folder)
        done.append(1)

    assert lance.drain(progress=progress) == 50
    assert lance.verify() == []


def test_a_table_that_cannot_be_made_is_an_error_that_says_why(
    author: Any, store_path: Path
) -> None:
    author.add(3)
    (store_path / "obstacle").write_text("")
    lance = author.projection(uri=str(store_path / "obstacle" / "db"))
    with pytest.raises(StoreError, match="obstacle"):
        lance.drain()
    (store_path / "obstacle").unlink()
    author.assert_whole(lance)


# -- other lives


def test_a_table_of_another_life_is_rebuilt(author: Any, filled: Any) -> None:
    author.store.reset()
    author.assert_whole(filled)
    author.add(5)
    author.assert_whole(filled)


def test_a_reset_while_draining(author: Any, lance: Any, folder: Path) -> None:
    author.add(50)
    done: list[int] = []

    def progress(*_: int) -> None:
        if not done:
            author.store.reset()
            author.add(7)
        done.append(1)

    lance.drain(progress=progress)
    assert lance.verify() == []
    author.assert_whole(lance)
    assert len(list(folder.glob("*.lance"))) == 1


def test_a_foreign_table_is_rebuilt(author: Any, filled: Any, folder: Path, tmp_path: Path) -> None:
    other = type(author)(tmp_path / "other")
    try:
        other.add(40)
        other.projection().drain()
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "other" / "vectors.lance", folder)
        assert (
            filled.verify() == []
        )  # it has nothing of this store, and the next drain makes it anew
        author.assert_whole(filled)
        assert len(list(folder.glob("*.lance"))) == 1
    finally:
        other.close()


def test_another_address_is_another_table(author: Any, filled: Any, store_path: Path) -> None:
    author.close()
    again = type(author)(store_path)
    try:
        moved = again.projection(uri=str(store_path / "elsewhere"))
        assert moved.seq == 0
        again.add(1)
        again.assert_whole(moved)
        back = again.projection()
        assert back.seq == 30  # its watermark lies in its own folder
        again.assert_whole(back)
    finally:
        again.close()


def test_a_watermark_of_the_future_is_not_believed(author: Any, filled: Any, folder: Path) -> None:
    path = folder / "watermark.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seq": 1_000_000}))
    assert filled.verify() != []
    author.assert_whole(filled)


def test_a_repeated_loss_is_an_error_and_not_a_loop(author: Any, lance: Any, folder: Path) -> None:
    author.add(50)
    with pytest.raises(StoreCorruptError, match="check --repair"):
        lance.drain(progress=lambda *_: remove_data(folder))
    author.assert_whole(lance)
