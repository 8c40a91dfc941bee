"""The command line on a store of its own, in this process and as a real program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentmem.cli.app import cli


@pytest.fixture
def environment(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of every command of this test, with the quickest embedder."""
    monkeypatch.setenv("AGENTMEM_STORE", str(store_path))
    monkeypatch.setenv("AGENTMEM_EMBEDDER", "static")
    monkeypatch.setenv("COLUMNS", "100")
    return store_path


@pytest.fixture
def run(environment: Path) -> Callable[..., Result]:
    """``run("add", "text", ..., input="", code=0)``: the result of a command in this process."""

    def run(*arguments: object, input: str | None = None, code: int = 0) -> Result:
        texts = [str(argument) for argument in arguments]
        result = CliRunner().invoke(cli, texts, input=input, prog_name="agentmem")
        assert result.exit_code == code, f"{texts}: {result.exit_code}\n{result.output}"
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def run_json(run: Callable[..., Result]) -> Callable[..., Any]:
    """What a command prints with ``--json``, and that it prints nothing else."""
    return lambda *arguments, **options: json.loads(run(*arguments, "--json", **options).stdout)


@pytest.fixture
def program(environment: Path) -> list[str]:
    """The beginning of a command line that runs the program as a process."""
    return [sys.executable, "-m", "agentmem"]


@pytest.fixture
def process(program: list[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``process("add", "text", ...)``: a finished process; ``env`` adds to the environment."""

    def process(
        *arguments: str, env: dict[str, str] | None = None, input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, *arguments],
            env={**os.environ, **(env or {})},
            input=input,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=60,
        )

    return process
