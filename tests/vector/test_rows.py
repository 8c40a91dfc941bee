"""Memories as Arrow rows, as the table holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from agentmem.types import MemoryColumns
from agentmem.vector.rows import arrow_rows, arrow_schema


def columns(author: Any, n: int, **fields: Any) -> MemoryColumns:
    keys = author.add(n, **fields)
    with author.store.read() as snapshot:
        found: MemoryColumns = snapshot.columns(keys)
    return found


def test_vectors_of_the_model_are_not_copied(author: Any) -> None:
    rows = columns(author, 3)
    batch = arrow_rows(rows)
    assert batch["vector"].values.buffers()[1].address == rows.vectors.ctypes.data
    assert batch.schema == arrow_schema(16)
    assert batch["vector"].to_pylist() == rows.vectors.tolist()


def test_vectors_of_callers_are_rounded(author: Any) -> None:
    rows = columns(author, 3, caller=True)
    assert rows.vectors.dtype == np.float32
    assert arrow_rows(rows)["vector"].to_pylist() == rows.vectors.astype(np.float16).tolist()


def test_vectors_of_both_kinds_keep_their_rows(author: Any) -> None:
    keys = author.add(2) + author.add(3, caller=True) + author.add(1)
    with author.store.read() as snapshot:
        rows = snapshot.columns(keys[::-1])
        each = [snapshot.columns([key]).vectors[0].astype(np.float32) for key in keys[::-1]]
    assert rows.vectors.dtype == np.float32
    assert rows.vectors.tolist() == np.array(each).tolist()


def test_no_rows_make_an_empty_batch(author: Any) -> None:
    author.add(1)
    with author.store.read() as snapshot:
        batch = arrow_rows(snapshot.columns([99]))
    assert batch.num_rows == 0
    assert batch.schema == arrow_schema(16)


def test_rows_outlive_what_they_were_made_of(author: Any) -> None:
    batch = arrow_rows(columns(author, 3, caller=True))
    expected = batch["vector"].to_pylist()
    filler = [np.zeros((3, 16), np.float16) for _ in range(1000)]
    assert batch["vector"].to_pylist() == expected
    assert len(filler) == 1000


def test_parquet_keeps_every_value(author: Any, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    batch = arrow_rows(columns(author, 3, importance=0.1, level=2))
    pq.write_table(pa.Table.from_batches([batch]), tmp_path / "rows.parquet")
    assert pq.read_table(tmp_path / "rows.parquet").to_batches()[0].equals(batch)
