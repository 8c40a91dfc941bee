"""Where a table may live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("address", ["{}", "file://{}"])
def test_any_address_serves(author: Any, tmp_path: Path, address: str) -> None:
    where = tmp_path / "a dir" / "größer %20"
    where.mkdir(parents=True)
    lance = author.projection(uri=address.format(where))
    author.delete(author.add(30)[:3])
    assert lance.drain() == 33
    assert lance.seq == 33
    assert lance.verify() == []
    assert len(list(where.glob("*.lance"))) == 1
    assert lance.stats()["bytes"] > 0
    lance.rebuild()
    assert len(list(where.glob("*.lance"))) == 1
    author.purge([record.id for record in author.records(author.add(1))])
    lance.purge()
    assert lance.verify() == []
    author.store.reset()
    lance.drain()
    assert list(where.glob("*.lance")) == []


def test_a_lost_watermark_does_not_hide_the_table(
    author: Any, store_path: Path, tmp_path: Path
) -> None:
    database = tmp_path / "db"
    lance = author.projection(uri=f"file://{database}")
    assert not lance.exists
    author.add(30)
    lance.drain()
    (store_path / "projection.json").unlink()
    assert lance.exists
    lance.purge()
    assert len(list(database.glob("*.lance"))) == 1
    assert lance.verify() == []
    (store_path / "projection.json").unlink()
    lance.discard()
    assert list(database.glob("*.lance")) == []
    assert not lance.exists
    assert lance.drain() == 30


def test_a_store_folder_of_any_name(author: Any, tmp_path: Path) -> None:
    other = type(author)(tmp_path / "Mémoires d'été #1 100%")
    try:
        lance = other.projection()
        other.add(3)
        assert lance.drain() == 3
        assert lance.verify() == []
    finally:
        other.close()


def test_a_relative_folder_stays_where_it_was(
    author: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = type(author)(Path("here"))
    try:
        lance = other.projection()
        other.add(3)
        monkeypatch.chdir("/")
        assert lance.drain() == 3
        assert (tmp_path / "here" / "vectors.lance").is_dir()
    finally:
        other.close()


def test_two_stores_share_a_database(author: Any, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    other = type(author)(tmp_path / "other")
    try:
        one, two = author.projection(uri=str(shared)), other.projection(uri=str(shared))
        author.add(5)
        other.add(7)
        one.drain()
        two.drain()
        one.rebuild()
        two.purge()
        assert one.verify() == two.verify() == []
        assert len(list(shared.glob("*.lance"))) == 2
    finally:
        other.close()


def test_the_table_is_an_ordinary_lancedb_table(author: Any, lance: Any, store_path: Path) -> None:
    import lancedb

    keys = author.add(40)
    lance.drain()
    db = lancedb.connect(str(store_path / "vectors.lance"))
    table = db.open_table(db.list_tables().tables[0])
    with author.store.read() as snapshot:
        vectors, _ = snapshot.vectors(keys)
    hits = table.search(vectors[7], vector_column_name="vector").limit(3).to_list()
    assert hits[0]["key"] == keys[7]
    assert table.count_rows("user_id = 'ann' AND created_at > timestamp '2020-01-01'") == 40
