"""The ONNX encoder: agreement with a bare session, settings, concurrency, failures."""

from __future__ import annotations

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest
from tokenizers import Tokenizer

from agentmem import models
from agentmem._native import batching
from agentmem.config import EmbeddingConfig
from agentmem.embed.onnx import OnnxEncoder
from agentmem.embed.work import CALL_TOKENS, Work, batch_tokens, cut_by_length
from agentmem.errors import ModelCorruptError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from agentmem.embed.local import LocalEmbedder
    from agentmem.types import ModelFiles

    Sentences = Callable[..., list[str]]


def plainly(files: ModelFiles, texts: list[str]) -> NDArray[np.float32]:
    """The model run one text at a time by ONNX Runtime as it comes, pooled by NumPy."""
    session = ort.InferenceSession(str(files.weights), providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(files.tokenizer))
    tokenizer.no_padding()
    tokenizer.enable_truncation(files.max_length)
    rows = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        hidden = session.run(["last_hidden_state"], feed)[0][0]
        pooled = hidden[0] if files.pooling == "cls" else hidden.mean(axis=0)
        rows.append(pooled / np.linalg.norm(pooled))
    return np.array(rows)


@pytest.mark.parametrize("name", ["minilm", "minilm-fp32"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_it_agrees_with_a_bare_session(
    name: str,
    pooling: str,
    opened: Callable[..., LocalEmbedder],
    sentences: Sentences,
    strange: list[str],
) -> None:
    files = replace(models.provision(name), pooling=pooling)
    texts = [*strange, *sentences(20, seed=3)]
    found, expected = opened(files).embed(texts), plainly(files, texts)
    if name == "minilm-fp32":
        np.testing.assert_allclose(found, expected, atol=1e-5)
    else:
        # Rounding differs in the last bit between two ways to write a layer norm, and then a
        # value near the middle of two integers may fall to the other side.
        assert (found * expected).sum(axis=1).min() > 0.999


@pytest.mark.parametrize(
    "settings",
    [
        {"sessions": 1},
        {"sessions": 5},
        {"sessions": 2, "threads_per_session": 2},
        {"max_batch_tokens": 1},
        {"max_batch_tokens": 100_000, "sessions": 1},
    ],
)
def test_settings_do_not_change_vectors(
    settings: dict[str, int],
    minilm_files: ModelFiles,
    minilm: LocalEmbedder,
    opened: Callable[..., LocalEmbedder],
    sentences: Sentences,
) -> None:
    texts = sentences(60, seed=4)
    np.testing.assert_allclose(
        opened(minilm_files, **settings).embed(texts), minilm.embed(texts), atol=1e-6
    )


def test_max_length_keeps_fewer_tokens(
    minilm_files: ModelFiles, minilm: LocalEmbedder, opened: Callable[..., LocalEmbedder]
) -> None:
    shorter = opened(minilm_files, max_length=10)
    text = "one two three four five six seven eight"
    np.testing.assert_allclose(
        shorter.embed([text + " nine ten eleven"]), minilm.embed([text]), atol=1e-6
    )
    # never more than the model can take
    longer = opened(minilm_files, max_length=100_000)
    np.testing.assert_allclose(
        longer.embed(["word " * 1000]), minilm.embed(["word " * 1000]), atol=1e-6
    )


def test_queries_stand_behind_the_query_prefix(
    minilm_files: ModelFiles, opened: Callable[..., LocalEmbedder]
) -> None:
    made = opened(replace(minilm_files, query_prefix="Represent this: "))
    found = made.embed_queries(["where is she?", "", "where is she?"])
    expected = made.embed(["Represent this: where is she?", "Represent this: "])
    np.testing.assert_allclose(found, expected[[0, 1, 0]], atol=1e-6)
    assert np.abs(found[0] - made.embed(["where is she?"])[0]).max() > 0.01


def test_a_small_call_overtakes_a_large_one(
    minilm_files: ModelFiles, opened: Callable[..., LocalEmbedder], sentences: Sentences
) -> None:
    made = opened(minilm_files)
    made.warm_up()
    texts = sentences(800, seed=5)
    started = threading.Event()

    def large() -> None:
        started.set()
        made.embed(texts)

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(large)
        started.wait(30)
        for i in range(5):
            made.embed([f"a query of its own {i}"])
        assert not running.done()
        running.result(300)


def test_every_text_is_in_exactly_one_batch() -> None:
    texts = [str(i) for i in range(10_000)]
    rng = np.random.default_rng(0)
    ids = {t: [1] * int(n) for t, n in zip(texts, rng.integers(0, 70, len(texts)), strict=True)}
    work = Work(texts, lambda window: [ids[t] for t in window], limit=512, sessions=3)
    work.first()
    seen = []
    while (batch := work.take()) is not None:
        work.done()
        assert batch.ids.size <= 512
        assert batch.mask.sum() == sum(len(ids[texts[row]]) for row in batch.rows)
        seen += batch.rows.tolist()
    assert sorted(seen) == list(range(10_000))
    assert work.take() is None


def test_stopped_work_hands_out_nothing() -> None:
    work = Work(["a"] * 10, lambda window: [[1]] * len(window), limit=1, sessions=1)
    assert work.first() == (10, 10)
    assert work.take() is not None
    work.stop()
    assert work.take() is None


def test_the_caller_waits_for_batches_that_others_took_and_gets_their_error() -> None:
    work = Work(["a"] * 3, lambda window: [[1]] * len(window), limit=1, sessions=1)
    work.first()
    assert work.take() is not None
    with ThreadPoolExecutor(1) as threads:
        assert work.take() is not None
        waiting = threads.submit(work.wait)
        work.done()
        assert not waiting.done()
        work.done(ModelError("failed elsewhere"))
        with pytest.raises(ModelError, match="failed elsewhere"):
            waiting.result(30)
    assert work.take() is None  # the third batch is not worth computing any more


def test_it_works_alone_where_no_helper_thread_is_to_be_had(
    minilm_files: ModelFiles, minilm: LocalEmbedder, sentences: Sentences
) -> None:
    encoder = OnnxEncoder(minilm_files, EmbeddingConfig(sessions=4))
    encoder._helpers.shutdown()
    texts = sentences(60, seed=8)
    np.testing.assert_allclose(encoder.encode(texts), minilm.embed(texts), atol=1e-6)


@pytest.mark.parametrize(
    ("lengths", "sessions", "batches"),
    [
        ([10] * 20, 1, 1),
        ([10] * 20, 2, 2),
        ([10] * 20, 8, 4),  # not cut below 64 tokens
        ([20] * 55, 2, 4),  # 2.1 times the limit
        (list(range(3, 23)), 2, 3),  # padding makes them uneven
        ([5], 4, 1),
        ([300, 300], 2, 2),
        ([600], 2, 1),
    ],
)
def test_sessions_get_equal_parts(lengths: list[int], sessions: int, batches: int) -> None:
    size = batch_tokens(lengths, 512, sessions)
    cut = batching.make_batches([[1] * n for n in lengths], size, 64).batches
    assert len(cut) == batches
    assert all(ids.size <= max(512, *lengths, 0) for ids, _ in cut)


def test_no_tokens_are_no_trouble() -> None:
    assert batch_tokens([], 512, 2) >= 1
    assert batch_tokens([0, 0], 512, 2) >= 1


def test_a_failing_model_call_is_an_error_of_the_whole_call(
    minilm_files: ModelFiles,
    minilm: LocalEmbedder,
    opened: Callable[..., LocalEmbedder],
    sentences: Sentences,
) -> None:
    # 512 positions are all the network has: a longer text makes its embedding layer fail
    made = opened(replace(minilm_files, max_length=4000), sessions=3)
    texts = sentences(300, seed=6)
    for at in (0, 150, 299):
        bad = [*texts[:at], "word " * 1000, *texts[at:]]
        with pytest.raises(ModelError, match=r"'minilm' failed on a batch of shape \(1, 1002\)"):
            made.embed(bad)
    np.testing.assert_allclose(made.embed(texts), minilm.embed(texts), atol=1e-6)


def test_damaged_weights_are_named(
    minilm_files: ModelFiles, opened: Callable[..., LocalEmbedder], tmp_path: Path
) -> None:
    whole = minilm_files.weights.read_bytes()
    path = tmp_path / "model.onnx"
    damaged = replace(minilm_files, weights=path)
    made = opened(damaged)
    with pytest.raises(ModelCorruptError, match=r"model\.onnx cannot be loaded.*pull --force"):
        made.embed(["text"])  # missing
    for content in (b"", b"not a model", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelCorruptError, match=r"model\.onnx"):
            made.embed(["text"])
    path.write_bytes(whole)
    assert made.embed(["text"]).shape == (1, 384)


def test_a_model_of_another_width_is_refused(
    minilm_files: ModelFiles, opened: Callable[..., LocalEmbedder]
) -> None:
    with pytest.raises(ModelCorruptError, match="384 dimensions, minilm has 256"):
        opened(replace(minilm_files, dim=256)).embed(["text"])


def test_a_graph_that_is_no_encoder_is_refused(
    minilm_files: ModelFiles, opened: Callable[..., LocalEmbedder], tmp_path: Path
) -> None:
    import onnx

    info = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    opset = [onnx.helper.make_opsetid("", 17)]
    graph = onnx.helper.make_graph([node], "identity", [info], [out])
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelCorruptError, match=r"inputs \['x'\] and outputs \['y'\]"):
        opened(replace(minilm_files, weights=path)).embed(["text"])


def test_rows_are_cut_by_length_at_the_least_cost() -> None:
    def cost(lengths: tuple[int, ...], ends: list[int]) -> int:
        begins = [0, *ends]
        return sum(
            CALL_TOKENS + (e - b) * max(lengths[b:e]) for b, e in zip(begins, ends, strict=False)
        )

    chance = random.Random(3)
    for _ in range(100):
        n = chance.randint(1, 9)
        lengths = tuple(sorted(chance.randint(1, 60) for _ in range(n)))
        every = [[*cuts, n] for k in range(n) for cuts in itertools.combinations(range(1, n), k)]
        found = cut_by_length(list(lengths))
        assert cost(lengths, found) == min(cost(lengths, ends) for ends in every)
    assert cut_by_length([]) == []
