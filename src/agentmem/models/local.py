"""A folder on this machine as a model."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Literal

from agentmem.errors import ModelCorruptError, ModelNotFoundError, UnsupportedError
from agentmem.models.architecture import read_architecture, read_json
from agentmem.models.registry import (
    ONNX,
    SINGLE,
    TOKENIZER,
    WEIGHTS,
    Recipe,
    Spec,
    data_bytes,
    model_id,
)

__all__ = ["resolve_folder"]

#: Files beside the weights that decide what a vector is.
_SETTINGS = (
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)


def resolve_folder(folder: Path, *, single: bool = False) -> Spec:
    """The model in ``folder``: ``model.safetensors`` (preferred) or ``model.onnx``, with
    ``tokenizer.json`` and, where there are, sentence-transformers' own settings.

    ``single`` asks for single precision instead of calibrated integers.

    Raises:
        ModelNotFoundError: weights or tokenizer are not in the folder.
        ModelCorruptError: a file cannot be read.
        UnsupportedError: a pooling or module that is not provided here.
    """
    weights = next((w for w in (WEIGHTS, ONNX) if (folder / w).is_file()), None)
    if weights is None or not (folder / TOKENIZER).is_file():
        lacking = f"{WEIGHTS} or {ONNX}" if weights is None else TOKENIZER
        raise ModelNotFoundError(f"{folder} is not a model: it has no {lacking}; put one there")
    _refuse_modules(folder)
    recipe: Recipe = "onnx" if weights == ONNX else "fp32" if single else "int8"
    if weights == WEIGHTS:
        arch = read_architecture(folder)
        dim, positions = arch.hidden, arch.max_positions
    else:
        dim, positions = _onnx_shape(folder)
    files = [weights, TOKENIZER, *(f for f in _SETTINGS if (folder / f).is_file())]
    sha256 = {name: _sha256(folder / name) for name in files}
    constants = [data_bytes("calibration.txt")] if recipe == "int8" else []
    return Spec(
        name=str(folder) + (SINGLE if single else ""),
        model_id=model_id(recipe, sha256, *constants),
        dim=dim,
        recipe=recipe,
        pooling=_pooling(folder),
        query_prefix=_query_prefix(folder),
        max_length=min(positions, _max_length(folder, positions)),
        summary=f"local folder, {recipe}",
        folder=folder,
        sha256=sha256,
    )


def _optional(path: Path) -> dict[str, object]:
    return read_json(path) if path.is_file() else {}


def _refuse_modules(folder: Path) -> None:
    path = folder / "modules.json"
    if not path.is_file():
        return
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        kinds = [str(m["type"]).rsplit(".", 1)[-1] for m in modules]
    except (OSError, ValueError, TypeError, KeyError) as e:
        raise ModelCorruptError(f"{path} cannot be read: {e!r}") from e
    other = [k for k in kinds if k not in ("Transformer", "Pooling", "Normalize")]
    if other:
        raise UnsupportedError(
            f"{path}: module {other[0]!r} is not provided; "
            "only Transformer, Pooling and Normalize are"
        )


def _pooling(folder: Path) -> Literal["mean", "cls"]:
    path = folder / "1_Pooling" / "config.json"
    values = _optional(path)
    chosen = sorted(k for k, v in values.items() if k.startswith("pooling_mode_") and v is True)
    if chosen in ([], ["pooling_mode_mean_tokens"]):
        return "mean"
    if chosen == ["pooling_mode_cls_token"]:
        return "cls"
    raise UnsupportedError(f"{path}: pooling {', '.join(chosen)} is not mean or CLS alone")


def _query_prefix(folder: Path) -> str:
    path = folder / "config_sentence_transformers.json"
    prompts = _optional(path).get("prompts") or {}
    if not isinstance(prompts, dict):
        raise ModelCorruptError(f"{path}: prompts is {prompts!r}, not an object")
    return str(prompts.get("query") or "")


def _max_length(folder: Path, positions: int) -> int:
    path = folder / "sentence_bert_config.json"
    value = _optional(path).get("max_seq_length")
    if value is None:
        return positions
    if not isinstance(value, int) or value < 3:
        raise ModelCorruptError(f"{path}: max_seq_length is {value!r}, not an integer above 2")
    return value


def _onnx_shape(folder: Path) -> tuple[int, int]:
    """Dimension and longest input; from config.json, else from the graph itself."""
    config = _optional(folder / "config.json")
    positions = config.get("max_position_embeddings", 512)
    dim = config.get("hidden_size")
    if not isinstance(dim, int):
        from agentmem.models.foreign import output_dim

        dim = output_dim(folder / ONNX)
    if not isinstance(positions, int):
        raise ModelCorruptError(f"{folder}/config.json: max_position_embeddings is {positions!r}")
    return dim, positions


def _sha256(path: Path) -> str:
    try:
        stat = path.stat()
        return _sha256_of(path, stat.st_size, stat.st_mtime_ns)
    except OSError as e:
        raise ModelCorruptError(f"{path} cannot be read: {e.strerror}") from e


@lru_cache(maxsize=64)
def _sha256_of(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
