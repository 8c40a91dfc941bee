"""The door: which instruction set runs, who may choose it, and what importing costs."""

from __future__ import annotations

import ast
import inspect
import os
import platform
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from agentmem import _native
from agentmem.errors import ConfigError

FOLDER = Path(_native.__file__).parent
MODULES = ["_simd", "arrow", "batching", "hashing", "lexical", "scan", "vectors"]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k != "AGENTMEM_SIMD"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


LEVEL = "from agentmem import _native; print(_native.simd_level())"


def test_the_best_level_is_the_default() -> None:
    assert run(LEVEL).stdout.strip() == _native.available_simd()[-1]


@pytest.mark.parametrize("name", _native.available_simd())
def test_the_environment_forces_a_level(name: str) -> None:
    assert run(LEVEL, AGENTMEM_SIMD=name).stdout.strip() == name
    assert run(LEVEL, AGENTMEM_SIMD=f" {name.upper()} ").stdout.strip() == name


def test_an_empty_setting_is_no_setting() -> None:
    assert run(LEVEL, AGENTMEM_SIMD="").stdout.strip() == _native.available_simd()[-1]


@pytest.mark.parametrize("name", ["sse9", "AVX-512", "best"])
def test_an_unknown_level_is_refused_with_the_possible_ones(name: str) -> None:
    result = run(LEVEL, AGENTMEM_SIMD=name)
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("agentmem.errors.ConfigError")
    assert name.lower() in last
    assert all(level in last for level in _native.available_simd())


def test_a_refused_level_changes_nothing() -> None:
    before = _native.simd_level()
    with pytest.raises(ConfigError, match="can run: scalar"):
        _native._select_simd("avx1024")
    assert _native.simd_level() == before


def test_every_machine_has_scalar_and_this_one_what_it_should() -> None:
    levels = _native.available_simd()
    assert levels[0] == "scalar"
    if platform.machine() in ("aarch64", "arm64"):
        assert levels == ("scalar", "neon")
    else:
        assert levels == ("scalar", "avx2", "avx512")[: len(levels)]


def test_importing_every_module_loads_no_numpy() -> None:
    modules = ", ".join(f"agentmem._native.{name}" for name in MODULES)
    result = run(f"import sys, {modules}; print('numpy' in sys.modules)")
    assert result.stdout.strip() == "False", result.stderr


@pytest.mark.parametrize("name", MODULES)
def test_stubs_name_what_there_is(name: str) -> None:
    module = import_module(f"agentmem._native.{name}")
    tree = ast.parse((FOLDER / f"{name}.pyi").read_text("utf-8"))
    described = {
        node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    made_here = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
    assert made_here == set(described)
    for function in described.values():
        if isinstance(function, ast.FunctionDef):
            arguments = [argument.arg for argument in function.args.args]
            assert list(inspect.signature(getattr(module, function.name)).parameters) == arguments


@pytest.mark.parametrize("name", MODULES)
def test_twins_cover_every_kernel(name: str) -> None:
    from agentmem._native import twins

    if name == "_simd":
        return
    tree = ast.parse((FOLDER / f"{name}.pyi").read_text("utf-8"))
    kernels = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert kernels <= set(twins.__all__)
    for kernel in kernels:
        native = getattr(import_module(f"agentmem._native.{name}"), kernel)
        parameters = list(inspect.signature(native).parameters)
        assert list(inspect.signature(getattr(twins, kernel)).parameters) == parameters


@pytest.mark.skipif(sys.platform != "linux", reason="symbol versions are glibc's")
@pytest.mark.parametrize("name", MODULES)
def test_no_newer_glibc_than_manylinux_2_17_is_needed(name: str) -> None:
    path = import_module(f"agentmem._native.{name}").__file__
    assert path is not None
    wanted = re.findall(rb"GLIBC_2\.(\d+)", Path(path).read_bytes())
    assert wanted
    assert max(map(int, wanted)) <= 17
