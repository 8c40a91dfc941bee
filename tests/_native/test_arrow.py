"""Record batches for Arrow: right by pyarrow's own validation, and made of our own buffers."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from threading import Thread

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem._native import arrow, twins

N = 37
IDS = bytes(range(256))[:16] * N
TEXTS = [None if i % 5 == 2 else f"text {i} né 日本" * (i % 4) for i in range(N)]
VECTORS = np.random.default_rng(0).standard_normal((N, 12)).astype(np.float16)
TIMES = np.arange(N, dtype=np.int64) * 1_000_003
VALID = np.arange(N) % 3 != 0
DATA = np.frombuffer("né 日本 ".encode() * N, np.uint8)
OFFSETS = (len("né 日本 ".encode()) * np.arange(N + 1)).astype(np.int32)


def columns(module: object) -> dict[str, object]:
    """One column of each kind, by the kernels or by their twins."""
    make = vars(module)
    return {
        "id": make["fixed_binary"](IDS, 16),
        "text": make["utf8"](TEXTS),
        "vector": make["fixed_list"](VECTORS),
        "wide": make["fixed_list"](VECTORS.astype(np.float32)),
        "event_at": make["timestamp"](TIMES),
        "expires_at": make["timestamp"](TIMES, VALID),
        "seq": make["int64"](TIMES),
        "level": make["int32"](TIMES.astype(np.int32), VALID),
        "importance": make["float32"](TIMES.astype(np.float32), VALID),
        "weight": make["float64"](TIMES.astype(np.float64), VALID),
        "parts": make["utf8_parts"](OFFSETS, DATA, VALID),
        "named": make["utf8_at"](TIMES % 3, ["a", None, "né"]),
    }


def test_equals_what_pyarrow_makes() -> None:
    made = pa.record_batch(arrow.record_batch(columns(arrow)))  # type: ignore[arg-type]
    made.validate(full=True)
    wanted = twins.record_batch(columns(twins))
    assert made.schema == wanted.schema
    assert made.equals(wanted)


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"])))))
def test_strings_equal_twin(values: list[str | None]) -> None:
    made = pa.record_batch(arrow.record_batch({"text": arrow.utf8(values)}))
    made.validate(full=True)
    assert made.column("text").to_pylist() == values
    assert made.column("text").null_count == values.count(None)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1), st.data())
def test_few_strings_many_times_equal_twin(values: list[str | None], data: st.DataObject) -> None:
    values.append(None)
    places = np.array(data.draw(st.lists(st.integers(0, len(values) - 1))), np.int64)
    made = pa.record_batch(arrow.record_batch({"text": arrow.utf8_at(places, values)}))
    made.validate(full=True)
    assert made.column("text").equals(twins.utf8_at(places, values))


@pytest.mark.parametrize("offsets", [[], [1, 2], [0, 3, 2, 3], [0, 7]])
def test_offsets_that_lead_astray_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="offsets"):
        arrow.utf8_parts(np.array(offsets, np.int32), b"abcdef")


@pytest.mark.parametrize("place", [-1, 2, 1 << 40])
def test_places_that_are_not_there_are_refused(place: int) -> None:
    with pytest.raises(ValueError, match="places"):
        arrow.utf8_at(np.array([0, place], np.int64), ["a", "b"])


@given(st.lists(st.booleans()))
def test_missing_numbers_equal_twin(present: list[bool]) -> None:
    numbers = np.arange(len(present), dtype=np.int64)
    mask = np.array(present, bool)
    made = pa.record_batch(arrow.record_batch({"n": arrow.int64(numbers, mask)}))
    made.validate(full=True)
    assert made.column("n").equals(twins.int64(numbers, mask))


def test_nothing_is_copied() -> None:
    ids = np.frombuffer(IDS, np.uint8)
    importance = TIMES.astype(np.float32)
    levels = TIMES.astype(np.int32)
    wide = VECTORS.astype(np.float32)
    batch = pa.record_batch(
        arrow.record_batch(
            {
                "id": arrow.fixed_binary(IDS, 16),
                "vector": arrow.fixed_list(VECTORS),
                "wide": arrow.fixed_list(wide),
                "event_at": arrow.timestamp(TIMES, VALID),
                "seq": arrow.int64(TIMES),
                "level": arrow.int32(levels),
                "importance": arrow.float32(importance),
                "parts": arrow.utf8_parts(OFFSETS, DATA),
            }
        )
    )

    def address(array: pa.Array) -> int:
        return array.buffers()[1].address

    assert address(batch.column("id")) == ids.ctypes.data
    assert address(batch.column("vector").values) == VECTORS.ctypes.data
    assert address(batch.column("wide").values) == wide.ctypes.data
    assert address(batch.column("event_at")) == TIMES.ctypes.data
    assert address(batch.column("seq")) == TIMES.ctypes.data
    assert address(batch.column("level")) == levels.ctypes.data
    assert address(batch.column("importance")) == importance.ctypes.data
    assert address(batch.column("parts")) == OFFSETS.ctypes.data
    assert batch.column("parts").buffers()[2].address == DATA.ctypes.data


class Array(np.ndarray):
    """An array that a weak reference can watch."""


def test_buffers_live_as_long_as_arrow_needs_them_and_no_longer() -> None:
    vectors = np.ones((3, 4), np.float32).view(Array)
    watch = weakref.ref(vectors)
    ours = arrow.record_batch({"v": arrow.fixed_list(vectors)})
    theirs = pa.record_batch(ours)
    part = theirs.column("v").values.slice(4, 4)
    del vectors, ours, theirs
    gc.collect()
    assert watch() is not None
    assert part.to_pylist() == [1, 1, 1, 1]
    del part
    gc.collect()
    assert watch() is None


def test_a_capsule_that_nobody_reads_frees_its_buffers() -> None:
    vectors = np.ones((3, 4), np.float32).view(Array)
    watch = weakref.ref(vectors)
    batch = arrow.record_batch({"v": arrow.fixed_list(vectors), "s": arrow.utf8(["a", None, "b"])})
    capsules = [batch.__arrow_c_array__() for _ in range(3)]
    del vectors, batch, capsules
    gc.collect()
    assert watch() is None


def test_arrow_may_release_on_any_thread() -> None:
    vectors = np.ones((3, 4), np.float32).view(Array)
    watch = weakref.ref(vectors)
    held = [pa.record_batch(arrow.record_batch({"v": arrow.fixed_list(vectors)}))]
    del vectors
    thread = Thread(target=held.clear)
    thread.start()
    thread.join()
    gc.collect()
    assert watch() is None


def test_a_batch_alive_when_the_interpreter_ends_does_no_harm() -> None:
    code = (
        "import builtins, numpy as np, pyarrow as pa\n"
        "from agentmem._native import arrow\n"
        "v = np.ones((3, 4), np.float32)\n"
        "builtins.kept = pa.record_batch(arrow.record_batch({'v': arrow.fixed_list(v)}))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_no_rows() -> None:
    batch = arrow.record_batch(
        {
            "id": arrow.fixed_binary(b"", 16),
            "text": arrow.utf8([]),
            "vector": arrow.fixed_list(np.empty((0, 8), np.float16)),
            "at": arrow.timestamp(np.empty(0, np.int64), np.empty(0, bool)),
        }
    )
    made = pa.record_batch(batch)
    made.validate(full=True)
    assert made.num_rows == batch.num_rows == 0
    assert made.schema.names == batch.column_names == ["id", "text", "vector", "at"]


def test_the_schema_alone() -> None:
    batch = arrow.record_batch({"ключ": arrow.utf8(["a"])})
    assert pa.schema(batch) == pa.schema([("ключ", pa.string())])


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        arrow.utf8(["a", "\ud800"])


def test_more_text_than_32_bit_offsets_can_address_is_refused() -> None:
    long = "x" * (2**28)
    with pytest.raises(OverflowError, match="smaller batches"):
        arrow.utf8([long] * 8)


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: arrow.utf8("text"), TypeError, "sequence"),
        (lambda: arrow.utf8([b"x"]), TypeError, r"values\[0\]"),
        (lambda: arrow.fixed_binary(bytes(17), 16), ValueError, "17 bytes"),
        (lambda: arrow.fixed_binary(bytes(16), 0), ValueError, "16 bytes"),
        (lambda: arrow.fixed_list(VECTORS[:, ::2]), ValueError, "not contiguous"),
        (lambda: arrow.fixed_list(VECTORS[:, :0].copy()), ValueError, "at least one dimension"),
        (lambda: arrow.fixed_list(VECTORS.astype(np.float64)), ValueError, "float64"),
        (lambda: arrow.int64(TIMES[::2]), ValueError, "not contiguous"),
        (lambda: arrow.int64(TIMES, VALID[:5]), ValueError, "valid has 5"),
        (lambda: arrow.int64(TIMES.astype(np.int32)), ValueError, "int64"),
        (
            lambda: arrow.int64(np.frombuffer(bytes(25), np.uint8)[1:].view("i8")),
            ValueError,
            "align",
        ),
        (lambda: arrow.record_batch({}), ValueError, "at least one column"),
        (lambda: arrow.record_batch({"a": [1]}), TypeError, "'a' must be a Column"),
        (lambda: arrow.record_batch({1: arrow.utf8([])}), TypeError, "column name"),
        (
            lambda: arrow.record_batch({"a": arrow.utf8([]), "b": arrow.utf8(["x"])}),
            ValueError,
            "'b' has 1 rows",
        ),
        (arrow.Column, TypeError, "made by"),
        (arrow.RecordBatch, TypeError, "record_batch"),
    ],
)
def test_wrong_arguments_are_named(call: object, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        call()  # type: ignore[operator]
