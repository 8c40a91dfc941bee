"""kill -9 while two processes write and drain: every acknowledged batch is whole, none is half.

``AGENTMEM_KILL_ROUNDS`` says how often, 50 times if it is not set; 1,000 is the long run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory

BATCH = 40
WRITERS = 2
ROUNDS = int(os.environ.get("AGENTMEM_KILL_ROUNDS", "50"))
#: Small drains, so that the kills meet them, too.
CONFIG = {"projection": {"drain_rows": 200, "batch_rows": 150}}

WRITER = f"""
import sys
from agentmem import Memory
mem = Memory(sys.argv[1], embedder="static", config={CONFIG!r})
first = int(sys.argv[2])
mem.warm_up()
if "drain" in sys.argv:
    import lancedb  # or the kill comes long before the first drain
print("ready", flush=True)
for b in range(first, first + 100_000):
    texts = [f"batch {{b}} item {{i}} of a conversation" for i in range({BATCH})]
    added = mem.add_batch(texts, user_id="u", metadata={{"batch": b, "state": "added"}})
    ids = [item["id"] for item in added["results"]]
    print("added", b, ids[0], flush=True)
    mem.update_batch([{{"id": i, "metadata": {{"batch": b, "state": "updated"}}}} for i in ids])
    print("updated", b, ids[0], flush=True)
    if b % 3 == 0:
        mem.delete_batch(ids)
        print("deleted", b, ids[0], flush=True)
"""

#: What a memory's history must be once a change of its batch was acknowledged, or the next one.
EVENTS = {"added": ["ADD"], "updated": ["ADD", "UPDATE"], "deleted": ["ADD", "UPDATE", "DELETE"]}
STATES = [None, *EVENTS]


@pytest.mark.slow
def test_kill_nine_again_and_again(path: Path) -> None:
    rng = random.Random(20240309)
    acknowledged: dict[int, tuple[str, str]] = {}  # the last change of each batch, one of its ids
    with Memory(path, embedder="static") as mem:
        mem.add("the first", user_id="other")
    for round_ in range(ROUNDS):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, path, str(number * 1_000_000), *role(number)],
                stdout=subprocess.PIPE,
            )
            for number in range(round_ * WRITERS, (round_ + 1) * WRITERS)
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
        for writer in writers:
            try:
                writer.wait(rng.uniform(0.0, 0.12))
            except subprocess.TimeoutExpired:
                writer.send_signal(signal.SIGKILL)
        for writer in writers:
            assert writer.stdout is not None
            rest = writer.stdout.read()
            assert writer.wait() == -signal.SIGKILL
            writer.stdout.close()
            for line in rest.split(b"\n")[:-1]:
                state, batch, id_ = line.decode().split()
                acknowledged[int(batch)] = state, id_
        if round_ % 25 == 24:
            check_whole(path, acknowledged)
    check_whole(path, acknowledged)
    assert len(acknowledged) > ROUNDS


def role(number: int) -> list[str]:
    """Every twentieth writer drains from its first moment on."""
    return ["drain"] if number % 20 == 0 else []


def check_whole(path: Path, acknowledged: dict[int, tuple[str, str]]) -> None:
    with Memory(path, embedder="static", config=CONFIG) as mem:
        found: dict[int, list[Any]] = defaultdict(list)
        cursor = None
        while True:
            page = mem.get_all(user_id="u", limit=10_000, cursor=cursor)
            for item in page["results"]:
                found[item["metadata"]["batch"]].append(item["metadata"]["state"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
        for states in found.values():
            assert len(states) == BATCH
            assert len(set(states)) == 1
        # A change may be committed and its writer killed before it could say so, but no more.
        unspoken = 0
        for batch, (state, id_) in acknowledged.items():
            now = found[batch][0] if batch in found else "deleted"
            ahead = STATES.index(now) - STATES.index(state)
            assert ahead in (0, 1)
            unspoken += ahead
            assert [event["event"] for event in mem.history(id_)] == EVENTS[now]
        unspoken += len(found.keys() - acknowledged.keys())
        assert unspoken <= len({batch // 1_000_000 for batch in (*found, *acknowledged)})
        assert mem.count(user_id="other") == 1
        mem.flush()
        assert mem.check()["problems"] == []  # the projection equals the store, too
        hits = mem.search("batch item of a conversation", user_id="u", top_k=5)["results"]
        assert len(hits) == (5 if found else 0)
