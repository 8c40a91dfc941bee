"""What a BERT-family folder says about its network, and its tensors by their plain names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agentmem.errors import ModelCorruptError, UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Architecture", "load_weights", "read_architecture", "read_json"]

Activation = Literal["gelu", "gelu_tanh", "relu"]

#: ``hidden_act`` of config.json; "gelu" is the exact one, x * Phi(x).
_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}

#: Families whose checkpoints use BERT's tensor names and post-layer-norm blocks.
_FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "electra")


@dataclass(frozen=True, slots=True)
class Architecture:
    """Shape of a post-layer-norm transformer encoder with learned absolute positions."""

    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocab: int
    max_positions: int  # rows of the position table that a text can use
    position_offset: int = 0  # RoBERTa numbers positions from pad_token_id + 1
    layer_norm_eps: float = 1e-12
    activation: Activation = "gelu"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ModelCorruptError: unreadable, not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise ModelCorruptError(
            f"{path} cannot be read as JSON: {e}; put the model's own file there"
        ) from e
    if not isinstance(value, dict):
        raise ModelCorruptError(f"{path} holds {type(value).__name__}, not a JSON object")
    return value


def read_architecture(folder: Path) -> Architecture:
    """From ``config.json`` of a model folder.

    Raises:
        ModelCorruptError: the file is missing a field or cannot be read.
        UnsupportedError: another family, position scheme or activation.
    """
    path = folder / "config.json"
    config = read_json(path)
    family = str(config.get("model_type", "bert"))
    if family not in _FAMILIES:
        raise UnsupportedError(
            f"{path}: model_type {family!r} is not of the BERT family "
            f"({', '.join(_FAMILIES)}); export it to model.onnx with the output "
            "last_hidden_state and put that file beside tokenizer.json"
        )
    scheme = config.get("position_embedding_type", "absolute")
    if scheme != "absolute":
        raise UnsupportedError(f"{path}: position_embedding_type {scheme!r} is not 'absolute'")
    act = str(config.get("hidden_act", "gelu"))
    if act not in _ACTIVATIONS:
        raise UnsupportedError(
            f"{path}: hidden_act {act!r} is not one of {', '.join(sorted(_ACTIVATIONS))}"
        )
    offset = int(config.get("pad_token_id") or 0) + 1 if "roberta" in family else 0
    if family == "camembert":
        offset = int(config.get("pad_token_id") or 0) + 1
    try:
        arch = Architecture(
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            heads=int(config["num_attention_heads"]),
            intermediate=int(config["intermediate_size"]),
            vocab=int(config["vocab_size"]),
            max_positions=int(config["max_position_embeddings"]) - offset,
            position_offset=offset,
            layer_norm_eps=float(config.get("layer_norm_eps", 1e-12)),
            activation=_ACTIVATIONS[act],
        )
    except (KeyError, TypeError, ValueError) as e:
        raise ModelCorruptError(f"{path}: field {e} is missing or not a number") from e
    if arch.heads < 1 or arch.hidden % arch.heads:
        raise ModelCorruptError(
            f"{path}: hidden_size {arch.hidden} is not a multiple of "
            f"num_attention_heads {arch.heads}"
        )
    return arch


def load_weights(path: Path, arch: Architecture) -> dict[str, NDArray[np.float32]]:
    """Tensors of a safetensors file by BERT's names without any prefix, float32.

    Checked against ``arch`` so that a wrong file fails here and not inside the runtime.

    Raises:
        ModelCorruptError: not a safetensors file, a tensor is missing or has another shape.
    """
    import numpy as np
    from safetensors import SafetensorError, safe_open

    tensors: dict[str, NDArray[np.float32]] = {}
    try:
        with safe_open(str(path), framework="numpy") as file:
            names = list(file.keys())
            prefix = _prefix(names, path)
            for name in names:
                plain = name[len(prefix) :]
                if name.startswith(prefix) and plain.startswith(("embeddings.", "encoder.")):
                    tensors[plain] = np.ascontiguousarray(file.get_tensor(name), np.float32)
    except (SafetensorError, OSError, TypeError, ValueError) as e:
        if isinstance(e, ModelCorruptError):
            raise
        raise ModelCorruptError(f"{path} cannot be read: {e}; download it again") from e
    for name, shape in _expected(arch).items():
        found = tensors.get(name)
        if found is None:
            raise ModelCorruptError(f"{path} has no tensor {name!r} (with or without a prefix)")
        if found.shape != shape:
            raise ModelCorruptError(
                f"{path}: tensor {name!r} has shape {found.shape}, config.json says {shape}"
            )
    return tensors


def _prefix(names: list[str], path: Path) -> str:
    anchor = "embeddings.word_embeddings.weight"
    for name in names:
        if name.endswith(anchor):
            return name[: -len(anchor)]
    raise ModelCorruptError(
        f"{path} has no tensor ending in {anchor!r}: it is not of the BERT family; "
        "export it to model.onnx with the output last_hidden_state"
    )


def _expected(arch: Architecture) -> dict[str, tuple[int, ...]]:
    h, m = arch.hidden, arch.intermediate
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (arch.vocab, h),
        "embeddings.position_embeddings.weight": (arch.max_positions + arch.position_offset, h),
        "embeddings.LayerNorm.weight": (h,),
        "embeddings.LayerNorm.bias": (h,),
    }
    for i in range(arch.layers):
        p = f"encoder.layer.{i}."
        for part in ("query", "key", "value"):
            shapes[f"{p}attention.self.{part}.weight"] = (h, h)
            shapes[f"{p}attention.self.{part}.bias"] = (h,)
        shapes[f"{p}attention.output.dense.weight"] = (h, h)
        shapes[f"{p}attention.output.dense.bias"] = (h,)
        shapes[f"{p}intermediate.dense.weight"] = (m, h)
        shapes[f"{p}intermediate.dense.bias"] = (m,)
        shapes[f"{p}output.dense.weight"] = (h, m)
        shapes[f"{p}output.dense.bias"] = (h,)
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{p}{norm}.weight"] = (h,)
            shapes[f"{p}{norm}.bias"] = (h,)
    return shapes
