"""The child process that builds indexes: ``python -m agentmem.vector.build``.

It reads one JSON object from its standard input: ``home``, ``uri``, ``table`` and the settings of
the projection.  It ends at once when the input ends, that is when its parent wants it to or is
gone, and when somebody who is about to erase asks all builders to stop (``index.stop``).  Ending
at any moment harms nothing: Lance commits an index as a whole or not at all.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agentmem.config import Config, ProjectionConfig
from agentmem.vector.files import LocalFiles, local_folder
from agentmem.vector.state import BuildState

__all__ = ["main"]

#: Seconds between two looks for a request to stop.  It is a file, since any process may ask and
#: need not be the parent; no portable call waits for one to appear.
_LOOK = 0.2


def main() -> int:
    """Returns the exit code: 0 done, 1 failed, 2 somebody else is at it."""
    if hasattr(os, "nice"):
        os.nice(19)
    asked = json.loads(sys.stdin.buffer.readline())
    home = Path(asked["home"])
    config: ProjectionConfig = Config.from_dict({"projection": asked["projection"]}).projection
    state = BuildState(home)
    with state.lock() as taken:
        if not taken:
            return 2
        threading.Thread(target=_end_with_parent, daemon=True).start()
        threading.Thread(target=_end_when_asked, args=(state,), daemon=True).start()
        return _build(state, asked["uri"], asked["table"], config)


def _build(state: BuildState, uri: str, name: str, config: ProjectionConfig) -> int:
    import lancedb

    from agentmem.vector.indexes import build

    begin = time.time()
    told: dict[str, Any] = {"table": name, "pid": os.getpid(), "since": begin}

    def step(part: str) -> None:
        state.save(told | {"state": "building", "part": part})

    step("table")
    try:
        covered = build(lancedb.connect(uri).open_table(name), config, step)
    except (RuntimeError, ValueError, OSError) as error:  # all that LanceDB raises
        state.save(told | {"state": "failed", "error": str(error)[:500]})
        return 1
    folder = local_folder(uri)
    if folder is not None:
        LocalFiles(folder).sync(name)
    state.save(
        told
        | {
            "state": "done",
            "rows": covered.rows,
            "indexed": covered.indexed,
            "seconds": round(time.time() - begin, 3),
        }
    )
    return 0


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever sent, so this returns when the input ends
    os._exit(3)


def _end_when_asked(state: BuildState) -> None:
    while not state.stop_asked():
        time.sleep(_LOOK)
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
