"""What there is, and what of it is on this machine: for listings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agentmem.models import sources
from agentmem.models.registry import Spec, names, resolve

__all__ = ["Entry", "catalogue", "entry", "locate"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A model and where its files are."""

    spec: Spec
    folder: Path | None  # None: not on this machine yet
    origin: str  # "bundled", "cache", "folder" (one the user named) or ""
    size: int  # bytes on disk


def entry(name: str, folder: Path | None = None) -> Entry:
    """One model.

    Raises:
        ModelNotFoundError: no such model.
        ModelCorruptError: its manifest cannot be read.
    """
    spec = resolve(name)
    found = sources.find_built(spec, folder)
    if found is None:
        return Entry(spec, None, "", 0)
    size = sum(f.stat().st_size for f in found.iterdir() if f.is_file())
    if found.parent == sources.bundled():
        return Entry(spec, found, "bundled", size)
    origin = "cache" if found == sources.built_folder(spec) else "folder"
    return Entry(spec, found, origin, size)


def catalogue(folder: Path | None = None) -> list[Entry]:
    """All builtin models, the default first."""
    return [entry(name, folder) for name in names()]


def locate(name: str, folder: Path | None = None) -> Path | None:
    """The folder of a provisioned model, or None."""
    return sources.find_built(resolve(name), folder)
