"""``add_arrow``: tables of any length and shape, in chunks, and again where it broke off."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from agentmem import InvalidInputError, Memory, ScopeError, VectorError

DIM = 256


@pytest.fixture
def mem(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "mem", embedder="static", user_id="u") as made:
        yield made


def texts(n: int) -> list[str]:
    return [f"note number {i}" for i in range(n)]


def stored(mem: Memory, **scope: Any) -> list[dict[str, Any]]:
    return mem.get_all(**scope, limit=10_000)["results"]


def test_chunks_are_transactions_whatever_the_batches_are(mem: Memory) -> None:
    table = pa.table({"content": texts(2500)})
    uneven = pa.Table.from_batches(
        [batch for size in (7, 1300, 1) for batch in table.to_batches(max_chunksize=size)][:400]
    )
    assert uneven.num_rows > 1000
    seen: list[tuple[int, int]] = []
    answer = mem.add_arrow(
        uneven, chunk_rows=500, progress=lambda done, total: seen.append((done, total))
    )
    n = uneven.num_rows
    assert answer == {"rows": n, "added": n}
    assert seen == [(min(done, n), n) for done in range(500, n + 500, 500)]
    items = stored(mem)
    assert [item["memory"] for item in items] == uneven.column("content").to_pylist()
    assert len({item["created_at"] for item in items}) == len(seen)


def test_every_column(mem: Memory) -> None:
    ids = [str(uuid.uuid4()), None]
    when = datetime(2024, 3, 9, 12, tzinfo=UTC)
    table = pa.table(
        {
            "content": pa.array(["first", "second"], pa.large_string()),
            "id": ids,
            "user_id": ["alice", None],
            "agent_id": [None, "a"],
            "run_id": ["r", "r"],
            "org_id": ["o", None],
            "role": ["user", None],
            "actor_id": pa.array(["Ann", "Bob"]).dictionary_encode(),
            "metadata": ['{"a": {"b": [1, null]}}', None],
            "memory_type": ["semantic", None],
            "level": [3, None],
            "importance": pa.array([0.5, None], pa.float32()),
            "timestamp": pa.array([when, None], pa.timestamp("ns", "Europe/Lisbon")),
            "expiration_date": ["2999-01-01", None],
            "idempotency_key": ["k1", "k2"],
            "vector": pa.array(np.eye(2, DIM).tolist(), pa.list_(pa.float16(), DIM)),
        }
    )
    mem.add_arrow(table, importance=0.25)
    [first] = stored(mem, user_id="alice")
    [second] = stored(mem, user_id="u")
    assert first["id"] == ids[0]
    assert first["metadata"] == {"a": {"b": [1, None]}}
    expected = {
        "agent_id": None, "run_id": "r", "org_id": "o", "role": "user", "actor_id": "Ann",
        "memory_type": "semantic", "level": 3, "importance": 0.5,
        "timestamp": "2024-03-09T12:00:00+00:00",
        "expiration_date": "2999-01-01T00:00:00+00:00",
    }  # fmt: skip
    assert {name: first[name] for name in expected} == expected
    assert (second["agent_id"], second["importance"], second["metadata"]) == ("a", 0.25, None)
    [hit] = mem.search(user_id="alice", vector=np.eye(1, DIM)[0], mode="dense")["results"]
    assert hit["score"] == pytest.approx(1.0, abs=1e-6)
    assert mem.add_arrow(table) == {"rows": 2, "added": 0}


def column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.ExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    return pa.array(values, kind)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32(), DIM),
        pa.list_(pa.float64()),
        pa.large_list(pa.float16()),
        pa.fixed_shape_tensor(pa.float32(), [DIM]),
    ],
)
def test_a_row_without_a_vector_is_embedded(mem: Memory, kind: pa.DataType) -> None:
    """Also where a chunk begins in the middle of the table, and where a whole one has none."""
    own = np.eye(DIM)[:5]
    given = [own[0], None, own[2], None, None, own[4], None]
    table = pa.table({"content": texts(7), "vector": column(given, kind)})
    assert mem.add_arrow(table.slice(1), chunk_rows=3) == {"rows": 6, "added": 6}
    for i, vector in enumerate(given[1:], 1):
        meant = mem.search(texts(7)[i], mode="dense")["results"]
        first = meant[0]["memory"] == texts(7)[i] and meant[0]["score"] > 0.999
        assert first == (vector is None)
        if vector is not None:
            [hit] = mem.search(vector=vector, mode="dense", top_k=1)["results"]
            assert (hit["memory"], round(hit["score"], 6)) == (texts(7)[i], 1)
    assert mem.add_arrow(pa.table({"content": ["x"], "vector": pa.nulls(1)}))["added"] == 1


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"a": 1, "b": None}, {"a": None, "b": "x"}]),
        pa.array([[("a", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64())),
        pa.array([json.dumps({"a": 1}), json.dumps({"b": "x"})]),
    ],
    ids=["struct", "map", "json"],
)
def test_metadata_in_every_form(mem: Memory, column: pa.Array) -> None:
    mem.add_arrow(pa.table({"content": texts(2), "metadata": column}))
    assert [set(item["metadata"]) for item in stored(mem)] == [{"a"}, {"b"}]


@pytest.mark.parametrize(
    "form",
    [
        *("parquet", "ipc file", "ipc stream", "reader", "batch", "stream"),
        *("open parquet", "open ipc file"),
    ],
)
def test_every_source(mem: Memory, tmp_path: Path, form: str) -> None:
    table = pa.table({"content": texts(300)})
    path = tmp_path / "data"
    source: Any = path
    if form.endswith("parquet"):
        parquet.write_table(table, path, row_group_size=70)
        if form == "open parquet":
            source = parquet.ParquetFile(path)
    elif "ipc" in form:
        new = pa.ipc.new_stream if form == "ipc stream" else pa.ipc.new_file
        with new(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=70)
        if form == "open ipc file":
            source = pa.ipc.open_file(path.read_bytes())
    elif form == "reader":
        source = table.to_reader(max_chunksize=70)
    elif form == "batch":
        [source] = table.combine_chunks().to_batches()
    else:

        class Foreign:
            """Another library's frame."""

            def __arrow_c_stream__(self, requested_schema: object = None) -> object:
                return table.__arrow_c_stream__(requested_schema)

        source = Foreign()
    assert mem.add_arrow(source, chunk_rows=128) == {"rows": 300, "added": 300}
    assert [item["memory"] for item in stored(mem)] == texts(300)


class TornError(Exception):
    pass


def test_a_stream_that_broke_off_is_sent_again(mem: Memory) -> None:
    table = pa.table({"content": texts(1000)})

    def torn() -> Iterator[pa.RecordBatch]:
        yield from table.slice(0, 650).to_batches(max_chunksize=100)
        raise TornError("the network is gone")

    reader = pa.RecordBatchReader.from_batches(table.schema, torn())
    with pytest.raises((TornError, InvalidInputError), match="the network is gone"):
        mem.add_arrow(reader, idempotency_key="import-7", chunk_rows=100)
    assert mem.count() == 600
    before = mem.stats()["embedder"]["cache"]["misses"]
    again = mem.add_arrow(table, idempotency_key="import-7", chunk_rows=300)
    assert again == {"rows": 1000, "added": 400}
    assert [item["memory"] for item in stored(mem)] == texts(1000)
    assert mem.stats()["embedder"]["cache"]["misses"] - before == 400


KILLED = """
import sys
from agentmem import Memory
with Memory(sys.argv[1], embedder="static", user_id="u") as mem:
    mem.add_arrow(
        sys.argv[2], idempotency_key="import-8", chunk_rows=50,
        progress=lambda done, total: print(done, flush=True),
    )
"""


def test_a_stream_whose_process_was_killed_is_sent_again(tmp_path: Path) -> None:
    table = pa.table({"content": [*texts(3000), *texts(1000)]})  # some texts come twice
    parquet.write_table(table, tmp_path / "notes.parquet")
    arguments = [str(tmp_path / "mem"), str(tmp_path / "notes.parquet")]
    done = 0
    for kill_at in (300, 1500):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            done = int(line)
            if done >= kill_at:
                break
        process.kill()  # in the middle of a later chunk
        done = max([done, *map(int, process.stdout.read().split("\n")[:-1])])
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        with Memory(tmp_path / "mem", embedder="static", user_id="u") as mem:
            kept = mem.count()
            assert kept in (done, done + 50)  # the last chunk may have been stored and not said
            assert kept < 4000
    with Memory(tmp_path / "mem", embedder="static", user_id="u") as mem:
        answer = mem.add_arrow(tmp_path / "notes.parquet", idempotency_key="import-8")
        assert answer == {"rows": 4000, "added": 4000 - kept}
        assert [item["memory"] for item in stored(mem)] == table.column("content").to_pylist()
        assert mem.check()["problems"] == []


def test_a_bad_row_takes_its_chunk_along_and_no_other(mem: Memory) -> None:
    content = texts(300)
    content[250] = ""
    with pytest.raises(InvalidInputError, match=r"^row 250 content is empty"):
        mem.add_arrow(pa.table({"content": content}), chunk_rows=100)
    assert mem.count() == 200


@pytest.mark.parametrize(
    ("columns", "error", "says"),
    [
        ({"content": ["a"], "colour": ["red"]}, InvalidInputError, "unknown column 'colour'"),
        ({"memory": ["a"]}, InvalidInputError, "'memory'"),
        ({"user_id": ["a"]}, InvalidInputError, "no column 'content'"),
        ({"content": [None]}, InvalidInputError, "row 0 content must be a string"),
        ({"content": [3]}, InvalidInputError, "must be a string"),
        ({"content": ["a"], "metadata": ["{"]}, InvalidInputError, "row 0: metadata"),
        ({"content": ["a"], "metadata": [7]}, InvalidInputError, "JSON text"),
        ({"content": ["a"], "metadata": ["[" * 10**5]}, InvalidInputError, "row 0: metadata"),
        (
            {"content": ["a"], "timestamp": pa.array([2**62], pa.timestamp("s"))},
            InvalidInputError,
            "a timestamp of the rows from 0 on lies outside the years",
        ),
        (
            {"content": ["a"], "timestamp": pa.array([10**12], pa.timestamp("s", "UTC"))},
            InvalidInputError,
            "a timestamp of the rows from 0 on lies outside the years",
        ),
        ({"content": ["a"], "vector": ["b"]}, VectorError, "column vector"),
        ({"content": ["a"], "vector": [[1.0, 2.0]]}, VectorError, "shape"),
        ({"content": ["a", "b"], "vector": [[1.0], None]}, VectorError, "shape"),
        ({"content": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]}, VectorError, "lengths"),
        ({"content": ["a"], "vector": [[0.0] * DIM]}, VectorError, "zero"),
    ],
)
def test_what_cannot_be_stored(
    mem: Memory, columns: dict[str, list[Any]], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        mem.add_arrow(pa.table(columns))
    assert mem.count() == 0


def test_what_is_no_source(mem: Memory, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a table")
    files = (tmp_path / "notes.txt", tmp_path / "missing.parquet", tmp_path, "a\0b")
    for source in (*files, {"content": ["a"]}, 3):
        with pytest.raises(InvalidInputError):
            mem.add_arrow(source)
    with (
        Memory(tmp_path / "other", embedder="static") as other,
        pytest.raises(ScopeError),
    ):
        other.add_arrow(pa.table({"content": ["whose?"]}))
