"""The partition of the past that was searched last, for the next question about the same time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentmem.index.view import View
    from agentmem.ports import Snapshot
    from agentmem.types import PartitionKey

__all__ = ["PastView"]


class PastView:
    """Holds one view.  It is good while nothing is written: a purge would take something out of
    it.  Any thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: tuple[Hashable, View] | None = None  # replaced whole

    @property
    def nbytes(self) -> int:
        held = self._held
        return 0 if held is None else held[1].nbytes

    def of(
        self,
        snapshot: Snapshot,
        partition: PartitionKey,
        load: Callable[[Snapshot, PartitionKey], View],
    ) -> View:
        """What ``load`` gives; it is called if that is not at hand."""
        if snapshot.present == snapshot.seq:
            return load(snapshot, partition)
        key = (snapshot.epoch, snapshot.model_id, snapshot.seq, snapshot.present, partition)
        held = self._held
        if held is not None and held[0] == key:
            return held[1]
        self._held = None  # two of them are not held at once
        view = load(snapshot, partition)
        if view.nbytes <= self._max_bytes:
            self._held = (key, view)
        return view

    def clear(self) -> None:
        self._held = None
