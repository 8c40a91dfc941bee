"""Does an installed agentmem work here, with the models it carries?  Run with ``python -I``.

Run by ci/wheel and, on every platform of the matrix, by cibuildwheel (ci/wheels.toml), in a
folder that may be written to.  Exits with a message at the first thing that does not hold.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from importlib.resources import files
from pathlib import Path

IMPORT_LIMIT_MS = 40.0
HEAVY = ("lancedb", "numpy", "onnxruntime", "pyarrow")


def main() -> None:
    check_import()
    for model in ("static", "minilm"):
        check_model(model)
    check_command()
    check_paperwork()


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def check_import() -> None:
    """The import is quick and pulls in nothing heavy; the best of five fresh processes."""
    program = (
        "import json, sys, time; t = time.perf_counter(); import agentmem; "
        "t = time.perf_counter() - t; "
        f"print(json.dumps([t * 1000, [m for m in {HEAVY!r} if m in sys.modules]]))"
    )
    best, heavy = float("inf"), []
    for _ in range(5):
        took, heavy = json.loads(run([sys.executable, "-I", "-c", program]))
        best = min(best, took)
    if heavy:
        sys.exit(f"importing agentmem also imports {', '.join(heavy)}")
    if best > IMPORT_LIMIT_MS:
        sys.exit(f"importing agentmem takes {best:.1f} ms, more than {IMPORT_LIMIT_MS:.0f}")
    say(f"import agentmem: {best:.1f} ms")


def check_model(model: str) -> None:
    """The model comes out of the wheel, and finds what was added."""
    from agentmem import Memory

    carried = Path(str(files("agentmem") / "models" / "bundled"))
    if not carried.is_dir():
        sys.exit(f"the wheel carries no models: {carried} is missing")
    with tempfile.TemporaryDirectory() as folder, Memory(folder, embedder=model) as memory:
        memory.add("Ruth moved to Lisbon in March", user_id="ruth")
        memory.add("Her dog is afraid of umbrellas", user_id="ruth")
        best = memory.search("Which city does she live in?", user_id="ruth")["results"][0]
    if best["memory"] != "Ruth moved to Lisbon in March":
        sys.exit(f"{model}: the search found {best['memory']!r} first")
    say(f"{model}: add and search, best hit {best['memory']!r} ({best['score']:.3f})")


def check_command() -> None:
    """The ``agentmem`` program is installed and works on a store of its own."""
    program = Path(sysconfig.get_path("scripts"), "agentmem.exe" if os.name == "nt" else "agentmem")
    with tempfile.TemporaryDirectory() as store:
        base = [str(program), "--store", store]
        run([*base, "add", "Ruth is allergic to hazelnuts", "--user", "ruth"])
        found = run([*base, "search", "what must she not eat?", "--user", "ruth", "--json"])
    if "hazelnuts" not in found:
        sys.exit(f"agentmem search did not find what agentmem add stored:\n{found}")
    say("agentmem add, agentmem search")


def check_paperwork() -> None:
    """Licence, notice and type marker travel with the code."""
    from importlib.metadata import files as installed

    names = {path.name for path in installed("agentmem") or ()}
    missing = {"LICENSE", "NOTICE", "py.typed", "conversation.json"} - names
    if missing:
        sys.exit(f"the wheel lacks {', '.join(sorted(missing))}")
    stray = sorted(n for n in names if n.endswith((".pyx", ".c", ".h", ".cmake")))
    if stray:
        sys.exit(f"the wheel carries build sources: {', '.join(stray)}")
    say(f"{len(names)} files, with licence, notice and types")


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nexit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
