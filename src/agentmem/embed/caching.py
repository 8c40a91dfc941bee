"""Vectors of texts that were embedded before, kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from agentmem.embed.local import checked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.config import EmbeddingConfig
    from agentmem.ports import Embedder

__all__ = ["CachingEmbedder"]

_PASSAGE, _QUERY = b"p", b"q"  # some models prefix queries: the same text has two vectors
_OVERHEAD = 250  # bytes of an entry beside its vector: the key, and its place in the dictionary


class CachingEmbedder:
    """An embedder that computes a text's vector once while it is remembered; any thread.

    Entries are known by a 128-bit hash of the text, and the least recently used ones make room
    for new ones.  Vectors are kept as they were computed (float32), so a text's vector is the
    same from here and from the model.  Equal texts of one call are computed once.
    """

    def __init__(self, inner: Embedder, config: EmbeddingConfig) -> None:
        """``cache_entries``, ``cache_bytes`` and ``cache_ttl`` of ``config`` bound it."""
        self.inner = inner
        self._row_bytes = 4 * inner.dim + _OVERHEAD
        self._most = min(config.cache_entries, config.cache_bytes // self._row_bytes)
        self._ttl = config.cache_ttl
        self._lock = Lock()
        self._places: OrderedDict[bytes, int] = OrderedDict()  # key -> row, oldest use first
        self._rows: NDArray[np.float32] | None = None  # (most, dim); pages come with their use
        self._born: list[float] = []
        self._generation = 0  # what was computed before ``clear`` is not kept after it
        self._hits = self._misses = self._repeats = self._evictions = 0

    def __repr__(self) -> str:
        return f"<CachingEmbedder of {self.inner!r}>"

    @property
    def dim(self) -> int:
        return self.inner.dim

    @property
    def model_id(self) -> str:
        return self.inner.model_id

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``(n, dim)`` float32, L2-normalised, the caller's own."""
        return self._look_up(_PASSAGE, texts, self.inner.embed)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._look_up(_QUERY, texts, self.inner.embed_queries)

    def warm_up(self) -> None:
        self.inner.warm_up()

    def clear(self) -> None:
        """Forget every vector; the counts stay."""
        with self._lock:
            self._generation += 1
            self._places.clear()
            self._rows = None  # the memory too, not only the way to it
            self._born = []

    def close(self) -> None:
        self.clear()
        self._most = 0
        self.inner.close()

    def stats(self) -> dict[str, int]:
        """``entries``, ``bytes``, and since the start ``hits``, ``misses``, ``repeats`` (texts that
        another of the same call was computed for) and ``evictions``."""
        with self._lock:
            entries = len(self._places)
            return {
                "entries": entries,
                "bytes": entries * self._row_bytes,
                "hits": self._hits,
                "misses": self._misses,
                "repeats": self._repeats,
                "evictions": self._evictions,
            }

    def _look_up(
        self,
        kind: bytes,
        texts: Sequence[str],
        compute: Callable[[Sequence[str]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        from agentmem._native.hashing import hash_texts

        wanted = checked(texts)
        if not self._most or not wanted:
            return compute(wanted)
        try:
            digests = hash_texts(wanted)
        except UnicodeEncodeError:
            return compute(wanted)  # raises what it raises for such a text
        if len(wanted) == 1:
            return self._look_up_one(kind + digests, wanted, compute)
        keys = [kind + digests[i : i + 16] for i in range(0, len(digests), 16)]
        generation, found, rows = self._known(keys)
        if len(found) == len(keys) and rows is not None:
            return rows
        missing: dict[bytes, int] = {}
        for i, key in enumerate(keys):
            if i not in found:
                missing.setdefault(key, i)
        order = list(missing.values())
        with self._lock:
            self._misses += len(order)
            self._repeats += len(keys) - len(found) - len(order)
        computed = compute([wanted[i] for i in order])
        self._keep([keys[i] for i in order], computed, generation)
        if len(order) == len(keys):
            return computed
        return _assemble(keys, order, computed, found, rows)

    def _look_up_one(
        self,
        key: bytes,
        wanted: list[str],
        compute: Callable[[Sequence[str]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """The same for one text, without what only many need: a small model is as quick as that."""
        with self._lock:
            generation, rows = self._generation, self._rows
            row = self._places.get(key)
            if row is not None and (not self._ttl or self._born[row] >= monotonic() - self._ttl):
                assert rows is not None
                self._hits += 1
                self._places.move_to_end(key)
                return rows[row : row + 1].copy()
            self._misses += 1
        computed = compute(wanted)
        if rows is None:
            self._keep([key], computed, generation)
            return computed
        with self._lock:
            if generation == self._generation:
                rows[self._place(key, monotonic())] = computed
        return computed

    def _known(self, keys: list[bytes]) -> tuple[int, dict[int, int], NDArray[np.float32] | None]:
        """Which of the keys are there, as ``{number of key: row of the array}``."""
        with self._lock:
            places, oldest = self._places, monotonic() - self._ttl if self._ttl else 0.0
            found: dict[int, int] = {}
            rows: list[int] = []
            for i, key in enumerate(keys):
                row = places.get(key)
                if row is not None and self._born[row] >= oldest:
                    places.move_to_end(key)
                    found[i] = len(rows)
                    rows.append(row)
            self._hits += len(rows)
            vectors = self._rows[rows] if rows and self._rows is not None else None  # a copy
            return self._generation, found, vectors

    def _keep(self, keys: list[bytes], vectors: NDArray[np.float32], generation: int) -> None:
        import numpy as np

        first = max(0, len(keys) - self._most)
        now = monotonic()
        with self._lock:
            if generation != self._generation:
                return
            if self._rows is None:
                self._rows = np.empty((self._most, self.dim), np.float32)
            rows = [self._place(key, now) for key in keys[first:]]
            if len(rows) == 1:
                self._rows[rows[0]] = vectors[first]
            else:
                self._rows[rows] = vectors[first:]

    def _place(self, key: bytes, now: float) -> int:
        """The row of a new entry, the oldest one's if all are taken."""
        row = self._places.pop(key, None)
        if row is None:
            if len(self._born) < self._most:
                row = len(self._born)
                self._born.append(now)
            else:
                row = self._places.popitem(last=False)[1]
                self._evictions += 1
        self._born[row] = now
        self._places[key] = row
        return row


def _assemble(
    keys: list[bytes],
    computed_of: list[int],
    computed: NDArray[np.float32],
    found: dict[int, int],
    known: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Rows in the order of ``keys``: known ones, computed ones, and their duplicates."""
    import numpy as np

    out = np.empty((len(keys), computed.shape[1]), np.float32)
    if known is not None:
        out[list(found)] = known[list(found.values())]
    row_of = {keys[i]: row for row, i in enumerate(computed_of)}
    rest = [i for i in range(len(keys)) if i not in found]
    out[rest] = computed[[row_of[keys[i]] for i in rest]]
    return out
