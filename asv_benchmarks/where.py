"""Where the time of the main jobs goes: a table by part, from samples that py-spy takes.

    pip install py-spy
    python asv_benchmarks/where.py [JOB...] [--seconds N] [--flame FOLDER]

py-spy looks at the job's process from outside, a hundred times a second, native frames
included.  Each sample is given to the innermost part below that is on its stack; samples of threads
that wait are left out.  ``--flame`` also keeps the stacks, folded,
for a tool that draws flame graphs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))
from benchmarks import common

if TYPE_CHECKING:
    from agentmem import Memory

RATE = 100  # samples a second

#: Frames of threads that only wait, and that py-spy takes for busy.
WAITING = (
    *("epoll_wait", "cond_timedwait", "cond_wait", "PyThread_acquire_lock_timed"),
    "agentmem/vector/child.py",  # reads what a child process says
)

#: A part and words of the frames that belong to it; the innermost frame that has one decides.
PARTS = (
    ("model", ("onnxruntime", "embed/onnx", "embed/work", "embed/slots")),
    ("tokenizer", ("tokenizers", "embed/text")),
    ("static table", ("pool_table", "embed/static")),
    ("embedding cache", ("embed/caching", "embed/local", "hash_texts")),
    ("sync to disk", ("fsync", "fdatasync")),
    ("SQLite", ("sqlite3", "apsw", "agentmem/store/")),
    ("keyword terms", ("count_terms", "index/analyzer", "Stemmer")),
    ("scoring", ("_native/scan", "_native/_simd", "_native/vectors", "agentmem/index/")),
    ("projection", ("lance", "pyarrow", "agentmem/vector/")),
    ("names and dates in the question", ("search/cues",)),
    ("answers", ("search/items", "search/results", "search/answers")),
    ("checking arguments", ("agentmem/inputs", "search/query", "write/drafts", "write/fields")),
    ("planning the write", ("agentmem/write/", "agentmem/ids", "agentmem/times")),
    ("calls between the layers", ("agentmem/",)),
)


def add(memory: Memory) -> Callable[[int], object]:
    texts = common.texts(20_000)
    return lambda i: memory.add(f"{texts[i % 20_000]} #{i}")


def add_batch(memory: Memory) -> Callable[[int], object]:
    texts = common.texts(20_000)

    def one(i: int) -> None:
        first = 1_000 * (i % 20)
        memory.add_batch([f"{text} #{i}" for text in texts[first : first + 1_000]])

    return one


def add_batch_vectors(memory: Memory) -> Callable[[int], object]:
    texts = common.texts(20_000)
    rows = common.vectors(1_000, memory.stats()["embedder"]["dim"])

    def one(i: int) -> None:
        first = 1_000 * (i % 20)
        memory.add_batch([f"{text} #{i}" for text in texts[first : first + 1_000]], vectors=rows)

    return one


def search_vector(memory: Memory) -> Callable[[int], object]:
    memory.add_batch(common.texts(1_000))
    asked = common.questions()
    rows = common.vectors(64, memory.stats()["embedder"]["dim"])
    return lambda i: memory.search(f"{asked[i % len(asked)]} {i}", vector=rows[i % 64])


def search_text(memory: Memory) -> Callable[[int], object]:
    memory.add_batch(common.texts(1_000))
    asked = common.questions()
    return lambda i: memory.search(f"{asked[i % len(asked)]} {i}")


JOBS: dict[str, tuple[str, Callable[[Memory], Callable[[int], object]]]] = {
    "add, minilm": ("minilm", add),
    "add_batch of 1,000, minilm": ("minilm", add_batch),
    "add_batch of 1,000, static": ("static", add_batch),
    "add_batch of 1,000, vectors given": ("static", add_batch_vectors),
    "search in 1,000, vector given": ("static", search_vector),
    "search in 1,000, text, static": ("static", search_text),
    "search in 1,000, text, minilm": ("minilm", search_text),
}


def work(job: str, folder: str) -> None:
    """The job itself, in a process of its own: prepares, prints a line, works until it is ended,
    so that its end is in no sample."""
    from agentmem import Memory

    embedder, prepare = JOBS[job]
    with Memory(folder, embedder=embedder, user_id="bench") as memory:
        memory.warm_up()
        call = prepare(memory)
        call(0)
        print("ready", flush=True)
        for i in count(1):
            call(i)


def sampled(job: str, seconds: float, flame: Path | None) -> list[tuple[list[str], int]]:
    """``(stack from the outside in, samples)`` of the working part of a job."""
    with tempfile.TemporaryDirectory(prefix="agentmem-bench-") as folder:
        program = [sys.executable, __file__, job, "--work", str(Path(folder) / "store")]
        running = subprocess.Popen(program, stdout=subprocess.PIPE)
        assert running.stdout is not None
        running.stdout.readline()
        out = Path(folder) / "stacks"
        spy = ["py-spy", "record", "--native", "--rate", str(RATE), "--duration", str(int(seconds))]
        spy += ["--format", "raw", "--output", str(out), "--pid", str(running.pid)]
        subprocess.run(spy, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.kill()
        running.communicate()
        lines = out.read_text("utf-8").splitlines()
        if flame is not None:
            name = "".join(c if c.isalnum() else "-" for c in job)
            shutil.copy(out, flame / f"{name}.folded")
    found = []
    for line in lines:
        stack, _, samples = line.rpartition(" ")
        found.append((stack.split(";"), int(samples)))
    return found


def part_of(stack: list[str]) -> str:
    for frame in reversed(stack):
        for part, words in PARTS:
            if any(word in frame for word in words):
                return part
    return "the rest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="; ".join(JOBS))
    parser.add_argument("--seconds", type=float, default=6.0, help="of each job")
    parser.add_argument("--flame", type=Path, help="folder for folded stacks of flame graphs")
    parser.add_argument("--work", metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.jobs[0], given.work)
        return
    if shutil.which("py-spy") is None:
        sys.exit("py-spy is not installed: pip install py-spy")
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    for job in given.jobs or JOBS:
        parts: Counter[str] = Counter()
        for stack, samples in sampled(job, given.seconds, given.flame):
            if not any(word in frame for frame in stack[-4:] for word in WAITING):
                parts[part_of(stack)] += samples
        shares = [f"{name} {100 * n / parts.total():.0f} %" for name, n in parts.most_common()]
        print(f"| {job} | {', '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
