"""Arrow tables of any length as chunks of ``add_batch`` items, in the memory of one chunk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from agentmem.errors import InvalidInputError, VectorError
from agentmem.inputs import shorten
from agentmem.write.drafts import ITEM_KEYS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Chunk", "Source"]

_TIMES = ("timestamp", "expiration_date")
_FILES = "a Parquet file or an Arrow IPC file or stream"


@dataclass(slots=True)
class Chunk:
    """``items`` for ``add_batch``, and the vectors ``(n, dim)`` beside them if all have one."""

    first: int  # number of its first row
    items: list[dict[str, Any]]
    vectors: NDArray[np.floating[Any]] | None


class Source:
    """What can be streamed: a table, batch or reader, an open Parquet or IPC file, anything that
    offers an Arrow stream (``__arrow_c_stream__``), or the path of a file.

    ``total`` is the number of rows, 0 where it is not known beforehand.
    """

    def __init__(self, given: object) -> None:
        """
        Raises:
            InvalidInputError: it cannot be read, or has a column that a memory has not.
        """
        self.total = 0
        self._opened: list[Any] = []
        try:
            self._schema, self._batches = self._open(given)
            self._check_columns()
        except BaseException:  # an interrupt, too; raised again
            self.close()
            raise

    def close(self) -> None:
        for one in reversed(self._opened):
            one.close()

    def _open(self, given: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        if isinstance(given, pa.RecordBatch):
            given = pa.Table.from_batches([given])
        if isinstance(given, pa.Table):
            self.total = given.num_rows
            return given.schema, iter(given.to_batches())
        if isinstance(given, str | os.PathLike):
            return self._open_file(Path(given))
        if isinstance(given, pa.ipc.RecordBatchFileReader):
            return self._open_ipc(given)
        if hasattr(given, "schema_arrow"):  # a ParquetFile, whose module may not be loaded
            return self._open_parquet(given)
        if not isinstance(given, pa.RecordBatchReader):
            if not hasattr(given, "__arrow_c_stream__"):
                raise InvalidInputError(
                    "add_arrow takes an Arrow table, a record batch, a reader of them, or the path"
                    f" of or a reader for {_FILES}, not {type(given).__name__} {shorten(given)}"
                )
            given = pa.RecordBatchReader.from_stream(given)
        return given.schema, iter(given)

    def _open_file(self, path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        try:
            with path.open("rb") as file:
                magic = file.read(6)
            if magic[:4] == b"PAR1":
                from pyarrow import parquet

                file = parquet.ParquetFile(path)
                self._opened.append(file)
                return self._open_parquet(file)
            mapped = pa.memory_map(str(path))
            self._opened.append(mapped)
            if magic == b"ARROW1":
                return self._open_ipc(pa.ipc.open_file(mapped))
            stream = pa.ipc.open_stream(mapped)
            return stream.schema, iter(stream)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise InvalidInputError(f"{str(path)!r} cannot be read as {_FILES}: {error}") from error

    def _open_parquet(self, file: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        self.total = file.metadata.num_rows
        return file.schema_arrow, file.iter_batches(batch_size=8192)

    def _open_ipc(
        self, file: pa.ipc.RecordBatchFileReader
    ) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        return file.schema, (file.get_batch(i) for i in range(file.num_record_batches))

    def _check_columns(self) -> None:
        names = self._schema.names
        if len(set(names)) != len(names):
            raise InvalidInputError(f"the table has two columns of one name: {names}")
        unknown = [name for name in names if name not in ITEM_KEYS]
        if unknown:
            raise InvalidInputError(
                f"the table has the unknown column {unknown[0]!r}; known columns are"
                f" {', '.join(ITEM_KEYS)}; put others into metadata"
            )
        if "content" not in names:
            raise InvalidInputError(f"the table has no column 'content', only {names}")

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Chunks of ``rows`` rows, the last one shorter, whatever the batches are."""
        first = 0
        for table in self._tables(rows):
            yield _chunk(table, first)
            first += table.num_rows

    def _tables(self, rows: int) -> Iterator[pa.Table]:
        held: list[pa.RecordBatch] = []
        count = 0
        for batch in self._read():
            start = 0
            while start < batch.num_rows:
                part = batch.slice(start, rows - count)
                held.append(part)
                start += part.num_rows
                count += part.num_rows
                if count == rows:
                    yield pa.Table.from_batches(held, self._schema)
                    held, count = [], 0
        if held:
            yield pa.Table.from_batches(held, self._schema)

    def _read(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except (OSError, pa.ArrowException) as error:
            raise InvalidInputError(f"the Arrow data cannot be read on: {error}") from error


def _items(table: pa.Table, first: int) -> list[dict[str, Any]]:
    """One dictionary per row; a null is a value that is not given."""
    names = [name for name in table.column_names if name != "vector"]
    columns = [_values(table.column(name), name, first) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray, name: str, first: int) -> list[Any]:
    kind = column.type
    if name in _TIMES and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return _times(column, name, first)
    values: list[Any] = column.to_pylist()
    if name == "metadata":
        return [
            None if value is None else _metadata(value, kind, row)
            for row, value in enumerate(values, first)
        ]
    if name == "id" and not pa.types.is_string(kind):
        return [value.hex() if isinstance(value, bytes) else value for value in values]
    return values


def _times(column: pa.ChunkedArray, name: str, first: int) -> list[Any]:
    kind = column.type
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    finer = pa.types.is_timestamp(kind) and kind.unit == "ns"  # what is cut off is no mistake
    try:
        values: list[Any] = column.cast(pa.timestamp("us", zone), safe=not finer).to_pylist()
    except (OverflowError, ValueError) as error:  # what Arrow raises is a ValueError, too
        raise InvalidInputError(
            f"a {name} of the rows from {first:,} on lies outside the years 1 to 9999: {error}"
        ) from None
    return values


def _metadata(value: Any, kind: pa.DataType, row: int) -> Any:
    """A dictionary from a struct (without its nulls), a map, or JSON text."""
    if pa.types.is_struct(kind):
        return {name: inner for name, inner in value.items() if inner is not None}
    if pa.types.is_map(kind):
        return dict(value)
    if not isinstance(value, str):
        raise InvalidInputError(
            f"row {row:,}: metadata is a {kind}; give a struct, a map, or JSON text"
        )
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"row {row:,}: metadata {shorten(value)} is not JSON: {error}"
        ) from None


def _chunk(table: pa.Table, first: int) -> Chunk:
    items = _items(table, first)
    if "vector" not in table.column_names or table.column("vector").null_count == len(items):
        return Chunk(first, items, None)
    column = table.column("vector")
    given = column.is_valid()
    vectors = _vectors(column.drop_null(), first)
    if not column.null_count:
        return Chunk(first, items, vectors)
    rows = iter(vectors)
    for item, has_one in zip(items, given.to_pylist(), strict=True):
        if has_one:
            item["vector"] = next(rows)
    return Chunk(first, items, None)


def _vectors(chunked: pa.ChunkedArray, first: int) -> NDArray[np.floating[Any]]:
    """A column without nulls as one array ``(n, dim)``; copied only if it lies in pieces."""
    column = chunked.combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    if isinstance(column, pa.ExtensionArray):  # tensors, say
        column = column.storage
    kind = column.type
    if not (
        pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    ) or not pa.types.is_floating(kind.value_type):
        raise VectorError(
            f"the column vector is {kind}; it must be a list of float16, float32 or float64"
        )
    sizes = set(column.value_lengths().to_pylist())
    if len(sizes) != 1:
        raise VectorError(f"vectors have different lengths: {sorted(sizes)}")
    flat = column.flatten()
    if flat.null_count:
        raise VectorError(f"a vector of the rows from {first:,} on has a null among its numbers")
    found: NDArray[np.floating[Any]] = flat.to_numpy(zero_copy_only=False)
    return found.reshape(len(column), sizes.pop())
