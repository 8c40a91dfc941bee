"""Bad input to `add`: a clear error that names the value and the remedy, and an untouched store."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agentmem import (
    InvalidInputError,
    LimitError,
    Memory,
    ScopeError,
    UnsupportedError,
    VectorError,
)

DIM = 256
MISSING = "01890a5d-ac96-774b-bcce-b302099a8057"


def vec(value: float) -> np.ndarray:
    vector = np.full(DIM, 0.5)
    vector[7] = value
    return vector


BAD_ADDS: dict[str, tuple[Callable[[Memory], object], type[Exception], str]] = {
    "empty text": (lambda m: m.add("", user_id="u"), InvalidInputError, "empty"),
    "blank text": (lambda m: m.add(" \n\t", user_id="u"), InvalidInputError, "empty"),
    "10 MB text": (lambda m: m.add("word " * 2_000_000, user_id="u"), LimitError, "max_content_b"),
    "lone surrogate": (
        lambda m: m.add("bad \ud800 text", user_id="u"),
        InvalidInputError,
        "surrogate.*position 4",
    ),
    "NUL": (lambda m: m.add("a\0b", user_id="u"), InvalidInputError, "NUL.*position 1"),
    "not a text": (lambda m: m.add(b"bytes", user_id="u"), InvalidInputError, "bytes"),
    "no messages": (lambda m: m.add([], user_id="u"), InvalidInputError, "empty list"),
    "message without content": (
        lambda m: m.add({"role": "user"}, user_id="u"),
        InvalidInputError,
        "no content",
    ),
    "unknown message key": (
        lambda m: m.add({"content": "x", "metadta": {}}, user_id="u"),
        InvalidInputError,
        "metadta",
    ),
    "unknown item key": (
        lambda m: m.add_batch([{"content": "x", "user": "u"}], user_id="u"),
        InvalidInputError,
        r"items\[0\].*'user'",
    ),
    "one bad item of many": (
        lambda m: m.add_batch(["good"] * 20 + [""], user_id="u"),
        InvalidInputError,
        r"items\[20\]",
    ),
    "a string as a batch": (lambda m: m.add_batch("text", user_id="u"), InvalidInputError, "list"),
    "no scope": (lambda m: m.add("text"), ScopeError, "user_id="),
    "no scope in an item": (lambda m: m.add_batch(["text"]), ScopeError, "user_id="),
    "empty scope": (lambda m: m.add("text", user_id=" "), ScopeError, "user_id"),
    "scope of another type": (lambda m: m.add("text", user_id=7), ScopeError, "7"),
    "long scope": (lambda m: m.add("text", user_id="x" * 513), LimitError, "max_scope_bytes"),
    "vector of another size": (
        lambda m: m.add("text", user_id="u", vector=[1.0, 2.0]),
        VectorError,
        r"\(2,\).*256|256",
    ),
    "vectors for fewer texts": (
        lambda m: m.add_batch(["a", "b"], user_id="u", vectors=np.ones((1, DIM))),
        VectorError,
        r"\(2, 256\).*\(1, 256\)",
    ),
    "NaN": (lambda m: m.add("text", user_id="u", vector=vec(math.nan)), VectorError, "nan.*7"),
    "infinity": (lambda m: m.add("text", user_id="u", vector=vec(-math.inf)), VectorError, "inf"),
    "zero vector": (
        lambda m: m.add("text", user_id="u", vector=np.zeros(DIM)),
        VectorError,
        "zero",
    ),
    "vector of words": (
        lambda m: m.add("text", user_id="u", vector=["x"] * DIM),
        VectorError,
        "numbers",
    ),
    "masked vectors": (
        lambda m: m.add_batch(
            ["a"], user_id="u", vectors=np.ma.masked_less(np.full((1, DIM), 0.5), 1.0)
        ),
        VectorError,
        "masked",
    ),
    "a masked vector": (
        lambda m: m.add("a", user_id="u", vector=np.ma.masked_less(np.full(DIM, 0.5), 1.0)),
        VectorError,
        "masked",
    ),
    "ragged vectors": (
        lambda m: m.add_batch(["a", "b"], user_id="u", vectors=[[1.0], [1.0, 2.0]]),
        VectorError,
        "ragged|shape",
    ),
    "memory type": (lambda m: m.add("x", user_id="u", memory_type="big"), InvalidInputError, "big"),
    "importance": (lambda m: m.add("x", user_id="u", importance=2), InvalidInputError, "0 to 1"),
    "timestamp": (lambda m: m.add("x", user_id="u", timestamp="soon"), InvalidInputError, "soon"),
    "far timestamp": (lambda m: m.add("x", user_id="u", timestamp=1e15), InvalidInputError, "year"),
    "early timestamp": (
        lambda m: m.add("x", user_id="u", timestamp="0001-01-01T00:00:00+14:00"),
        InvalidInputError,
        "year",
    ),
    "late expiration": (
        lambda m: m.add("x", user_id="u", expiration_date="9999-12-31T23:59:59-14:00"),
        InvalidInputError,
        "year",
    ),
    "huge timestamp": (
        lambda m: m.add("x", user_id="u", timestamp=10**5000),
        InvalidInputError,
        "",
    ),
    "huge integer": (
        lambda m: m.add("x", user_id="u", metadata={"n": 10**5000}),
        InvalidInputError,
        "640 digits",
    ),
    "huge level": (lambda m: m.add("x", user_id="u", level=2**70), InvalidInputError, "64 bits"),
    "a word for a flag": (
        lambda m: m.add_batch(["x"], user_id="u", dedupe="no"),
        InvalidInputError,
        "dedupe",
    ),
    "an endless batch": (
        lambda m: m.add_batch(iter(lambda: "x", None), user_id="u"),
        LimitError,
        "max_batch",
    ),
    "metadata not a dict": (
        lambda m: m.add("x", user_id="u", metadata=[1]),
        InvalidInputError,
        "dictionary",
    ),
    "metadata NaN": (
        lambda m: m.add("x", user_id="u", metadata={"a": {"b": math.nan}}),
        InvalidInputError,
        r"metadata\.a\.b",
    ),
    "metadata object": (
        lambda m: m.add("x", user_id="u", metadata={"a": object()}),
        InvalidInputError,
        "JSON",
    ),
    "metadata too large": (
        lambda m: m.add("x", user_id="u", metadata={"a": "x" * 300_000}),
        LimitError,
        "max_metadata_bytes",
    ),
    "infer": (lambda m: m.add("x", user_id="u", infer=True), UnsupportedError, "language model"),
    "not a UUID": (
        lambda m: m.add_batch([{"content": "x", "id": "seven"}], user_id="u"),
        InvalidInputError,
        "seven.*UUID",
    ),
    "too many items": (
        lambda m: m.add_batch(["x"] * 100_001, user_id="u"),
        LimitError,
        "max_batch",
    ),
}


@pytest.mark.parametrize("case", BAD_ADDS)
def test_adding(full: Memory, case: str) -> None:
    call, error, words = BAD_ADDS[case]
    with pytest.raises(error, match=f"(?s){words}"):
        call(full)


@pytest.mark.parametrize(
    ("call", "begins"),
    [
        (lambda m: m.add(" "), "messages is empty"),
        (lambda m: m.add({"role": "user", "content": 3}), "messages content must be a string"),
        (lambda m: m.add({"role": " ", "content": "x"}), "role is empty"),
        (lambda m: m.add(["x", {"content": ""}]), "messages[1] content is empty"),
        (lambda m: m.add(["x", {"content": "y", "role": ""}]), "messages[1]: role is empty"),
        (lambda m: m.add("x", vector=[1.0]), "vector must have shape (1, 256), not (1,)"),
        (lambda m: m.add("x", vector=vec(math.nan)), "vector must be finite, and has nan"),
        (lambda m: m.add("x", vector=np.zeros(DIM)), "vector must not be a zero vector"),
        (lambda m: m.add(["x", "y"], vector=[1.0]), "vector must have shape (2, 256), not (1,)"),
        (lambda m: m.add_batch(["x", "y"], vectors=[1.0]), "vectors must have shape (2, 256)"),
        (lambda m: m.add_batch([" "]), "items[0] is empty"),
        (lambda m: m.add_batch([{"content": "x", "vector": [1.0]}]), "items[0]: vector must"),
        (lambda m: m.update(MISSING, " "), "text is empty"),
        (lambda m: m.update(MISSING, importance=7), "importance must be"),
        (lambda m: m.update_batch([{"id": MISSING, "text": " "}]), "items[0]: text is empty"),
    ],
)
def test_an_error_names_what_the_caller_gave(
    tmp_path: Path, call: Callable[[Memory], object], begins: str
) -> None:
    with Memory(tmp_path / "m", embedder="static", user_id="u") as memory:
        with pytest.raises(InvalidInputError) as caught:
            call(memory)
        assert str(caught.value).startswith(begins)


def test_metadata_is_not_kept_by_reference(mem: Memory) -> None:
    given = {"a": [1]}
    [result] = mem.add("x", user_id="u", metadata=given)["results"]
    given["a"].append(2)
    assert mem.get(result["id"])["metadata"] == {"a": [1]}
    assert json.dumps(mem.get(result["id"]))
