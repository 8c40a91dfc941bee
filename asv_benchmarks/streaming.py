"""Streams rows into a store and says how much memory that took: what ``AddArrowPeak`` runs.

    python asv_benchmarks/streaming.py ROWS 0|1

The second argument says whether the projection drains beside it.  Printed is the most that was
resident, in MiB, of this process and, after it, of this one and the one that drains together.
"""

from __future__ import annotations

import resource
import sys
import tempfile

from benchmarks.common import Resident
from benchmarks.write import stream

from agentmem import Memory


def main() -> None:
    rows, projection = int(sys.argv[1]), sys.argv[2] == "1"
    with tempfile.TemporaryDirectory(prefix="agentmem-bench-") as folder:
        config = {"projection": {"enabled": projection}}
        with Memory(folder, embedder="static", user_id="bench", config=config) as memory:
            with Resident(memory._engine.projection) as together:
                added = memory.add_arrow(stream(rows))
                memory.flush()
            assert added == {"rows": rows, "added": rows}
        with Memory(folder, embedder="static", user_id="bench", config=config) as memory:
            assert memory.count() == rows
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    print(together.bytes / 2**20)


if __name__ == "__main__":
    main()
