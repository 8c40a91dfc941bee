"""Models provisioned once, into the user's own cache, and small BERTs made on the spot."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from agentmem.models import provision, sources
from agentmem.models.registry import MINILM
from agentmem.types import ModelFiles

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "!", "?", "a", "7", "é", "the", "of"]
WORDS += ["cat", "dog", "sat", "on", "mat", "ran", "home", "blue", "moon", "##s"]


#: Sentences of many kinds, none of which is in the calibration text.
SENTENCES = [
    "My grandfather kept bees behind the chapel until the winter of 1963.",
    "Could you move our call to Thursday? I have a dentist appointment at nine.",
    "The vaccine trial enrolled 412 volunteers across eleven clinics.",
    "I can't stand coriander; it tastes like soap to me.",
    "Kubernetes evicted the pod because the node ran out of ephemeral storage.",
    "Her passport expires in August, so renew it before booking the flight to Seoul.",
    "no",
    "We painted the nursery yellow and hung paper cranes over the cot.",
    "Under clause 7 the supplier must insure the goods until they are delivered.",
    "He tore a ligament playing futsal and will be on crutches for six weeks.",
    "What was the name of the restaurant where we had the grilled octopus?",
    "A comet's tail always points away from the sun.",
    "Tell Anneke the piano tuner is coming on the 14th, and that he hates cats.",
    "import pandas as pd; df = pd.read_csv('sales.csv'); print(df.describe())",
    "The ferry to Stromness was cancelled because of fog, so they slept in the car.",
    "Ella trabaja en una biblioteca y estudia arquitectura por las noches.",
    "I finally finished the marathon! Four hours, two blisters, zero regrets.",
    "Interest is compounded monthly at an annual nominal rate of 4.2 percent.",
    "The cat knocked the orchid off the windowsill again.",
    "Our landlord agreed to fix the boiler but not the broken skylight.",
]


class Runner:
    """Token ids and vectors of one model."""

    def __init__(self, files: ModelFiles) -> None:
        self.files = files
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = ort.InferenceSession(
            str(files.weights), options, providers=["CPUExecutionProvider"]
        )
        self.tokenizer = load_tokenizer(files.tokenizer, files.max_length)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [e.ids for e in self.tokenizer.encode_batch(list(texts))]

    def hidden(self, ids: Sequence[Sequence[int]], pad_to: int = 0) -> list[np.ndarray]:
        """Hidden states of one batch, each without its padding."""
        length = max(pad_to, *(len(i) for i in ids))
        rows = np.zeros((len(ids), length), np.int64)
        mask = np.zeros_like(rows)
        for row, some in enumerate(ids):
            rows[row, : len(some)] = some
            mask[row, : len(some)] = 1
        (out,) = self.session.run(None, {"input_ids": rows, "attention_mask": mask})
        return [out[row, : len(some)] for row, some in enumerate(ids)]

    def pool(self, hidden: np.ndarray) -> np.ndarray:
        x = hidden[0] if self.files.pooling == "cls" else hidden.mean(axis=0)
        return x / np.linalg.norm(x)

    def embed(self, texts: Sequence[str], rows: int = 16) -> np.ndarray:
        """(n, dim), in batches of texts of similar length."""
        ids = self.ids(texts)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        out = np.empty((len(ids), self.files.dim), np.float32)
        for start in range(0, len(order), rows):
            batch = order[start : start + rows]
            for i, hidden in zip(batch, self.hidden([ids[i] for i in batch]), strict=True):
                out[i] = self.pool(hidden)
        return out


class Table:
    """Vectors from a static table."""

    def __init__(self, files: ModelFiles) -> None:
        self.table = np.load(files.weights).astype(np.float32)
        self.tokenizer = load_tokenizer(files.tokenizer, files.max_length)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = [self.table[e.ids].sum(axis=0) for e in self.tokenizer.encode_batch(list(texts))]
        sums = np.stack(rows)
        return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def load_tokenizer(path: Path, max_length: int) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    return SENTENCES


@pytest.fixture(scope="session")
def load() -> Callable[[ModelFiles], Runner | Table]:
    """The model of provisioned files, ready to embed."""
    return lambda files: Table(files) if files.kind == "static" else Runner(files)


@pytest.fixture(scope="session")
def minilm() -> ModelFiles:
    return provision("minilm")


@pytest.fixture(scope="session")
def fp32() -> ModelFiles:
    return provision("minilm-fp32")


@pytest.fixture(scope="session")
def static() -> ModelFiles:
    return provision("static")


@pytest.fixture(scope="session")
def published(fp32: ModelFiles) -> Path:
    """A folder with MiniLM's published files."""
    spec_folder = sources.source_folder(MINILM)
    if sources.verified(MINILM, spec_folder) is None:  # built elsewhere: fetch them
        provision("minilm-fp32", force=True)
    return spec_folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model cache, and no other place where a model could be found."""
    monkeypatch.setenv("AGENTMEM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("AGENTMEM_MODELS", raising=False)
    monkeypatch.delenv("AGENTMEM_OFFLINE", raising=False)
    return tmp_path / "cache" / "models"


@pytest.fixture(scope="session")
def eval_data() -> Path:
    """Folder of the evaluation sets, which are not part of the project."""
    default = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("AGENTMEM_EVAL_DATA", default))
    if not (folder / "locomo-dev5.json").is_file():
        pytest.skip(f"no locomo-dev5.json in {folder}; set AGENTMEM_EVAL_DATA to its folder")
    return folder


@pytest.fixture
def make_bert(tmp_path: Path) -> Callable[..., Path]:
    """Writes a random little BERT as a model folder and returns it."""

    def make(name: str = "tiny", *, prefix: str = "", seed: int = 0, **config: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        settings = {
            "model_type": "bert",
            "num_hidden_layers": 2,
            "hidden_size": 24,
            "num_attention_heads": 3,
            "intermediate_size": 40,
            "vocab_size": len(WORDS),
            "max_position_embeddings": 32,
            "type_vocab_size": 2,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "pad_token_id": 0,
            **config,
        }
        (folder / "config.json").write_text(json.dumps(settings))
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
        save_file(bert_weights(settings, prefix, seed), str(folder / "model.safetensors"))
        return folder

    return make


def bert_weights(config: dict[str, Any], prefix: str, seed: int) -> dict[str, np.ndarray]:
    """Random weights of a size that makes every part of the network matter."""
    rng = np.random.default_rng(seed)
    h, m = config["hidden_size"], config["intermediate_size"]

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[-1]))

    weights = {
        "embeddings.word_embeddings.weight": draw(config["vocab_size"], h) * 4,
        "embeddings.position_embeddings.weight": draw(config["max_position_embeddings"], h),
        "embeddings.token_type_embeddings.weight": draw(config["type_vocab_size"], h),
        "pooler.dense.weight": draw(h, h),
    }
    linear = {"attention.self.query": (h, h), "attention.self.key": (h, h)}
    linear |= {"attention.self.value": (h, h), "attention.output.dense": (h, h)}
    linear |= {"intermediate.dense": (m, h), "output.dense": (h, m)}
    norms = ["embeddings.LayerNorm"]
    for i in range(config["num_hidden_layers"]):
        for part, shape in linear.items():
            weights[f"encoder.layer.{i}.{part}.weight"] = draw(*shape) * 2
            weights[f"encoder.layer.{i}.{part}.bias"] = draw(shape[0])
        norms += [f"encoder.layer.{i}.{n}.LayerNorm" for n in ("attention.output", "output")]
    for norm in norms:
        weights[f"{norm}.weight"] = 1 + draw(h)
        weights[f"{norm}.bias"] = draw(h)
    return {prefix + name: value for name, value in weights.items()}


def tokenizer_json() -> dict[str, Any]:
    """A WordPiece tokenizer over ``WORDS`` in the format of the tokenizers library."""
    special = [
        {
            "id": i,
            "content": word,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, word in enumerate(WORDS)
        if word.startswith("[")
    ]
    pieces = {w: {"id": w, "ids": [WORDS.index(w)], "tokens": [w]} for w in ("[CLS]", "[SEP]")}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": pieces,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {word: i for i, word in enumerate(WORDS)},
        },
    }
