"""A model made ready with a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ready"]


def ready(name: str, *, folder: Path | None = None, force: bool = False) -> Path:
    """The folder of a model, fetched and built if it is not on this machine.

    Raises:
        ModelError (and its kinds): it cannot be had.
    """
    from agentmem.cli.progress import bar
    from agentmem.models import provision, resolve, sources

    built = None if force else sources.find_built(resolve(name), folder)
    if built is not None:
        return built
    with bar(f"model {name}") as shown:

        def report(stage: str, done: int, total: int) -> None:
            shown.describe(stage)
            shown.update(done, total, items=0)

        return provision(name, folder=folder, report=report, force=force).weights.parent
