"""The database is taken away while the store is open, and put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentmem import Memory, StorePathError
from agentmem.store.connection import DATABASE_NAME


def test_what_was_acknowledged_is_there_when_the_database_is_put_back(store_path: Path) -> None:
    database, moved = store_path / DATABASE_NAME, store_path / "moved"
    with Memory(store_path, embedder="static") as memory:
        made = memory.add_batch([f"note {i}" for i in range(50)], user_id="ann")["results"]
        database.rename(moved)
        store = memory._engine.store
        with store.read(), pytest.raises(StorePathError), store.read():
            pass  # the second reader is a new connection: it must not make a new database
        assert not database.exists()
        with pytest.raises(StorePathError):
            memory.add("to nowhere", user_id="ann")
        moved.rename(database)
    with Memory(store_path, embedder="static") as memory:
        assert memory.count(user_id="ann") == len(made)
