"""A user's own embedder: checked, normalised, its errors named after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agentmem.embed import wrap
from agentmem.errors import ClosedError, ConfigError, InvalidInputError, VectorError
from agentmem.ports import Embedder

if TYPE_CHECKING:
    from collections.abc import Sequence


class Letters:
    """Counts of letters: a small but true embedder."""

    dim = 26

    def __init__(self, change: Any = lambda x: x) -> None:
        self.change = change
        self.calls: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.calls.append(list(texts))
        return self.change(
            np.array([[t.count(chr(97 + i)) for i in range(26)] for t in texts], np.float64)
        )


def test_vectors_come_out_normalised() -> None:
    made = wrap(Letters())
    assert isinstance(made, Embedder)
    vectors = made.embed(["abc", "aaa", "zebra"])
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors[0, :3], 3**-0.5, atol=1e-6)
    assert made.embed([]).shape == (0, 26)


def test_the_users_array_is_not_touched() -> None:
    kept = np.full((1, 26), 2, np.float32)
    kept.flags.writeable = False
    np.testing.assert_allclose(wrap(Letters(lambda _: kept)).embed(["x"]), 26**-0.5, atol=1e-6)
    assert (kept == 2).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.float16),
        lambda x: x.astype(np.longdouble),
        lambda x: x.tolist(),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    ],
)
def test_any_floats_of_the_right_shape_will_do(change: Any) -> None:
    texts = ["abc", "hello there"]
    np.testing.assert_allclose(
        wrap(Letters(change)).embed(texts), wrap(Letters()).embed(texts), atol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda x: x[:1], r"must return shape \(2, 26\) for 2 texts, not \(1, 26\)"),
        (lambda x: x[:, :5], r"not \(2, 5\)"),
        (lambda x: x.ravel(), r"not \(52,\)"),
        (lambda x: None, r"not \(\)"),
        (lambda x: [[1.0], [1.0, 2.0]], r"\(2, 26\) array"),
        (lambda x: x.astype(np.int64), "must return floats, not int64"),
        (lambda x: x.astype(object), "not object"),
        (lambda x: x.astype(np.complex128), "not complex128"),
        (lambda x: np.where(np.arange(2)[:, None] == 1, np.nan, x), r"texts\[1\]: 'sea'"),
        (lambda x: x + np.inf, r"NaN or infinity.*texts\[0\]: 'land'"),
        (lambda x: x + 1e300, "too long for float32"),
        (lambda x: x * [[1], [0]], r"a vector of zeros.*texts\[1\]: 'sea'"),
        (lambda x: x + 3e38, "too long for float32"),
    ],
)
@pytest.mark.parametrize("call", ["embed", "embed_queries"])
def test_what_is_no_vector_is_refused_by_the_name_of_its_maker(
    change: Any, named: str, call: str
) -> None:
    made = wrap(Letters(change))
    with pytest.raises(VectorError, match=r"Letters\.embed"):
        getattr(made, call)(["land", "sea"])
    with pytest.raises(VectorError, match=named):
        getattr(made, call)(["land", "sea"])


def test_queries_go_their_own_way_where_there_is_one() -> None:
    class Two(Letters):
        def embed_queries(self, texts: Sequence[str]) -> Any:
            return self.embed(["z" for _ in texts])

    assert wrap(Two()).embed_queries(["abc"])[0, 25] == 1
    np.testing.assert_array_equal(
        wrap(Letters()).embed_queries(["abc"]), wrap(Letters()).embed(["abc"])
    )


def test_identity() -> None:
    class Named(Letters):
        name = "letters"

    class Identified(Letters):
        model_id = "letters-2024-05"

    assert wrap(Identified()).model_id == "letters-2024-05"
    assert wrap(Named()).model_id == "custom:letters:26"
    assert wrap(Named()).name == "letters"
    plain = wrap(Letters())
    assert plain.model_id.startswith("custom:")
    assert plain.model_id.endswith("Letters:26")
    assert plain.name == "Letters"


class NoEmbed:
    dim = 3


class NoDim:
    def embed(self, texts: Sequence[str]) -> Any: ...


class BadDim(NoDim):
    dim = "3"


class BoolDim(NoDim):
    dim = True


class ZeroDim(NoDim):
    dim = 0


class BadId(Letters):
    model_id = 7


@pytest.mark.parametrize("kind", [NoEmbed, NoDim, BadDim, BoolDim, ZeroDim, BadId, object])
def test_what_is_no_embedder_is_refused(kind: type) -> None:
    with pytest.raises(ConfigError, match=kind.__name__):
        wrap(kind())


def test_its_own_errors_come_through() -> None:
    def fail(_: Any) -> Any:
        raise ConnectionResetError("the service went away")

    with pytest.raises(ConnectionResetError, match="went away"):
        wrap(Letters(fail)).embed(["x"])


def test_texts_are_checked_before_it_is_called() -> None:
    user = Letters()
    with pytest.raises(InvalidInputError):
        wrap(user).embed("one string")
    assert user.calls == []


def test_warming_up_and_closing_reach_it_once() -> None:
    done: list[str] = []

    class Managed(Letters):
        def warm_up(self) -> None:
            done.append("warm_up")

        def close(self) -> None:
            done.append("close")

    made = wrap(Managed())
    made.warm_up()
    made.close()
    made.close()
    assert done == ["warm_up", "close"]
    with pytest.raises(ClosedError, match="Managed"):
        made.embed(["x"])
    wrap(Letters()).warm_up()
    wrap(Letters()).close()
