"""A built model in a folder: its files, and the manifest that says what they must be.

The manifest is written last and the folder then moved into place at once, so a folder that
has one is whole.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from agentmem.errors import ModelCorruptError
from agentmem.models.architecture import read_json
from agentmem.models.registry import ONNX, TOKENIZER, Spec
from agentmem.types import ModelFiles

__all__ = [
    "TABLE",
    "check",
    "file_names",
    "file_sha256",
    "matches",
    "model_files",
    "weights_name",
    "write",
]

MANIFEST = "manifest.json"
TABLE = "table.npy"


def file_names(spec: Spec) -> tuple[str, str, str]:
    """Every file of a built model's folder."""
    return (weights_name(spec), TOKENIZER, MANIFEST)


def weights_name(spec: Spec) -> str:
    return TABLE if spec.kind == "static" else ONNX


def model_files(spec: Spec, folder: Path) -> ModelFiles:
    """What an embedder needs of the model built in ``folder``."""
    return ModelFiles(
        name=spec.name,
        model_id=spec.model_id,
        dim=spec.dim,
        kind=spec.kind,
        weights=folder / weights_name(spec),
        tokenizer=folder / TOKENIZER,
        pooling=spec.pooling,
        query_prefix=spec.query_prefix,
        max_length=spec.max_length,
    )


def write(spec: Spec, folder: Path) -> None:
    """Records name, model id, and size and sha256 of each file."""
    files = {}
    for name in (weights_name(spec), TOKENIZER):
        path = folder / name
        files[name] = {"sha256": file_sha256(path), "size": path.stat().st_size}
    text = json.dumps(
        {"name": spec.name, "model_id": spec.model_id, "recipe": spec.recipe, "files": files},
        indent=1,
    )
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def matches(spec: Spec, folder: Path) -> bool:
    """Whether ``folder`` claims to hold exactly this model (no checksum is computed)."""
    path = folder / MANIFEST
    return path.is_file() and read_json(path).get("model_id") == spec.model_id


def check(spec: Spec, folder: Path) -> None:
    """Every file against the manifest.

    Raises:
        ModelCorruptError: one is missing, or its size or sha256 differs.
    """
    files = read_json(folder / MANIFEST).get("files")
    remedy = f"delete the folder {folder} or run: agentmem models pull --force {spec.name}"
    if not isinstance(files, dict) or set(files) != {weights_name(spec), TOKENIZER}:
        raise ModelCorruptError(f"{folder / MANIFEST} does not name the model's files; {remedy}")
    for name, expected in files.items():
        path = folder / name
        try:
            found = {"sha256": file_sha256(path), "size": path.stat().st_size}
        except OSError as e:
            raise ModelCorruptError(f"{path} cannot be read ({e.strerror}); {remedy}") from e
        if found != expected:
            raise ModelCorruptError(
                f"{path} is damaged: sha256 {found['sha256']} ({found['size']} bytes), "
                f"expected {expected}; {remedy}"
            )


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
