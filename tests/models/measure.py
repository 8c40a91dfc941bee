"""Cost, fidelity and recall of the builtin models on this machine, for docs/models.md.

    python tests/models/measure.py [FOLDER with the evaluation data]

Cost is the smallest time of each batch over several rounds, added up: what one thread needs
when nothing else disturbs it.  Other work on the machine raises it little.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from test_recall import TOP, Conversation

from agentmem.models import provision
from conftest import Runner, Table

MODELS = ("minilm-fp32", "minilm", "static")
ROUNDS = 7


def batches(ids: list[list[int]], rows: int) -> list[dict[str, np.ndarray]]:
    ids = sorted(ids, key=len)
    made = []
    for start in range(0, len(ids), rows):
        some = ids[start : start + rows]
        table = np.zeros((len(some), len(some[-1])), np.int64)
        for row, one in zip(table, some, strict=True):
            row[: len(one)] = one
        made.append({"input_ids": table, "attention_mask": (table > 0).astype(np.int64)})
    return made


def cost(runner: Runner, ids: list[list[int]], rows: int) -> float:
    """Microseconds of one thread a text."""
    feeds = batches(ids, rows)
    best = np.full(len(feeds), np.inf)
    for _ in range(ROUNDS):
        for i, feed in enumerate(feeds):
            start = time.perf_counter()
            runner.session.run(None, feed)
            best[i] = min(best[i], time.perf_counter() - start)
    return float(best.sum() / len(ids) * 1e6)


def main(folder: Path) -> None:
    samples = json.loads((folder / "locomo-dev5.json").read_text(encoding="utf-8"))
    conversations = [Conversation(sample) for sample in samples]
    turns = [text for c in conversations for text in c.texts]
    turns = [turns[i] for i in np.random.default_rng(0).permutation(len(turns))]
    loaded = {name: provision(name) for name in MODELS}
    models = {n: Table(f) if f.kind == "static" else Runner(f) for n, f in loaded.items()}
    exact = models["minilm-fp32"].embed(turns[:600])
    for name, model in models.items():
        print(f"{name}: {loaded[name].weights.stat().st_size / 1e6:.1f} MB")
        if isinstance(model, Runner):
            short = [i for i in model.ids(turns) if len(i) <= 24][:400]
            tokens = np.mean([len(i) for i in short])
            for rows in (1, 8, 16, 32):
                print(f"  {rows:2} rows of {tokens:.1f} tokens: {cost(model, short, rows):.0f} us")
            cosines = (model.embed(turns[:600]) * exact).sum(axis=1)
            print(f"  cosine to fp32: mean {cosines.mean():.5f}, least {cosines.min():.4f}")
        recalls = [r for c in conversations for r in c.recalls(model)]
        print(f"  LoCoMo recall@{TOP}: {100 * np.mean(recalls):.1f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data"))
