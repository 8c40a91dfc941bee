"""The only door to compiled code.

Batch in, batch out: strings become arrays here and nowhere else in Python.  The modules check
dtypes, shapes and bounds (a wrong array is a ValueError that names it, never a crash); whether
a value makes sense to a user is checked above.  Each kernel has a twin of the same name in
``twins``, written in NumPy and plain Python, which says what it computes.

The instruction set is picked once, here: the best one of this machine, or the lower one that
``AGENTMEM_SIMD`` names.
"""

from __future__ import annotations

import os

import agentmem._native._simd as _simd
from agentmem.errors import ConfigError

__all__ = ["available_simd", "simd_level"]


def available_simd() -> tuple[str, ...]:
    """Instruction sets that this machine can run, lowest first: always "scalar", then "avx2" and
    "avx512" on x86-64, "neon" on aarch64."""
    return _simd.available()


def simd_level() -> str:
    """The instruction set in use."""
    return _simd.level()


def _select_simd(name: str) -> None:
    """Use instruction set ``name`` from now on in the whole process; for tests and benchmarks.

    Raises:
        ConfigError: this machine cannot run it, or there is no such set.
    """
    try:
        _simd.select(name)
    except KeyError:
        raise ConfigError(
            f"AGENTMEM_SIMD={name!r} is not available; this machine can run: "
            + ", ".join(_simd.available())
            + " (unset it to use the best)"
        ) from None


if os.environ.get("AGENTMEM_SIMD"):
    _select_simd(os.environ["AGENTMEM_SIMD"].strip().lower())
