"""Importing is quick, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"lancedb", "numpy", "onnx", "onnxruntime", "pyarrow", "safetensors", "tokenizers"}


def python(program: str, *arguments: str) -> object:
    """What ``program`` prints as JSON, in a process that sees only the installed package."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def loaded(program: str, *arguments: str) -> set[str]:
    tail = "; import sys, json; print(json.dumps([m.partition('.')[0] for m in sys.modules]))"
    names = python(program + tail, *arguments)
    assert isinstance(names, list)
    return set(names)


def test_import_loads_nothing_heavy() -> None:
    assert loaded("import agentmem") & (HEAVY | {"apsw", "click", "filelock", "rich"}) == set()


def test_the_public_class_loads_nothing_heavy() -> None:
    assert loaded("from agentmem import Memory") & HEAVY == set()


def test_opening_a_store_loads_no_model_and_no_projection(tmp_path: Path) -> None:
    program = "import sys; from agentmem import Memory; Memory(sys.argv[1]).close()"
    heavy = {"lancedb", "onnx", "onnxruntime", "pyarrow", "tokenizers"}
    assert loaded(program, str(tmp_path / "store")) & heavy == set()


def test_kernels_load_while_another_thread_is_still_importing_what_they_are_in() -> None:
    """A package is there for others a moment before it is an attribute of the one around it."""
    program = """
import importlib, json
import agentmem, agentmem._native
delattr(agentmem._native, "_simd")
delattr(agentmem, "_native")
names = [importlib.import_module(f"agentmem._native.{name}").__name__
         for name in ("vectors", "scan", "hybrid", "volume")]
print(json.dumps(names))
"""
    assert len(python(program)) == 4  # type: ignore[arg-type]
