"""Result dictionaries of memories that were found lately."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentmem._native.answers import copies as _copies
from agentmem._native.answers import match
from agentmem.search.results import item_of

if TYPE_CHECKING:
    from agentmem.ports import Snapshot
    from agentmem.types import Hit, Record

__all__ = ["Answer", "Held", "Items", "copies", "size_of"]

_Item = dict[str, Any]
#: The event that made it what it is, the item, what to do about its metadata, bytes.  Copies of the
#: item must not share what can be changed: JSON to decode anew, or "" for a dictionary of scalars.
Held = tuple[int, _Item, "str | None", int]
#: Hits with what is kept of them.
Answer = list[tuple["Hit", Held]]

_OVERHEAD = 1600  # bytes of an item beside its text: the dictionary, ids, times

_decode = json.JSONDecoder().decode


class Items:
    """Items by key, each of one version of a memory, so that a hit whose version is here needs no
    row from the store.  Any thread; bounded in bytes.

    Two generations stand in for an order of use: what is found in the old one moves to the young,
    and when the young one is half of the whole it becomes the old.
    """

    def __init__(self, max_bytes: int) -> None:
        self._half = max_bytes // 2
        self._lock = threading.Lock()  # for changing; a look-up is one step
        self._young: dict[int, Held] = {}
        self._old: dict[int, Held] = {}
        self._bytes = [0, 0]  # of the young, of the old
        self._life = 0  # what was read before something was forgotten is not kept after it
        self._hits = self._misses = 0

    @property
    def life(self) -> int:
        """To be taken before a snapshot is opened from which ``answer`` is to read."""
        return self._life

    def answer(
        self, ranked: Sequence[Sequence[Hit]], snapshot: Snapshot, life: int
    ) -> list[list[_Item]]:
        """What ``search_batch`` returns for these hits, which belong to ``snapshot``; the caller's
        own.  Rows that are not here are read in one call.

        Raises:
            StaleSnapshot: see ``ports.Store.peek``.
        """
        return [copies(found) for found in self.find(ranked, snapshot, life)]

    def find(self, ranked: Sequence[Sequence[Hit]], snapshot: Snapshot, life: int) -> list[Answer]:
        """The same, as it is kept here, for ``copies``."""
        young = self._young
        answers: list[Any] = []
        missing: dict[int, int] = {}  # key -> event
        count = 0
        for hits in ranked:
            answer, absent = match(hits, young)
            answers.append(answer)
            missing.update(absent)
            count += len(hits)
        self._hits += count - len(missing)
        if missing:
            made = self._fetch(missing, snapshot, life)
            answers = [
                [(hit, made[hit.key] if held is None else held) for hit, held in answer]
                for answer in answers
            ]
        return answers

    def listed(self, versions: dict[int, int], snapshot: Snapshot, life: int | None) -> list[_Item]:
        """Items without a score, in this order, of memories by key and the event that made each
        what it is; the caller's own.  What is read for it is kept, unless ``life`` is None."""
        young = self._young
        held = {key: young.get(key) for key in versions}
        missing = {
            key: seq for key, seq in versions.items() if (one := held[key]) is None or one[0] != seq
        }
        self._hits += len(held) - len(missing)
        if missing:
            held |= self._fetch(missing, snapshot, life)
        return [_copy(one) for one in held.values() if one is not None]

    def forget(self, keys: Sequence[int] | None = None) -> None:
        """Keep nothing of these memories; of none, if ``keys`` is None."""
        with self._lock:
            self._life += 1
            if keys is None:
                self._young, self._old = {}, {}
                self._bytes = [0, 0]
                return
            for number, generation in enumerate((self._young, self._old)):
                for key in keys:
                    held = generation.pop(key, None)
                    if held is not None:
                        self._bytes[number] -= held[3]

    def stats(self) -> dict[str, int]:
        with self._lock:
            return {
                "entries": len(self._young) + len(self._old),
                "bytes": sum(self._bytes),
                "max_bytes": 2 * self._half,
                "hits": self._hits,
                "misses": self._misses,
            }

    def _fetch(
        self, wanted: dict[int, int], snapshot: Snapshot, life: int | None
    ) -> dict[int, Held]:
        """From the old generation or the store; kept from now on, unless ``life`` is None."""
        found = {}
        absent = []
        for key, seq in wanted.items():
            held = self._old.get(key)
            if held is None or held[0] != seq:
                absent.append(key)
            else:
                found[key] = held
        if absent:
            for key, record in snapshot.records(absent).items():
                found[key] = _held(record)
        with self._lock:
            self._hits += len(wanted) - len(absent)
            self._misses += len(absent)
            if life == self._life:
                for key, held in found.items():
                    self._keep(key, held)
        return found

    def _keep(self, key: int, held: Held) -> None:
        before = self._young.get(key)
        if before is not None:
            self._bytes[0] -= before[3]
        self._young[key] = held
        self._bytes[0] += held[3]
        if self._bytes[0] > self._half:
            self._old, self._young = self._young, {}
            self._bytes = [0, self._bytes[0]]
            if self._bytes[1] > 2 * self._half:  # one item larger than there is room for
                self._old, self._bytes = {}, [0, 0]


def copies(answer: Answer) -> list[_Item]:
    """The items with their scores, as the caller's own."""
    return _copies(answer, _decode)


def _copy(held: Held) -> _Item:
    _, item, metadata, _ = held
    item = item.copy()
    if metadata is not None:
        item["metadata"] = _decode(metadata) if metadata else item["metadata"].copy()
    return item


def size_of(answer: Answer) -> int:
    """Bytes of what an answer holds."""
    return sum(held[3] for _, held in answer)


def _held(record: Record) -> Held:
    item = item_of(record)
    metadata = record.metadata
    size = _OVERHEAD + 4 * len(record.content)  # strings at their widest
    if metadata is not None:
        size += 12 * len(metadata)
        if not any(isinstance(value, dict | list) for value in item["metadata"].values()):
            metadata = ""
    return record.seq, item, metadata, size
