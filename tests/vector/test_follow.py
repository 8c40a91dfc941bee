"""The table is what SQLite is, however the log got there."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem.types import Scope
from agentmem.vector import follow


def opened(store_path: Path) -> Any:
    import lancedb

    db = lancedb.connect(str(store_path / "vectors.lance"))
    (name,) = db.list_tables().tables
    return db.open_table(name)


def contents(store_path: Path) -> dict[int, str]:
    rows = opened(store_path).to_arrow()
    return dict(zip(rows["key"].to_pylist(), rows["content"].to_pylist(), strict=True))


def test_an_empty_store_needs_no_table(author: Any, lance: Any, store_path: Path) -> None:
    assert lance.seq == 0
    assert lance.drain() == 0
    assert lance.verify() == []
    assert not lance.exists
    assert not (store_path / "vectors.lance").exists()
    author.add(1)
    lance.drain()
    assert lance.exists


def test_memories_reach_the_table(author: Any, lance: Any, store_path: Path) -> None:
    first = author.add(["likes surfing", "works at Acme"])
    assert lance.drain() == author.store.last_seq() == lance.seq
    assert contents(store_path) == dict(zip(first, ["likes surfing", "works at Acme"], strict=True))
    more = author.add(25)
    author.update(first[:1], "likes sailing")
    author.delete([first[1], *more[:5]])
    lance.drain()
    assert contents(store_path)[first[0]] == "likes sailing"
    assert set(contents(store_path)) == {first[0], *more[5:]}
    assert lance.verify() == []


def test_every_column_is_kept(author: Any, lance: Any, store_path: Path) -> None:
    scope = Scope(user_id="Zoë", agent_id="a", run_id="r", org_id="o")
    (key,) = author.add(
        ["Ünï 🏄\n\x00 end"],
        scope=scope,
        actor_id="bob",
        role="user",
        memory_type="semantic",
        level="gist",
        importance=0.1,
        metadata='{"src":"crm"}',
        event_at=-1_234_567,
        expires_at=2**52,
        idempotency_key="k-1",
    )
    (other,) = author.add(["x"], scope=Scope(agent_id="only"), level=3)
    lance.drain()
    record = author.records([key])[0]
    rows = {row["key"]: row for row in opened(store_path).to_arrow().to_pylist()}
    row = rows[key]
    assert row["id"] == record.id
    assert row["content"] == "Ünï 🏄\n\x00 end"
    assert row["content_hash"] == record.content_hash
    assert (row["user_id"], row["agent_id"], row["run_id"], row["org_id"]) == scope.as_tuple()
    assert (row["actor_id"], row["role"], row["memory_type"]) == ("bob", "user", "semantic")
    assert (row["level"], row["level_number"], row["importance"]) == ("gist", None, 0.1)
    assert (row["metadata"], row["idempotency_key"]) == ('{"src":"crm"}', "k-1")
    assert (row["seq"], row["position"]) == (record.seq, 0)
    assert row["event_at"].isoformat() == "1969-12-31T23:59:58.765433+00:00"
    assert row["expires_at"].isoformat() == "2112-09-17T23:53:47.370496+00:00"
    bare = rows[other]
    assert (bare["user_id"], bare["agent_id"], bare["expires_at"]) == (None, "only", None)
    assert (bare["level"], bare["level_number"], bare["importance"]) == (None, 3, None)
    with author.store.read() as snapshot:
        vectors, _ = snapshot.vectors([key])
    np.testing.assert_array_equal(np.array(row["vector"], np.float32), vectors[0])
    assert lance.verify() == []


def test_a_callers_vector_is_rounded(author: Any, lance: Any, store_path: Path) -> None:
    keys = [*author.add(3, caller=True), *author.add(3)]
    lance.drain()
    rows = {row["key"]: row["vector"] for row in opened(store_path).to_arrow().to_pylist()}
    with author.store.read() as snapshot:
        vectors, _ = snapshot.vectors(keys)
    for key, vector in zip(keys, vectors.astype(np.float16), strict=True):
        np.testing.assert_array_equal(np.array(rows[key], np.float16), vector)
    assert lance.verify() == []


def test_a_memory_that_came_and_went_is_absent(author: Any, lance: Any, store_path: Path) -> None:
    keys = author.add(30)
    author.update(keys, importance=0.5)
    author.delete(keys[:20])
    lance.drain()
    assert set(contents(store_path)) == set(keys[20:])
    author.delete(keys[20:])
    lance.drain()
    assert contents(store_path) == {}
    assert lance.verify() == []


def test_deletes_alone_need_no_table(author: Any, lance: Any) -> None:
    author.delete(author.add(3))
    assert lance.drain() == lance.seq == author.store.last_seq() == 6
    assert lance.verify() == []


def test_progress_counts_events_to_the_end(author: Any, lance: Any) -> None:
    author.add(35)
    seen: list[tuple[int, int]] = []
    lance.drain(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(10, 35), (20, 35), (30, 35), (35, 35)]


def test_what_is_written_during_a_drain_waits_for_the_next(author: Any, lance: Any) -> None:
    author.add(30)
    reached = lance.drain(progress=lambda *_: author.add(1))
    assert 30 <= reached < author.store.last_seq()
    assert lance.verify() == []  # of what was applied
    assert lance.drain() == author.store.last_seq()
    assert lance.verify() == []


def test_applying_changes_again_changes_nothing(author: Any, lance: Any, store_path: Path) -> None:
    keys = author.add(25)
    lance.drain()
    path = store_path / "vectors.lance" / "watermark.json"
    mark = json.loads(path.read_text())
    author.update(keys[:5], "changed")
    author.delete(keys[-5:])
    lance.drain()
    before = opened(store_path).to_arrow().sort_by("key")
    now = json.loads(path.read_text())
    path.write_text(json.dumps(now | {"seq": mark["seq"]}))
    lance.drain()
    assert opened(store_path).to_arrow().sort_by("key") == before


def test_an_older_row_never_replaces_a_newer_one(author: Any, lance: Any, store_path: Path) -> None:
    from agentmem.vector.rows import arrow_rows
    from agentmem.vector.table import Table

    keys = author.add(3)
    with author.store.read() as snapshot:
        old = arrow_rows(snapshot.columns(keys))
    author.update(keys[:2], "newer")
    lance.drain()
    before = opened(store_path)
    table = Table.open(str(store_path / "vectors.lance"), before.name)
    table.upsert([old])
    table.delete(keys, seq=3)
    assert opened(store_path).to_arrow().sort_by("key")["key"].to_pylist() == keys[:2]
    assert set(contents(store_path).values()) == {"newer"}


def test_few_long_memories_make_several_batches(author: Any, store_path: Path) -> None:
    keys = author.add([f"{i} " + "long " * 60 for i in range(20)])
    lance = author.projection(batch_bytes=2_500)
    seen: list[int] = []
    lance.drain(progress=lambda done, _: seen.append(done))
    assert list(contents(store_path)) == keys
    assert seen == [5, 10, 15, 20]
    author.update(keys, "still long " * 30)
    author.delete(keys[:1])
    lance.drain(progress=lambda done, _: seen.append(done))
    assert seen[4:] == [6, 11, 16, 21]  # what is gone has no size
    assert lance.verify() == []


def test_old_versions_and_small_files_are_cleaned_up(
    author: Any, lance: Any, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_KEEP", timedelta(milliseconds=1))  # other readers get a minute
    monkeypatch.setattr(follow, "_COMPACT_AFTER", 8)
    keys = author.add(2)
    lance.drain()
    for _ in range(24):
        author.update(keys)
        lance.drain()
    files = [path for path in (store_path / "vectors.lance").rglob("*") if path.is_file()]
    assert opened(store_path).version > 24
    assert len(files) < 4 * 10  # each drain leaves three or four
    assert opened(store_path).stats()["fragment_stats"]["num_fragments"] < 10
    assert lance.verify() == []


def test_following_loads_lancedb_only_when_there_is_something_to_apply(
    author: Any, lance: Any, store_path: Path
) -> None:
    import subprocess
    import sys

    author.add(3)
    lance.drain()
    program = """
import sys
from runpy import run_path
Author = run_path(sys.argv[1])["Author"]
author = Author(sys.argv[2])
lance = author.projection()
assert lance.seq == lance.drain() == 3, lance.seq
lance.stats()
assert not {"lancedb", "pyarrow", "filelock"} & set(sys.modules), "loaded too early"
author.add(1)
assert lance.drain() == 4
author.close()
"""
    conftest = Path(__file__).with_name("conftest.py")
    subprocess.run([sys.executable, "-c", program, str(conftest), str(store_path)], check=True)


def test_importing_the_projection_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    program = (
        "import sys, agentmem.vector.projection\n"
        "heavy = {'lancedb', 'pyarrow', 'numpy', 'filelock', 'apsw'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
