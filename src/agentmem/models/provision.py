"""Making a model ready on this machine: found, or downloaded and built, once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentmem.config import env_flag
from agentmem.errors import ModelError, OfflineError
from agentmem.models import manifest, sources
from agentmem.models.build import Report, build
from agentmem.models.registry import Spec, resolve
from agentmem.types import ModelFiles

__all__ = ["provision"]

#: Seconds to wait for another process that is provisioning the same model.
LOCK_TIMEOUT = 1800.0


def provision(
    name: str,
    *,
    folder: Path | None = None,
    report: Report | None = None,
    force: bool = False,
) -> ModelFiles:
    """Files of the model, made or downloaded if they are not on this machine yet."""
    spec = resolve(name)
    if not force:
        found = sources.find_built(spec, folder)
        if found is not None:
            return manifest.model_files(spec, found)
    report = report or (lambda stage, done, total: None)
    dest = sources.built_folder(spec)
    with _locked(dest.name):
        if force or not manifest.matches(spec, dest):
            origin = sources.find_source(spec, folder) or _download(spec, report)
            with _atomic(dest) as partial:
                build(spec, origin, partial, report)
    return manifest.model_files(spec, dest)


def _download(spec: Spec, report: Report) -> Path:
    source = spec.source
    assert source is not None
    from agentmem.models.download import download

    dest = sources.source_folder(source)
    with _locked(f"source-{source.name}"):
        found = sources.find_source(spec)
        if found is not None:
            return found
        if env_flag("AGENTMEM_OFFLINE"):
            raise OfflineError(
                f"model {spec.name!r} is not on this machine and AGENTMEM_OFFLINE forbids "
                f"downloads.\n{sources.placing_recipe(source)}"
            )
        with _atomic(dest) as partial:
            download(source, partial, report)
    return dest


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """One process at a time per name."""
    import filelock

    folder = sources.cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ModelError(
            f"the model cache {folder} cannot be created ({e.strerror}); set AGENTMEM_CACHE "
            "to a folder that can be written"
        ) from e
    lock = filelock.FileLock(folder / f".{name}.lock")
    try:
        with lock.acquire(timeout=LOCK_TIMEOUT):
            yield
    except filelock.Timeout as e:
        raise ModelError(
            f"another process has been preparing {name} for {LOCK_TIMEOUT:.0f} s; "
            f"if none is, delete {lock.lock_file}"
        ) from e


@contextmanager
def _atomic(dest: Path) -> Iterator[Path]:
    """A new empty folder that becomes ``dest`` at the end, or nothing at all.

    The caller holds the lock, so whatever a killed process left half-made is swept first.
    """
    dest.parent.mkdir(parents=True, exist_ok=True)
    for stale in dest.parent.glob(f".{dest.name}.partial-*"):
        shutil.rmtree(stale, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{dest.name}.partial-", dir=dest.parent))
    try:
        yield partial
        if dest.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{dest.name}.partial-", dir=dest.parent))
            os.replace(dest, old / "old")
            os.replace(partial, dest)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(partial, dest)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
