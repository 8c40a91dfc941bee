"""kill -9 while batches are written: every acknowledged batch is whole, no other row exists."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from agentmem import Memory

BATCH = 40

WRITER = """
import sys
from agentmem import Memory
mem = Memory(sys.argv[1], embedder="static")
first = int(sys.argv[2])
mem.warm_up()
print("ready", flush=True)
for b in range(first, first + 100_000):
    mem.add_batch([f"batch {b} item {i} of a conversation" for i in range(40)],
                  user_id="u", metadata={"batch": b})
    print(b, flush=True)
"""


@pytest.mark.slow
def test_kill_nine_a_hundred_times(path: Path) -> None:
    rng = random.Random(20240309)
    acknowledged: set[int] = set()
    with Memory(path, embedder="static") as mem:
        mem.add("the first", user_id="other")
    for round_ in range(int(os.environ.get("AGENTMEM_KILL_ROUNDS", "100"))):
        worker = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(round_ * 1_000_000)],
            stdout=subprocess.PIPE,
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        try:
            worker.wait(rng.uniform(0.0, 0.12))
        except subprocess.TimeoutExpired:
            worker.send_signal(signal.SIGKILL)
        rest = worker.stdout.read()
        assert worker.wait() == -signal.SIGKILL
        worker.stdout.close()
        acknowledged.update(int(line) for line in rest.split(b"\n")[:-1])
        if round_ % 20 == 19:
            check_whole(path, acknowledged)
    check_whole(path, acknowledged)


def check_whole(path: Path, acknowledged: set[int]) -> None:
    with Memory(path, embedder="static") as mem:
        found: Counter[int] = Counter()
        cursor = None
        while True:
            page = mem.get_all(user_id="u", limit=10_000, cursor=cursor)
            found.update(item["metadata"]["batch"] for item in page["results"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert set(found.values()) <= {BATCH}
        assert acknowledged <= set(found)
        # A batch may be committed and killed before it could say so: one per round at most.
        unspoken = set(found) - acknowledged
        assert len({b // 1_000_000 for b in unspoken}) == len(unspoken)
        assert mem.check()["problems"] == []
        hits = mem.search("batch item of a conversation", user_id="u", top_k=5)["results"]
        assert len(hits) == (5 if found else 0)
