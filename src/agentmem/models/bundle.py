"""Models into a wheel: ``python -m agentmem.models.bundle FOLDER`` before the build.

``FOLDER`` is ``src/agentmem/models/bundled``; an installed package finds its models there and
needs no download.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from agentmem.errors import AgentMemError
from agentmem.models.provision import provision
from agentmem.models.registry import resolve
from agentmem.models.sources import find_built

__all__ = ["BUNDLED", "bundle"]

#: What a wheel carries: the default model, and the fastest.
BUNDLED = ("minilm", "static")


def bundle(folder: Path) -> list[Path]:
    """Put the built models of ``BUNDLED`` into ``folder``, which is replaced."""
    made = []
    shutil.rmtree(folder, ignore_errors=True)
    for name in BUNDLED:
        provision(name)
        found = find_built(resolve(name))
        assert found is not None  # provisioned just now
        made.append(Path(shutil.copytree(found, folder / name)))
    return made


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m agentmem.models.bundle FOLDER", file=sys.stderr)
        return 2
    try:
        for path in bundle(Path(arguments[0])):
            print(path)
    except AgentMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
