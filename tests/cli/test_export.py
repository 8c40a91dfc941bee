"""``agentmem export``, and the way back."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pyarrow.parquet as pq
import pytest

from agentmem import Memory

ID = "00000000-0000-7000-8000-000000000001"
DIM = 256


@pytest.fixture
def filled(environment: Path) -> np.ndarray:
    """Three memories; the last with a vector of its own, which is returned."""
    own = np.linspace(-1, 1, DIM, dtype=np.float32)
    own /= np.linalg.norm(own)
    with Memory(environment, embedder="static", user_id="alice") as memory:
        memory.add_batch(
            [
                {
                    "content": 'Likes tea, "really"\nand the café',
                    "id": ID,
                    "run_id": "r",
                    "actor_id": "Ana",
                    "role": "user",
                    "memory_type": "factual",
                    "level": 3,
                    "importance": 0.25,
                    "timestamp": "2024-03-09T14:00:00.123456+01:00",
                    "expiration_date": "2099-01-01",
                    "idempotency_key": "k1",
                    "metadata": {"n": 1, "deep": {"x": [None, 1.5, True]}},
                },
                {"content": "Plays the cello", "level": "high"},
                {"content": "Has a vector", "vector": own},
            ]
        )
        memory.update(ID, "Likes rooibos")
    return own


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_everything_but_the_time_of_writing_survives_the_way_there_and_back(
    run, filled, tmp_path
) -> None:
    run("export", tmp_path / "a.jsonl", "--user", "alice")
    run("--store", tmp_path / "copy", "import", tmp_path / "a.jsonl")
    run("--store", tmp_path / "copy", "export", tmp_path / "b.jsonl", "--unscoped")
    before, after = lines(tmp_path / "a.jsonl"), lines(tmp_path / "b.jsonl")
    for line in (*before, *after):
        assert line.pop("created_at")
        assert line.pop("updated_at")
    assert len(before) == 3
    assert after == before
    again = json.loads(
        run("--store", tmp_path / "copy", "import", tmp_path / "a.jsonl", "--json").stdout
    )
    assert (again["added"], again["known"]) == (0, 3)


def test_vectors_are_exported_bit_for_bit(run, environment, filled, tmp_path) -> None:
    run("export", tmp_path / "a.jsonl", "--unscoped")
    vectors = [line["vector"] for line in lines(tmp_path / "a.jsonl")]
    kinds = [(vector["source"], vector["dtype"]) for vector in vectors]
    assert kinds == [("model", "float16"), ("model", "float16"), ("caller", "float32")]
    decoded = [np.frombuffer(base64.b64decode(v["data"]), dtype=v["dtype"]) for v in vectors]
    import apsw

    stored = apsw.Connection(str(environment / "agentmem.db")).execute(
        "SELECT data FROM vectors ORDER BY key"
    )
    assert [vector.tobytes() for vector in decoded] == [row[0] for row in stored]
    assert np.allclose(decoded[2], filled, atol=1e-7)


def test_given_vectors_come_back_to_the_bit(run, environment, tmp_path) -> None:
    from agentmem import Memory

    given = np.random.default_rng(4).standard_normal((40, DIM))
    with Memory(environment, embedder="static", user_id="u") as memory:
        memory.add_batch([f"text {i}" for i in range(40)], vectors=given)
    run("export", tmp_path / "a.jsonl", "--unscoped")
    run("--store", tmp_path / "copy", "import", tmp_path / "a.jsonl")
    assert _stored_vectors(tmp_path / "copy") == _stored_vectors(environment)


def _stored_vectors(folder) -> list[bytes]:
    import apsw

    database = apsw.Connection(str(folder / "agentmem.db"))
    return [row[0] for row in database.execute("SELECT data FROM vectors ORDER BY key")]


def test_history_is_exported_on_request(run, filled, tmp_path) -> None:
    run("export", tmp_path / "a.jsonl", "--unscoped", "--history", "--no-vectors")
    first = next(line for line in lines(tmp_path / "a.jsonl") if line["id"] == ID)
    assert [event["event"] for event in first["history"]] == ["ADD", "UPDATE"]
    assert "vector" not in first


def test_parquet_has_typed_columns(run, filled, tmp_path) -> None:
    shown = run("export", tmp_path / "a.parquet", "--unscoped", "--history").stdout
    assert shown.startswith("parquet: wrote 3 memories")
    table = pq.read_table(tmp_path / "a.parquet")
    rows = {row["memory"]: row for row in table.to_pylist()}
    row = rows["Likes rooibos"]
    assert row["id"] == ID
    assert row["timestamp"].isoformat() == "2024-03-09T13:00:00.123456+00:00"
    assert json.loads(row["metadata"]) == {"n": 1, "deep": {"x": [None, 1.5, True]}}
    assert [rows[name]["level"] for name in rows] == ["3", "high", None]
    assert len(json.loads(row["history"])) == 2
    assert np.allclose(rows["Has a vector"]["vector"], filled, atol=1e-7)
    assert table.schema.field("vector").type.list_size == DIM


@pytest.mark.parametrize("name", ["none.jsonl", "none.parquet"])
def test_an_export_of_nothing_is_an_empty_file(run, run_json, filled, tmp_path, name) -> None:
    assert run_json("export", tmp_path / name, "--user", "nobody")["written"] == 0
    rows = (
        pq.read_table(tmp_path / name).num_rows
        if "parquet" in name
        else len(lines(tmp_path / name))
    )
    assert rows == 0


def test_scope_and_filter_choose(run, filled) -> None:
    result = run("export", "--user", "alice", "--filter", '{"level": "high"}', "--no-vectors")
    assert [json.loads(line)["memory"] for line in result.stdout.splitlines()] == [
        "Plays the cello"
    ]
    assert "wrote 1 memory to standard output" in result.stderr


def test_an_older_file_is_kept_unless_forced(run, filled, tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("precious")
    assert "--force" in run("export", path, "--unscoped", code=2).stderr
    assert path.read_text() == "precious"
    run("export", path, "--unscoped", "--force")
    assert len(lines(path)) == 3


def test_a_failed_export_leaves_no_file(run, filled, tmp_path) -> None:
    run("export", tmp_path / "a.jsonl", "--unscoped", "--filter", '{"x": {"near": 1}}', code=2)
    run("export", tmp_path / "absent" / "a.jsonl", "--unscoped", code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_what_a_killed_export_leaves_the_next_one_removes(run, filled, tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    write = (
        "import sys\nfrom agentmem.cli.exporters import target\n"
        "with target(sys.argv[1], force=True) as stream:\n"
        "    stream.write(b'half')\n    stream.flush()\n"
        "    print('writing', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", write, str(path)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as other:
        assert other.stdout.readline() == "writing\n"
        [part] = tmp_path.glob(".a.jsonl.*.part")
        (tmp_path / ".b.jsonl.abcdefgh.part").touch()  # of another name
        run("export", path, "--unscoped")
        assert part.read_bytes() == b"half"  # somebody is at it
        other.kill()
    assert part.exists()
    run("export", path, "--unscoped", "--force")
    assert len(lines(path)) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".b.jsonl.abcdefgh.part",
        "a.jsonl",
        "store",
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl.gz", "a.2025"])
def test_a_name_of_another_layout_is_refused(run, filled, tmp_path, name) -> None:
    result = run("export", tmp_path / name, "--unscoped", code=2)
    assert "but for .jsonl, .ndjson, .parquet, .pq, .archive" in result.stderr
    assert not (tmp_path / name).exists()
    run("export", tmp_path / name, "--unscoped", "--format", "jsonl")
    assert len(lines(tmp_path / name)) == 3


def test_an_export_of_many_pages_is_complete(run, environment, tmp_path) -> None:
    with Memory(environment, embedder="static", user_id="alice") as memory:
        memory.add_batch([f"fact number {i}" for i in range(2500)])
    run("export", tmp_path / "a.jsonl", "--user", "alice", "--no-vectors")
    assert [line["memory"] for line in lines(tmp_path / "a.jsonl")] == [
        f"fact number {i}" for i in range(2500)
    ]


def test_a_link_stays_a_link_and_a_pipe_a_pipe(run, filled, tmp_path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text("old")
    link = tmp_path / "link.jsonl"
    link.symlink_to(kept)
    run("export", link, "--unscoped", "--force")
    assert link.is_symlink()
    assert len(lines(kept)) == 3
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    run("export", pipe, "--unscoped", "--format", "jsonl")
    reader.join(30)
    assert read == [kept.read_text()]
    assert pipe.is_fifo()


def test_a_folder_is_no_file_to_export_to(run, filled, tmp_path) -> None:
    result = run("export", tmp_path, "--unscoped", "--force", "--format", "jsonl", code=2)
    assert "is a folder" in result.stderr
