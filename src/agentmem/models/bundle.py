"""``python -m agentmem.models.bundle DEST``: the models that travel inside a wheel.

Writes ``DEST/minilm`` and ``DEST/static``, each with weights, tokenizer and manifest.  With
DEST = src/agentmem/models/bundled, a wheel built afterwards needs no network ever again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from agentmem.errors import AgentMemError
from agentmem.models import manifest
from agentmem.models.folders import atomic_folder, locked
from agentmem.models.provision import provision
from agentmem.models.registry import resolve

__all__ = ["BUNDLED", "bundle", "main"]

BUNDLED = ("minilm", "static")


def bundle(dest: Path, names: tuple[str, ...] = BUNDLED) -> list[Path]:
    """Provisions the models and copies them, checked, to ``dest/<name>``.

    Raises:
        ModelError: a model cannot be provided or ``dest`` not written.
    """
    written = []
    for name in names:
        spec, target = resolve(name), dest / name
        origin = provision(name).weights.parent
        if origin.resolve() != target.resolve():
            with locked(target), atomic_folder(target) as partial:
                for file in manifest.file_names(spec):
                    shutil.copyfile(origin / file, partial / file)
                manifest.check(spec, partial)
        written.append(target)
    return written


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m agentmem.models.bundle")
    parser.add_argument("dest", type=Path, help="folder that receives one folder a model")
    options = parser.parse_args(arguments)
    try:
        folders = bundle(options.dest)
    except AgentMemError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    for folder in folders:
        size = sum(f.stat().st_size for f in folder.iterdir())
        print(f"{folder}  {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
