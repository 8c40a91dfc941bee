"""Memories as Arrow rows, as the table and Parquet files hold them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from agentmem.vector.rows import arrow_rows, arrow_schema


@pytest.fixture
def vectors() -> np.ndarray:
    return np.arange(48, dtype=np.float32).reshape(3, 16)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_vectors_are_not_copied(author: Any, vectors: np.ndarray, dtype: Any) -> None:
    rows = vectors.astype(dtype)
    batch = arrow_rows(author.records(author.add(3)), rows)
    assert batch["vector"].values.buffers()[1].address == rows.ctypes.data
    assert batch.schema == arrow_schema(16, half=dtype == np.float16)
    assert batch["vector"].to_pylist() == rows.tolist()


def test_rows_of_a_larger_array_keep_their_place(author: Any, vectors: np.ndarray) -> None:
    batch = arrow_rows(author.records(author.add(2)), vectors[1:])
    assert batch["vector"].to_pylist() == vectors[1:].tolist()
    spread = np.repeat(vectors, 2, axis=1)[:, ::2]
    assert not spread.flags.c_contiguous
    batch = arrow_rows(author.records(author.add(3)), spread)
    assert batch["vector"].to_pylist() == vectors.tolist()


def test_ids_as_text_and_sources_for_export(author: Any, vectors: np.ndarray) -> None:
    records = author.records(author.add(3))
    batch = arrow_rows(records, vectors, sources=np.array([1, 2, 1], dtype=np.uint8), text_ids=True)
    assert batch["id"].to_pylist() == [str(uuid.UUID(bytes=r.id)) for r in records]
    assert batch["vector_source"].to_pylist() == [1, 2, 1]
    assert batch.schema == arrow_schema(16, half=False, text_ids=True, sources=True)


def test_no_rows_make_an_empty_batch() -> None:
    batch = arrow_rows([], np.empty((0, 16), dtype=np.float16))
    assert batch.num_rows == 0
    assert batch.schema == arrow_schema(16, half=True)


def test_rows_outlive_what_they_were_made_of(author: Any) -> None:
    def build() -> pa.RecordBatch:
        return arrow_rows(author.records(author.add(3)), np.ones((3, 16), np.float16))

    batch = build()
    filler = [np.zeros((3, 16), np.float16) for _ in range(1000)]
    assert batch["vector"].to_pylist() == [[1.0] * 16] * 3
    assert len(filler) == 1000


def test_parquet_keeps_every_value(author: Any, vectors: np.ndarray, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    batch = arrow_rows(author.records(author.add(3, importance=0.1, level=2)), vectors)
    pq.write_table(pa.Table.from_batches([batch]), tmp_path / "rows.parquet")
    assert pq.read_table(tmp_path / "rows.parquet").to_batches()[0].equals(batch)
