"""``purge`` and ``reset`` leave no byte: in no file, in no cache, in no later copy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import Memory, StoreError, StoreTimeoutError
from agentmem.store import Store

SECRET = "the quokka-7731 of the xylophone"
OWN = np.random.default_rng(5).normal(size=256).astype(np.float32)
OWN /= np.linalg.norm(OWN)
WORDS = [b"quokka", b"xylophone", b"pin-80418041", b"secret-user", b"secret-key", b"the spy"]


def files_with(folder: Path, needles: list[bytes]) -> list[tuple[str, bytes]]:
    return [
        (str(file.relative_to(folder)), needle)
        for file in folder.rglob("*")
        if file.is_file()
        for needle in needles
        if needle in file.read_bytes()
    ]


def tell(mem: Memory) -> list[bytes]:
    """A secret in every place that a memory has; returns its traces."""
    notes = [f"harmless note {i} " + "x" * (37 * i % 900) for i in range(120)]
    mem.add_batch(notes, user_id="other")
    fields: dict[str, Any] = {"user_id": "secret-user", "metadata": {"s": "pin-80418041"}}
    items = [
        {"content": SECRET, "idempotency_key": "secret-key", "actor_id": "the spy"},
        {"content": f"{SECRET} and its vector", "vector": OWN},
        f"{SECRET}, changed later",
        f"{SECRET}, deleted later",
        {"content": f"{SECRET}, given another vector", "vector": -OWN},
    ]
    ids = [result["id"] for result in mem.add_batch(items, **fields)["results"]]
    mem.add_batch(notes, user_id="another")
    mem.update(ids[2], f"not any more {SECRET}", actor_id="the spy")
    mem.update(ids[4], f"now {SECRET}", {"s": "pin-80418041"})
    mem.flush()
    mem.delete(ids[3])
    with Store(mem._engine.path) as store, store.read() as snapshot:
        db = snapshot._db
        mine = "SELECT key FROM memories JOIN scopes USING (scope) WHERE user_id = 'secret-user'"
        traces = db.values(f"SELECT data FROM vectors WHERE key IN ({mine})")
        traces += db.values(f"SELECT terms FROM terms WHERE key IN ({mine})")
        traces += db.values(f"SELECT content_hash FROM memories WHERE key IN ({mine})")
        traces += db.values("SELECT data FROM past_vectors WHERE data IS NOT NULL")
    mem.flush()
    mem.search(SECRET, user_id="secret-user", explain=True)
    mem.search_batch([SECRET, "quokka"], unscoped=True)
    return [*WORDS, *traces]


def caches(mem: Memory) -> list[int]:
    stats = mem.stats()
    return [
        stats["embedder"]["cache"]["entries"],
        mem._engine.items.stats()["entries"],
        stats["index"]["rows"],
    ]


@pytest.mark.parametrize("way", ["ids", "scope", "reset"])
def test_nothing_is_left_of_it(mem: Memory, path: Path, tmp_path: Path, way: str) -> None:
    traces = tell(mem)
    assert {needle for _, needle in files_with(path, traces)} == set(traces)
    assert {name.partition("/")[0] for name, _ in files_with(path, WORDS)} >= {"vectors.lance"}
    words = mem._engine.analyzer._memo
    assert min(caches(mem)) > 0
    if way == "ids":
        everything = mem.get_all(user_id="secret-user")["results"]
        for memory_id in [item["id"] for item in everything[:2]]:
            mem.purge(memory_id)
        mem.purge(user_id="secret-user")  # what was deleted has no other way
    elif way == "scope":
        assert mem.purge(user_id="secret-user") == {"purged": 5}
    else:
        mem.reset()
    assert files_with(path, traces) == []
    assert caches(mem) == [0, 0, 0]
    assert mem._engine.analyzer._memo is not words
    assert mem.check()["ok"]
    mem.backup(tmp_path / "copy")
    mem.flush()
    mem.close()
    for folder in (path, tmp_path / "copy"):
        assert files_with(folder, traces) == []


def test_what_a_killed_restore_left_is_erased_too(mem: Memory, path: Path, tmp_path: Path) -> None:
    traces = tell(mem)
    mem.backup(tmp_path / "copy")
    program = (
        "import os, sys\nfrom agentmem import Memory\n"
        "Memory.restore(sys.argv[1], sys.argv[2], overwrite=True,"
        " progress=lambda done, total: os._exit(9))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "copy", path], check=False)
    assert done.returncode == 9
    assert {name for name, _ in files_with(path, traces)} >= {"agentmem.db.part"}
    mem.purge(user_id="secret-user")
    assert files_with(path, traces) == []


@pytest.mark.parametrize("way", ["purge", "reset"])
def test_one_that_was_killed_is_told_and_finished(mem: Memory, path: Path, way: str) -> None:
    """Killed after its commit: nothing is in any answer, and the bytes are still there."""
    traces = tell(mem)
    mem.close()
    program = (
        "import os, sys\nfrom agentmem import Memory\nfrom agentmem.store import erase\n"
        "erase.rewrite = lambda connection: os._exit(9)\n"
        "mem = Memory(sys.argv[1], embedder='static')\n"
        "mem.reset() if sys.argv[2] == 'reset' else mem.purge(user_id='secret-user')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path, way], check=False)
    assert done.returncode == 9
    with Memory(path, embedder="static") as again:
        assert again.count(user_id="secret-user") == 0
        assert files_with(path, traces)
        (problem,) = again.check()["problems"]
        assert "may still be in files" in problem
        found = again.check(repair=True)
        assert found["ok"]
        assert found["repaired"][0] == problem
        assert files_with(path, traces) == []
        assert again.check() == {"ok": True, "problems": [], "repaired": []}


def test_one_that_a_reader_held_up_is_finished_later(path: Path) -> None:
    config = {"store": {"lock_timeout": 0.3}}
    with Memory(path, embedder="static", config=config) as mem:
        traces = tell(mem)
        reader = Store(path)
        with reader.read() as snapshot:
            snapshot.stats()
            with pytest.raises(StoreTimeoutError, match="agentmem check --repair"):
                mem.purge(user_id="secret-user")
            assert caches(mem) == [0, 0, 0]
        reader.close()
        mem.add("others go on", user_id="other")
        assert not mem.check()["ok"]
        assert mem.check(repair=True)["ok"]
        assert files_with(path, traces) == []


def test_a_table_elsewhere_is_not_forgotten_by_a_process_without_its_uri(tmp_path: Path) -> None:
    """What is left there is told of, until a process that is configured for it has erased it."""

    def opened(uri: str = "") -> Memory:
        config = {"projection": {"uri": uri}}
        return Memory(tmp_path / "mem", embedder="static", user_id="u", config=config)

    one, two = str(tmp_path / "one"), f"file://{tmp_path / 'two'}"
    with opened() as mem:
        mem.add("harmless", user_id="other")
    for uri in ("", one, two):  # moved twice; the last is the one in use
        with opened(uri) as mem:
            mem.add(f"{SECRET} {len(uri)}")
            mem.flush()
    where = [tmp_path / name for name in ("mem", "one", "two")]
    assert all(files_with(folder, [b"quokka"]) for folder in where)
    with opened() as mem:
        with pytest.raises(StoreError, match=r"one' and '.*/two' may still hold .*projection\.uri"):
            mem.purge(user_id="u")
        assert mem.count(unscoped=True) == 1
        for repair in (False, True):
            found = mem.check(repair=repair)
            assert (found["ok"], found["repaired"]) == (False, [])
            assert "projection.uri" in found["problems"][0]
    assert not files_with(where[0], [b"quokka"])
    assert all(files_with(folder, [b"quokka"]) for folder in where[1:])
    with opened(two) as mem:
        assert "one' may still hold" in mem.check(repair=True)["problems"][0]
    assert not files_with(where[2], [b"quokka"])
    with opened(one) as mem:
        assert mem.check(repair=True)["ok"]
        assert mem.count(unscoped=True) == 1
    assert not files_with(where[1], [b"quokka"])
    for uri in ("", two):
        with opened(uri) as mem:
            assert mem.check()["ok"]
