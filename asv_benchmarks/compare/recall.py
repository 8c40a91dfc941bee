"""What searches find, on published questions: one run of one contender over one file.

    python -m compare.recall NAME DATASET FILE OUT [LIMIT]

``agentmem.evaluation`` judges all of them alike; each is asked by its own default search.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from agentmem import Memory
from agentmem.cli.datasets import read
from agentmem.cli.formats import Source
from agentmem.evaluation import evaluate

__all__ = ["CONTENDERS", "DATASETS"]

#: Data set to the ranks at which it is judged.
DATASETS = {"locomo": (5, 10, 20), "longmemeval": (5, 10)}
CONTENDERS = ("mem0", "agentmem minilm", "agentmem static")


def judged(name: str, dataset: str, file: str, limit: int | None, folder: Path) -> dict[str, Any]:
    """How many memories and questions there were, and what was found, of this contender in an
    empty folder.  It is timed elsewhere: here others may run beside it."""
    ks = DATASETS[dataset]
    collections = read(Source(file), dataset, limit)
    if name == "mem0":
        from compare.contenders.mem0_memory import Mem0Answers

        asked: Any = Mem0Answers(folder)
        found = evaluate(asked, collections, depth=ks[-1])
    else:
        with Memory(folder, embedder=name.removeprefix("agentmem ")) as memory:
            found = evaluate(memory, collections, depth=ks[-1])
    summary = found.summary(ks)
    return {key: summary[key] for key in ("memories", "questions", "overall")}


def main() -> None:
    name, dataset, file, out, *limit = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="agentmem-compare-") as folder:
        found = judged(name, dataset, file, int(limit[0]) if limit else None, Path(folder))
    Path(out).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
