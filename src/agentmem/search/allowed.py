"""Which memories filters leave over, remembered from search to search."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.ports import Filter, Snapshot
    from agentmem.types import PartitionKey

__all__ = ["Allowed"]

_MAX_BYTES = 16 << 20  # of keys
#: A log's tail with more memories than this is not followed: the filter is asked anew.
_TAIL = 1_000

_Key = tuple["PartitionKey", str, tuple[Any, ...]]


@dataclass(slots=True)
class _Answer:
    epoch: str
    seq: int
    keys: NDArray[np.int64]  # ascending; never changed in place


class Allowed:
    """The keys of a filter in a partition, as of a snapshot.

    A filter tells of a memory what only an event of that memory can change.  So an answer is
    good until the log names a memory, and then only those that it names are asked for again.
    Any thread; bounded in bytes, the least recently used leave first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[_Key, _Answer] = OrderedDict()
        self._bytes = 0

    def keys(self, snapshot: Snapshot, partition: PartitionKey, where: Filter) -> NDArray[np.int64]:
        """What ``snapshot.matching_keys`` returns."""
        text, params = where.sql()
        key = (partition, text, tuple(params))
        with self._lock:
            known = self._answers.get(key)
            if known is not None:
                self._answers.move_to_end(key)
        if known is not None and (known.epoch, known.seq) == (snapshot.epoch, snapshot.seq):
            return known.keys
        keys = self._followed(known, snapshot, partition, where)
        if known is None or known.epoch != snapshot.epoch or known.seq < snapshot.seq:
            self._keep(key, _Answer(snapshot.epoch, snapshot.seq, keys))
        return keys

    def _followed(
        self, known: _Answer | None, snapshot: Snapshot, partition: PartitionKey, where: Filter
    ) -> NDArray[np.int64]:
        if known is None or known.epoch != snapshot.epoch or known.seq > snapshot.seq:
            return snapshot.matching_keys(partition, where)
        changed = snapshot.changed_keys(known.seq, _TAIL)
        if changed is None:
            return snapshot.matching_keys(partition, where)
        import numpy as np

        left = known.keys[~np.isin(known.keys, changed)]
        found = snapshot.matching_keys(partition, where, among=changed)
        return np.union1d(left, found) if len(found) else left

    def _keep(self, key: _Key, answer: _Answer) -> None:
        with self._lock:
            before = self._answers.pop(key, None)
            if before is not None:
                self._bytes -= before.keys.nbytes
            if answer.keys.nbytes > _MAX_BYTES // 2:
                return
            self._answers[key] = answer
            self._bytes += answer.keys.nbytes
            while self._bytes > _MAX_BYTES or len(self._answers) > _TAIL:
                _, gone = self._answers.popitem(last=False)
                self._bytes -= gone.keys.nbytes
