"""One run of one contender, in a process of its own.

    python -m compare.worker NAME FOLDER OUT [SIZES]

Writes a JSON object of figures to OUT; with SIZES (JSON) all tasks, without them only the first
memory: when it is stored is written as seconds since the epoch.  Nothing here may use the network.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from compare import data
from compare.contenders import CONTENDERS, STORES, Entry

_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.sendto")


def refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: Python code that would reach another machine fails here and says so."""
    if event in _NETWORK:
        raise PermissionError(f"a contender asked for the network: {event} {arguments[1:]}")


def first_memory(entry: Entry, folder: Path) -> dict[str, float]:
    """When the first text was stored."""
    vector = data.given_vectors(1)[0] if entry.name in STORES else None
    contender = entry.load()(folder, *entry.arguments)
    contender.add(data.Row("12 March: We rent a first-floor flat in Headingley.", vector))
    stored = time.time()
    contender.close()
    return {"stored_at": stored}


def all_tasks(entry: Entry, folder: Path, sizes: dict[str, Any]) -> dict[str, float]:
    """The figures of ``measure``; ``disk``, bytes when closed; and ``lost``, the rows whose add had
    returned and which are not there when the store is opened again."""
    from compare.measure import Sizes, bytes_of, measure

    contender = entry.load()(folder, *entry.arguments)
    figures = measure(contender, Sizes(**sizes), entry.tasks)
    contender.close()
    figures["disk"] = bytes_of(folder)
    if "count" in entry.tasks:
        again = entry.load()(folder, *entry.arguments)
        figures["lost"] = figures["stored"] - again.count()
        again.close()
    return figures


def main() -> None:
    name, folder, out, *sizes = sys.argv[1:]
    sys.addaudithook(refuse_network)
    entry = CONTENDERS[name]
    try:
        if sizes:
            told: dict[str, Any] = all_tasks(entry, Path(folder), json.loads(sizes[0]))
        else:
            told = first_memory(entry, Path(folder))
    except Exception as error:  # noqa: BLE001 - of any kind: it is told as the result
        traceback.print_exc()
        told = {"error": f"{type(error).__name__}: {error}".partition("\n")[0]}
    Path(out).write_text(json.dumps(told), "utf-8")


if __name__ == "__main__":
    main()
