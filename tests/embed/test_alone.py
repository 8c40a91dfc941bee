"""The session of several threads: who gets it, when, and that vectors do not tell."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agentmem.config import EmbeddingConfig
from agentmem.embed.alone import Alone
from agentmem.embed.onnx import OnnxEncoder
from agentmem.errors import ConfigError, ModelCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agentmem.types import ModelFiles

    Sentences = Callable[..., list[str]]

QUICK = 10**9  # tokens of a call that costs next to nothing for each
SLOW = 1


@pytest.fixture
def helper() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


def small_call(alone: Alone, wide: int = SLOW, narrow: int = SLOW) -> bool:
    """One call by itself; whether it was given the wide session."""
    with alone.call() as call:
        given = call.wide(SLOW)
        call._tokens = wide if given else narrow
        return given is not None


def opened(helper: ThreadPoolExecutor, **tokens: int) -> Alone:
    alone = Alone(lambda: "wide", helper)
    while alone._wide is None:
        small_call(alone, **tokens)
    return alone


def test_it_is_opened_once_and_only_when_calls_could_have_used_it(
    helper: ThreadPoolExecutor,
) -> None:
    made: list[str] = []
    alone = Alone(lambda: made.append("wide") or "wide", helper)  # type: ignore[func-returns-value]
    small_call(alone)
    for _ in range(10):
        with alone.call():
            pass  # a large batch: no use for it
    helper.submit(lambda: None).result()
    assert made == []
    for _ in range(100):
        small_call(alone)
    helper.submit(lambda: None).result()
    assert made == ["wide"]


def test_warming_up_opens_it_once(helper: ThreadPoolExecutor) -> None:
    made: list[str] = []
    alone = Alone(lambda: made.append("wide") or "wide", helper)  # type: ignore[func-returns-value]
    alone.warm_up()
    assert alone._wide is not None
    alone.warm_up()
    for _ in range(20):
        small_call(alone)
    helper.submit(lambda: None).result()
    assert made == ["wide"]


def test_whoever_comes_while_another_runs_does_not_get_it(helper: ThreadPoolExecutor) -> None:
    alone = opened(helper, narrow=SLOW, wide=QUICK)
    with alone.call() as first:
        assert first.wide(QUICK) is not None
        with alone.call() as second:
            assert second.wide(QUICK) is None
    with alone.call() as third:
        assert third.wide(QUICK) is not None


@pytest.mark.parametrize("wide_is_quicker", [True, False])
def test_the_quicker_session_is_taken_and_the_other_looked_at_now_and_then(
    helper: ThreadPoolExecutor, wide_is_quicker: bool
) -> None:
    speeds = {"wide": QUICK, "narrow": SLOW} if wide_is_quicker else {"wide": SLOW, "narrow": QUICK}
    alone = opened(helper, **speeds)
    for _ in range(64):  # both are known
        small_call(alone, **speeds)
    given = [small_call(alone, **speeds) for _ in range(64)]
    assert given.count(wide_is_quicker) == 62
    assert given.count(not wide_is_quicker) == 2


def test_a_call_that_failed_says_nothing_of_speed(helper: ThreadPoolExecutor) -> None:
    alone = opened(helper)
    known = list(alone._cost)

    def interrupted() -> None:
        with alone.call() as call:
            call.wide(QUICK)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert alone._cost == known
    assert alone._running == 0


def test_where_it_cannot_be_opened_calls_go_on(
    helper: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ModelCorruptError("gone")

    alone = Alone(fail, helper)
    assert not any(small_call(alone) for _ in range(40))
    helper.submit(lambda: None).result()
    assert "gone" in caplog.text


@pytest.mark.parametrize("name", ["minilm", "minilm-fp32"])
def test_vectors_are_the_same(
    name: str, sentences: Sentences, strange: list[str], request: pytest.FixtureRequest
) -> None:
    from agentmem import models

    files: ModelFiles = models.provision(name)
    narrow = OnnxEncoder(files, EmbeddingConfig(threads_alone=1))
    wide = OnnxEncoder(files, EmbeddingConfig(threads_alone=3))
    request.addfinalizer(narrow.close)
    request.addfinalizer(wide.close)
    texts = [*strange, *sentences(40, seed=8)]
    lent = 0
    for text in texts:
        wide._alone._cost = [1.0, 0.0]  # as if several threads were always quicker
        np.testing.assert_allclose(wide.encode([text]), narrow.encode([text]), atol=1e-6)
        if wide._alone._wide is None and wide._alone._met >= 2:
            wide._helpers.submit(lambda: None).result()  # it is being opened
        lent += wide._alone._wide is not None
    assert lent > 20
    assert narrow._alone._wide is None


def test_too_many_threads_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"threads_alone must be at most 256, not 1000"):
        EmbeddingConfig(threads_alone=1000)
