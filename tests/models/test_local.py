"""A folder as a model: its own settings are read, what cannot be provided is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

from agentmem.errors import ModelCorruptError, ModelNotFoundError, UnsupportedError
from agentmem.models import provision, resolve

TEXTS = ["the cat sat on the mat", "a blue moon", "dogs ran home!", "the"]


def write(folder: Path, name: str, value: Any) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.mark.usefixtures("cache")
def test_a_folder_becomes_integers_close_to_its_weights(
    make_bert: Callable[..., Path], load: Callable[..., Any]
) -> None:
    folder = make_bert()
    files, single = provision(str(folder)), provision(f"{folder}@fp32")
    assert files.dim == single.dim == 24
    assert files.max_length == 32
    assert files.model_id != single.model_id
    cosines = (load(files).embed(TEXTS) * load(single).embed(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.99
    assert cosines.max() < 0.9999999


@pytest.mark.usefixtures("cache")
def test_its_own_settings_decide(make_bert: Callable[..., Path], load: Callable[..., Any]) -> None:
    folder = make_bert()
    mean = provision(f"{folder}@fp32")
    write(folder, "1_Pooling/config.json", {"pooling_mode_cls_token": True, "dim": 24})
    write(folder, "sentence_bert_config.json", {"max_seq_length": 6})
    write(folder, "config_sentence_transformers.json", {"prompts": {"query": "the cat "}})
    write(folder, "modules.json", [{"type": "sentence_transformers.models.Transformer"}])
    cls = provision(f"{folder}@fp32")
    assert (cls.pooling, cls.max_length, cls.query_prefix) == ("cls", 6, "the cat ")
    assert (mean.pooling, mean.max_length, mean.query_prefix) == ("mean", 32, "")
    assert cls.model_id != mean.model_id
    assert len(load(cls).ids(["the cat sat on the mat"])[0]) == 6
    assert (load(cls).embed(TEXTS[1:]) * load(mean).embed(TEXTS[1:])).sum(axis=1).max() < 0.999


@pytest.mark.usefixtures("cache")
def test_a_model_that_loses_too_much_is_refused(
    make_bert: Callable[..., Path], load: Callable[..., Any]
) -> None:
    """One channel of the attention's output in units so small that its numbers are huge."""
    folder = make_bert()
    path = folder / "model.safetensors"
    weights = load_file(str(path))
    for layer in range(2):
        name = f"encoder.layer.{layer}.attention"
        weights[f"{name}.self.value.weight"][5] *= 1e5
        weights[f"{name}.self.value.bias"][5] *= 1e5
        weights[f"{name}.output.dense.weight"][:, 5] /= 1e5
    path.unlink()
    save_file(weights, str(path))
    with pytest.raises(UnsupportedError, match=r"mean cosine 0\.\d+.*tiny@fp32"):
        provision(str(folder))
    assert np.isfinite(load(provision(f"{folder}@fp32")).embed(TEXTS)).all()


def test_the_id_follows_the_files(make_bert: Callable[..., Path]) -> None:
    first = resolve(str(make_bert("one")))
    again = resolve(str(make_bert("two")))
    other = resolve(str(make_bert("three", seed=1)))
    assert first.model_id == again.model_id != other.model_id


@pytest.mark.usefixtures("cache")
def test_a_changed_folder_is_built_anew(
    make_bert: Callable[..., Path], load: Callable[..., Any]
) -> None:
    folder = make_bert()
    before = provision(f"{folder}@fp32")
    weights = load_file(str(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    save_file({k: v * np.float32(1.5) for k, v in weights.items()}, folder / "model.safetensors")
    after = provision(f"{folder}@fp32")
    assert after.model_id != before.model_id
    assert not np.allclose(load(before).embed(TEXTS), load(after).embed(TEXTS), atol=1e-3)


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(make_bert: Callable[..., Path], missing: str) -> None:
    folder = make_bert()
    (folder / missing).unlink()
    with pytest.raises(ModelNotFoundError, match=missing):
        resolve(str(folder))


@pytest.mark.parametrize(
    ("file", "value", "error"),
    [
        ("modules.json", [{"type": "sentence_transformers.models.Dense"}], UnsupportedError),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, UnsupportedError),
        ("config.json", {"model_type": "gpt2"}, UnsupportedError),
        ("config.json", {"hidden_act": "swish"}, UnsupportedError),
        ("config.json", {"position_embedding_type": "relative_key"}, UnsupportedError),
        ("config.json", {"hidden_size": 24}, ModelCorruptError),
        ("config.json", [], ModelCorruptError),
        ("modules.json", {"type": 3}, ModelCorruptError),
        ("sentence_bert_config.json", {"max_seq_length": "long"}, ModelCorruptError),
    ],
)
def test_what_cannot_be_provided_is_refused(
    make_bert: Callable[..., Path], file: str, value: Any, error: type[Exception]
) -> None:
    folder = make_bert()
    write(folder, file, value)
    with pytest.raises(error, match=file.rsplit("/", maxsplit=1)[-1]):
        resolve(str(folder))


@pytest.mark.usefixtures("cache")
def test_weights_of_another_shape_are_refused(make_bert: Callable[..., Path]) -> None:
    folder = make_bert()
    config = json.loads((folder / "config.json").read_text())
    write(folder, "config.json", {**config, "intermediate_size": 41})
    with pytest.raises(ModelCorruptError, match=r"shape \(40, 24\)"):
        provision(str(folder))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 100])
def test_damaged_weights_are_refused(make_bert: Callable[..., Path], content: bytes) -> None:
    folder = make_bert()
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelCorruptError, match=r"model\.safetensors"):
        provision(str(folder))


def foreign_model(folder: Path, *, types: bool, output: str, rank: int = 3) -> None:
    """A model.onnx that only looks words up, with the inputs that exporters give."""
    table = np.random.default_rng(0).standard_normal((22, 8)).astype(np.float32)
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows"], axis=0)]
    last = "rows"
    if types:
        nodes.append(helper.make_node("Gather", ["table", "token_type_ids"], ["typed"], axis=0))
        nodes.append(helper.make_node("Add", ["rows", "typed"], ["both"]))
        last = "both"
    nodes.append(helper.make_node("Identity", [last], [output]))
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "foreign",
        [info(i, TensorProto.INT64, ["b", "s"]) for i in inputs],
        [info(output, TensorProto.FLOAT, ["b", "s", 8][:rank])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    (folder / "model.safetensors").unlink(missing_ok=True)
    (folder / "config.json").unlink(missing_ok=True)
    onnx.save(model, str(folder / "model.onnx"))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("types", [False, True])
@pytest.mark.parametrize("output", ["last_hidden_state", "token_embeddings"])
def test_an_exported_graph_serves(
    make_bert: Callable[..., Path], load: Callable[..., Any], types: bool, output: str
) -> None:
    folder = make_bert()
    foreign_model(folder, types=types, output=output)
    files = provision(str(folder))
    assert files.dim == 8
    runner = load(files)
    assert [i.name for i in runner.session.get_inputs()] == ["input_ids", "attention_mask"]
    assert [o.name for o in runner.session.get_outputs()] == ["last_hidden_state"]
    vectors = runner.embed(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_graph_without_hidden_states_is_refused(make_bert: Callable[..., Path]) -> None:
    folder = make_bert()
    foreign_model(folder, types=False, output="logits")
    with pytest.raises(UnsupportedError, match=r"logits.*last_hidden_state"):
        resolve(str(folder))


def test_a_damaged_graph_is_refused(make_bert: Callable[..., Path]) -> None:
    folder = make_bert()
    foreign_model(folder, types=False, output="last_hidden_state")
    (folder / "model.onnx").write_bytes(b"\x08\x99nonsense")
    with pytest.raises(ModelCorruptError, match=r"model\.onnx"):
        resolve(str(folder))
