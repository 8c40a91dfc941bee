"""Answers that were given lately, for the same question asked again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agentmem._native.answers import hits, keys_of
from agentmem.types import Hit

if TYPE_CHECKING:
    from agentmem.config import SearchConfig
    from agentmem.search.items import Answer, Held

__all__ = ["KeptAnswers"]

_OVERHEAD = 700  # bytes of an entry beside its items: the key, its place in the dictionary
_HIT = 100  # of each hit: a score, a place in a list

#: Until when, bytes; keys, scores and items of the hits.  Not as ``Answer`` has them: entries are
#: kept by the thousand, and the garbage collector, which stops all threads when it looks at
#: everything, looks at each tuple that holds more than numbers and texts, and at every ``Hit``.
_Entry = tuple[int, int, tuple[int, ...], tuple[float, ...], "tuple[Held, ...]"]


class KeptAnswers:
    """Answers by what was asked and the version of the partition that was asked; any thread.

    An answer holds for one version (``ports.HotIndex.version``) until the next memory of the
    partition expires.  The least recently used leave first.
    """

    def __init__(self, config: SearchConfig) -> None:
        """``answers`` and ``answers_bytes`` of ``config`` bound it."""
        self._most = config.answers if config.answers_bytes else 0
        self.enabled = self._most > 0
        self._max_bytes = config.answers_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._bytes = 0
        self._life = 0  # what was asked before something was forgotten is not kept after it
        self._hits = self._misses = 0

    @property
    def life(self) -> int:
        """To be taken before the snapshot is opened whose answer is to be kept."""
        return self._life

    def get(self, key: Hashable, now: int) -> Answer | None:
        """The answer, if it still holds at ``now``, in microseconds."""
        # Without the lock: threads that ask would queue for it.
        held = self._held.get(key)
        if held is None or held[0] <= now:
            self._misses += 1
            return None
        self._hits += 1
        with suppress(KeyError):  # it has just left
            self._held.move_to_end(key)
        _, _, keys, scores, items = held
        found = hits(Hit, list(keys), list(scores), [item[0] for item in items])
        return list(zip(found, items, strict=True))

    def put(self, key: Hashable, until: int, answer: Answer, size: int, life: int) -> None:
        """Keep an answer of ``size`` bytes, unless something was forgotten since ``life``."""
        size += _OVERHEAD + _HIT * len(answer)
        with self._lock:
            if life != self._life:
                return
            before = self._held.pop(key, None)
            if before is not None:
                self._bytes -= before[1]
            scores = tuple([hit.score for hit, _ in answer])
            items = tuple([item for _, item in answer])
            self._held[key] = (until, size, tuple(keys_of(answer)), scores, items)
            self._bytes += size
            while len(self._held) > self._most or self._bytes > self._max_bytes:
                _, gone = self._held.popitem(last=False)
                self._bytes -= gone[1]

    def forget(self, keys: Sequence[int] | None = None) -> None:
        """Keep nothing.  ``keys`` of the memories that are gone are not looked for: which answers
        they are in is not known."""
        with self._lock:
            self._life += 1
            self._held.clear()
            self._bytes = 0

    def stats(self) -> dict[str, Any]:
        with self._lock:
            return {
                "entries": len(self._held),
                "bytes": self._bytes,
                "max_bytes": self._max_bytes,
                "hits": self._hits,
                "misses": self._misses,
            }
