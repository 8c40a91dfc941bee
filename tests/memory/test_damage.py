"""Folders that lost something, and stores that another version or model has made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agentmem import (
    Memory,
    ModelMismatchError,
    SchemaVersionError,
    StoreCorruptError,
    StorePathError,
)
from agentmem.engine import migrate
from agentmem.store import Store


@pytest.fixture
def filled(path: Path) -> Path:
    """A closed store with a projection."""
    with Memory(path, embedder="static", user_id="ann") as mem:
        mem.add_batch(["plays the cello", "likes tea"])
        mem.flush()
    return path


def opened(path: Path) -> Memory:
    return Memory(path, embedder="static", user_id="ann")


LOSSES: dict[str, Callable[[Path], object]] = {
    "is missing": lambda database: database.unlink(),
    "is empty": lambda database: database.write_bytes(b""),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_lost_database_is_no_new_store(filled: Path, tmp_path: Path, loss: str) -> None:
    with opened(filled) as mem:
        mem.backup(tmp_path / "copy")
    LOSSES[loss](filled / "agentmem.db")
    for _ in range(2):  # looking at it changes nothing
        with pytest.raises(StoreCorruptError, match=rf"{loss}.*vectors.lance.*agentmem restore"):
            opened(filled)
        with pytest.raises(StoreCorruptError, match=r"remove vectors\.lance to start afresh"):
            Store(filled)
    twin = tmp_path / "twin"
    shutil.copytree(filled, twin)
    Memory.restore(tmp_path / "copy", filled, overwrite=loss == "is empty")
    with opened(filled) as mem:
        assert mem.count() == 2
        mem.flush()
        assert mem.check()["ok"]
    shutil.rmtree(twin / "vectors.lance")  # the other remedy
    with opened(twin) as mem:
        assert mem.count() == 0


def test_a_log_without_its_database_is_not_thrown_away(path: Path) -> None:
    with opened(path) as mem:
        mem.add("plays the cello")
        log = (path / "agentmem.db-wal").read_bytes()
        assert len(log) > 32
    (path / "agentmem.db").unlink()
    (path / "agentmem.db-wal").write_bytes(log)
    with pytest.raises(StoreCorruptError, match=r"agentmem\.db-wal beside it"):
        opened(path)
    assert (path / "agentmem.db-wal").read_bytes() == log


def test_a_projection_elsewhere_tells_of_a_lost_database_too(path: Path, tmp_path: Path) -> None:
    config = {"projection": {"uri": str(tmp_path / "lance")}}
    with Memory(path, embedder="static", user_id="ann", config=config) as mem:
        mem.add("plays the cello")
        mem.flush()
    (path / "agentmem.db").unlink()
    with pytest.raises(StoreCorruptError, match=r"remove projection\.json"):
        opened(path)


def test_empty_things_beside_it_are_no_loss(path: Path) -> None:
    (path / "vectors.lance").mkdir(parents=True)
    (path / "agentmem.db").touch()
    (path / "agentmem.db-wal").touch()
    with opened(path) as mem:
        assert mem.check()["ok"]


@pytest.mark.parametrize("call", ["check", "flush", "add"])
def test_a_folder_that_was_removed_is_missed(filled: Path, call: str) -> None:
    with opened(filled) as mem:
        shutil.rmtree(filled)
        with pytest.raises(StorePathError, match=r"removed or replaced|cannot write to the store"):
            mem.add("lost") if call == "add" else getattr(mem, call)()
        assert not filled.exists()
        with opened(filled) as other:  # a new one in its place is another one
            other.add("new")
            with pytest.raises(StorePathError, match="removed or replaced"):
                mem.add("lost") if call == "add" else getattr(mem, call)()


def test_models_are_told_by_their_names(filled: Path) -> None:
    class Tiny:
        dim = 4
        model_id = "tiny-4"

        def embed(self, texts: list[str]) -> None: ...

    for embedder, name in (("minilm", "'minilm'"), (Tiny(), "'Tiny'|'tiny-4'")):
        message = rf"'static' \(dim 256\).* opened with ({name}) \(dim.*agentmem reembed"
        with pytest.raises(ModelMismatchError, match=message):
            Memory(filled, embedder=embedder)


def test_keywords_of_another_recipe_are_made_anew(path: Path) -> None:
    with opened(path) as mem:
        mem.add_batch([f"note {i} of the cello" for i in range(1200)])
        query = ("which note is 700?", "keyword")
        before = mem.search(query[0], mode=query[1])
    with closing(Store(path)) as store, store.write() as tx:  # as an older version left it
        tx._db.execute("UPDATE terms SET length = 1, terms = zeroblob(8), counts = x'0100'")
        tx.put_meta("analyzer", "english-snowball-0")
    for _ in range(2):
        with pytest.raises(SchemaVersionError, match=r"'english-snowball-0'.*agentmem migrate"):
            opened(path)

    def interrupt(done: int, total: int) -> None:
        assert total == 1200
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(path, progress=interrupt)
    with pytest.raises(SchemaVersionError, match=r"being made anew.*agentmem migrate"):
        opened(path)
    made = migrate(path)
    assert made["applied"] == []
    assert 0 < made["reanalyzed"] < 1200  # the rest was done already
    assert migrate(path) == {"applied": [], "reanalyzed": 0}
    with opened(path) as mem:
        assert mem.search(query[0], mode=query[1]) == before
        assert mem.check()["ok"]
