"""Loading once, closing, forking."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agentmem import embed, models
from agentmem.config import EmbeddingConfig
from agentmem.errors import ClosedError, ModelError, OfflineError
from agentmem.ports import Embedder

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentmem.embed.local import LocalEmbedder
    from agentmem.types import ModelFiles

    Sentences = Callable[..., list[str]]


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_what_the_other_floors_expect() -> None:
    spec = models.resolve("minilm")
    made = embed.create(spec, lambda: models.provision("minilm"), EmbeddingConfig())
    assert isinstance(made, Embedder)
    assert (made.dim, made.model_id, made.name) == (384, spec.model_id, "minilm")
    made.close()


def test_making_one_imports_nothing_and_loads_nothing() -> None:
    out = run_python(
        """
import sys
from agentmem import embed, models
from agentmem.config import EmbeddingConfig
def load(): raise AssertionError("loaded")
e = embed.create(models.resolve("minilm"), load, EmbeddingConfig())
e.model_id, e.dim, repr(e)
e.close()
print([m for m in ("numpy", "onnxruntime", "tokenizers") if m in sys.modules])
"""
    )
    assert out == "[]\n"


def test_many_first_callers_load_once(minilm_files: ModelFiles) -> None:
    loads: list[int] = []
    barrier = threading.Barrier(6)

    def load() -> ModelFiles:
        loads.append(threading.get_ident())
        return minilm_files

    made = embed.create(minilm_files, load, EmbeddingConfig())

    def first_use(i: int) -> np.ndarray:
        barrier.wait()
        return made.embed(["the same text"])[0]

    with ThreadPoolExecutor(6) as threads:
        vectors = list(threads.map(first_use, range(6)))
    assert len(loads) == 1
    assert all((v == vectors[0]).all() for v in vectors)
    made.close()


def test_a_failed_load_is_told_to_all_who_waited_and_can_be_tried_again(
    minilm_files: ModelFiles,
) -> None:
    loads = 0
    all_wait = threading.Event()
    waiting: list[int] = []

    def load() -> ModelFiles:
        nonlocal loads
        loads += 1
        if loads == 1:
            all_wait.wait(30)
            raise OfflineError("no network")
        return minilm_files

    made = embed.create(minilm_files, load, EmbeddingConfig())

    def call(i: int) -> str:
        waiting.append(i)
        if len(waiting) == 4:
            threading.Timer(0.2, all_wait.set).start()
        try:
            made.embed(["text"])
        except OfflineError as e:
            return str(e)
        return "embedded"

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(call, range(4))) == ["no network"] * 4
    assert loads == 1
    assert made.embed(["text"]).shape == (1, 384)
    assert loads == 2
    made.close()


def test_an_interrupted_load_leaves_it_to_the_next_who_waits(minilm_files: ModelFiles) -> None:
    loads = 0
    loading = threading.Event()
    second_waits = threading.Event()

    def load() -> ModelFiles:
        nonlocal loads
        loads += 1
        if loads == 1:
            loading.set()
            second_waits.wait(30)
            raise KeyboardInterrupt
        return minilm_files

    made = embed.create(minilm_files, load, EmbeddingConfig())

    def second() -> tuple[int, ...]:
        loading.wait(30)
        threading.Timer(0.2, second_waits.set).start()
        return made.embed(["text"]).shape

    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(second)
        with pytest.raises(KeyboardInterrupt):
            made.embed(["text"])
        assert other.result(60) == (1, 384)
    made.close()


def test_files_of_another_model_are_refused(minilm_files: ModelFiles) -> None:
    other = replace(minilm_files, model_id="something else")
    made = embed.create(minilm_files, lambda: other, EmbeddingConfig())
    with pytest.raises(ModelError, match="something else"):
        made.embed(["text"])
    made.close()


def test_closing_is_final_and_may_be_repeated(
    minilm_files: ModelFiles, opened: Callable[..., LocalEmbedder]
) -> None:
    made = opened(minilm_files)
    made.warm_up()
    made.close()
    made.close()
    for call in (made.embed, made.embed_queries):
        with pytest.raises(ClosedError, match="minilm"):
            call(["text"])
    with pytest.raises(ClosedError):
        made.warm_up()
    never_used = opened(minilm_files)
    never_used.close()
    with pytest.raises(ClosedError):
        never_used.embed(["text"])


def test_a_running_call_finishes_when_another_thread_closes(
    minilm_files: ModelFiles,
    minilm: LocalEmbedder,
    opened: Callable[..., LocalEmbedder],
    sentences: Sentences,
) -> None:
    texts = sentences(400, seed=2)
    made = opened(minilm_files)
    made.warm_up()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(made.embed, texts)
        while not running.running():
            pass
        made.close()
        vectors = running.result(60)
    np.testing.assert_allclose(vectors, minilm.embed(texts), atol=1e-6)


def test_closing_while_it_loads_closes_it(minilm_files: ModelFiles) -> None:
    loading, closed = threading.Event(), threading.Event()

    def load() -> ModelFiles:
        loading.set()
        closed.wait(30)
        return minilm_files

    made = embed.create(minilm_files, load, EmbeddingConfig())
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(made.embed, ["text"])
        loading.wait(30)
        made.close()
        closed.set()
        assert running.result(60).shape == (1, 384)  # it was called in time
    with pytest.raises(ClosedError):
        made.embed(["text"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize("name", ["minilm", "static"])
def test_a_forked_child_is_told_and_can_make_its_own(name: str) -> None:
    models.provision(name)
    out = run_python(
        f"""
import os
from agentmem import embed, models
from agentmem.config import EmbeddingConfig
from agentmem.errors import ClosedError
def make():
    spec = models.resolve({name!r})
    return embed.create(spec, lambda: models.provision({name!r}), EmbeddingConfig())
parent = make()
before = parent.embed(["some text", "another"])
pid = os.fork()
if pid == 0:
    try:
        parent.embed(["some text"])
    except ClosedError as e:
        assert str(os.getppid()) in str(e), e
    else:
        os._exit(3)
    parent.close()
    own = make()
    same = (abs(own.embed(["some text", "another"]) - before) < 1e-6).all()
    own.close()
    os._exit(0 if same else 4)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert (parent.embed(["some text", "another"]) == before).all()
print("ok")
"""
    )
    assert out == "ok\n"


def test_an_interpreter_exits_with_an_embedder_left_open() -> None:
    out = run_python(
        """
from agentmem import embed, models
from agentmem.config import EmbeddingConfig
spec = models.resolve("minilm")
e = embed.create(spec, lambda: models.provision("minilm"), EmbeddingConfig(sessions=2))
print(e.embed(["some text " * n for n in range(1, 90)]).shape)
"""
    )
    assert out == "(89, 384)\n"
