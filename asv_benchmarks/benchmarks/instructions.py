"""Instructions executed, as callgrind counts them: the same on a busy and on a quiet machine.

A change of one percent is a change of the code.  What is counted is in ``counted.py``.  Valgrind
knows no AVX-512, so the kernels are those for AVX2; what the operating system does is not counted.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "_PyEval_SetSwitchInterval"  # see ``counted.py``
PROGRAM = Path(__file__).parents[1] / "counted.py"

KERNELS = (
    "hash_texts of 200",
    "make_batches of 200",
    "count_terms of 200",
    "dense_scores of 1,000",
    "top_k of 1,000",
    "top_k_dot of 1,000",
    "bm25 of 200",
)
PATHS = ("search in 1,000", "dense search in 1,000", "get", "add", "add_batch of 100")


def counts() -> dict[str, float]:
    """Instructions of one call of each piece.

    Raises:
        NotImplementedError: there is no valgrind; asv skips the benchmark.
    """
    if shutil.which("valgrind") is None:
        raise NotImplementedError("instructions are counted by valgrind, which is not installed")
    with tempfile.TemporaryDirectory(prefix="agentmem-bench-") as folder:
        out = Path(folder) / "counted"
        command = ["valgrind", "--tool=callgrind", f"--dump-before={MARK}", "--combine-dumps=yes"]
        command += [f"--callgrind-out-file={out}", sys.executable, str(PROGRAM)]
        # The addresses of objects and the order of sets must not differ between runs.
        fixed = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        simd = {"AGENTMEM_SIMD": "avx2"} if platform.machine() in ("x86_64", "AMD64") else {}
        done = subprocess.run(
            command,
            env={**os.environ, **fixed, **simd, "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")
        parts = list(dumped(out))
        pieces = json.loads(done.stdout.splitlines()[-1])
    # A part ends at each mark, and the last at the end of the program.
    return {name: parts[2 * i + 1] / calls for i, (name, calls) in enumerate(pieces)}


def dumped(out: Path) -> Iterator[int]:
    """Instructions of each part, all threads."""
    with out.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("totals: "):
                yield int(line.partition(" ")[2])


class _Counted:
    timeout = 300
    unit = "instructions"

    def setup_cache(self) -> dict[str, float]:
        """All are counted in one run: to start the interpreter is a good part of it."""
        return counts()

    def track_instructions(self, found: dict[str, float], piece: str) -> float:
        return found[piece]


class Kernels(_Counted):
    params = (KERNELS,)
    param_names = ("kernel",)


class Paths(_Counted):
    """Writes and searches with their vectors given, through the public face."""

    params = (PATHS,)
    param_names = ("call",)
