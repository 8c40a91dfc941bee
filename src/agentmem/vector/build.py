"""The child process that builds indexes: ``python -m agentmem.vector.build``.

A job is the store's folder ``home``, the ``uri`` of the database, the ``table``, and the settings
of the ``projection``.  The answer says whether somebody else is at it (``busy``).  The process
also ends when somebody who is about to erase asks all builders to stop (``index.stop``).  Ending
at any moment harms nothing: Lance commits an index as a whole or not at all.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from agentmem.config import Config, ProjectionConfig
from agentmem.errors import StoreError, StorePathError
from agentmem.vector.child import STOPPED
from agentmem.vector.files import LocalFiles, local_folder
from agentmem.vector.serving import Parent, serve
from agentmem.vector.state import BuildState

__all__ = ["main"]

#: Seconds between two looks for a request to stop.  It is a file, since any process may ask and
#: need not be the parent; no portable call waits for one to appear.
_LOOK = 0.2


def main() -> None:
    """One job, at the lowest priority: it takes minutes, and the next one is days away."""
    serve(_work, nice=19, linger=0)


def _work(job: dict[str, Any], parent: Parent) -> dict[str, Any]:
    config: ProjectionConfig = Config.from_dict({"projection": job["projection"]}).projection
    home = Path(job["home"])
    if not home.is_dir():  # the lock's file would make one
        raise StorePathError(f"the store {str(home)!r} is gone; open the folder that you mean")
    state = BuildState(home)
    with state.lock() as taken:
        if taken:
            threading.Thread(target=_end_when_asked, args=(state, parent), daemon=True).start()
            _build(state, job["uri"], job["table"], config)
    return {"busy": not taken}


def _build(state: BuildState, uri: str, name: str, config: ProjectionConfig) -> None:
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
        raise StoreError(str(error)[:500]) from error
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


def _end_when_asked(state: BuildState, parent: Parent) -> None:
    while not state.stop_asked():
        time.sleep(_LOOK)
    parent.leave(STOPPED)


if __name__ == "__main__":
    main()
