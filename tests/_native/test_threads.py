"""Heavy kernels let other threads run meanwhile."""

from __future__ import annotations

import sys
from threading import Event, Thread
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agentmem._native import hashing, scan, vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Made beforehand: NumPy, too, lets go of the lock when it fills large arrays.
ROWS = 20_000
MATRIX = np.ones((ROWS, 384), np.float32)
HALVES = np.ones((ROWS, 384), np.float16)
CODES = np.ones((ROWS, 384), np.int8)
QUERY = np.ones(384, np.float32)
STATES = MATRIX.reshape(200, 100, 384)
LENGTHS = np.full(200, 100)
FLAT = np.zeros(200_000, np.int32)
WHOLE = np.array([0, len(FLAT)])
RISING = np.arange(2_000_000, dtype=np.float32)
SCORES = np.empty(ROWS, np.float32)
SUMS = np.empty(ROWS, np.int32)
TERMS = np.arange(ROWS * 20, dtype=np.uint64)
OFFSETS = np.arange(0, len(TERMS) + 1, 20)
COUNTS = np.ones(len(TERMS), np.uint16)
WORDS = np.full(ROWS, 20, np.uint32)
TEXT = "x" * 10_000_000

HEAVY: dict[str, Callable[[], object]] = {
    "dense_scores": lambda: scan.dense_scores(HALVES, QUERY, SCORES),
    "int8_scores": lambda: scan.int8_scores(CODES, CODES[0], SUMS),
    "top_k": lambda: scan.top_k(RISING, None, 1000),
    "postings": lambda: scan.Postings(OFFSETS, TERMS, COUNTS, WORDS),
    "top_k_dot": lambda: vectors.top_k_dot(HALVES, QUERY, 10),
    "normalize": lambda: vectors.normalize(MATRIX),
    "mean_pool": lambda: vectors.mean_pool(STATES, LENGTHS),
    "pool_table": lambda: vectors.pool_table(HALVES, None, FLAT, WHOLE),
    "to_f16": lambda: vectors.to_f16(MATRIX),
    "from_f16": lambda: vectors.from_f16(HALVES),
    "quantize_int8": lambda: vectors.quantize_int8(MATRIX),
    "dequantize_int8": lambda: vectors.dequantize_int8(CODES, SCORES),
    "hash_texts": lambda: hashing.hash_texts([TEXT]),
}


@pytest.fixture
def nobody_is_interrupted() -> Iterator[None]:
    """A thread keeps the interpreter lock until it gives it up by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("nobody_is_interrupted")
@pytest.mark.parametrize("name", HEAVY)
def test_the_lock_is_released(name: str) -> None:
    begun = Event()
    ended: list[bool] = []

    def work() -> None:
        begun.set()
        HEAVY[name]()
        ended.append(True)

    # Were the lock kept, we could never wake up between begin and end.  That it is given up
    # does not mean that we wake in time, so a busy machine has several tries.
    for _ in range(50):
        begun.clear()
        ended.clear()
        thread = Thread(target=work)
        thread.start()
        begun.wait()
        awake_meanwhile = not ended
        thread.join()
        if awake_meanwhile:
            return
    pytest.fail(f"{name} keeps the interpreter lock")
