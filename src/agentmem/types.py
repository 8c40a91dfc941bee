"""Records that travel between the layers.  No behaviour beyond their own consistency.

Times are integer microseconds UTC, ids are 16 raw bytes of a UUID, and a *key* is the
integer primary key of a memory in SQLite (never reused).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "MEMORY_TYPES",
    "NEVER",
    "SCOPE_FIELDS",
    "Changes",
    "Cues",
    "Event",
    "HistoryEntry",
    "Hit",
    "IndexRows",
    "MemoryColumns",
    "ModelFiles",
    "NewMemory",
    "Numbers",
    "PartitionKey",
    "Record",
    "Scope",
    "SearchMode",
    "Strings",
    "Tail",
    "TermBatch",
    "VectorSource",
]

T = TypeVar("T")

#: Scope columns, from the narrowest partition to the widest (DESIGN: user, agent, run, org).
SCOPE_FIELDS = ("user_id", "agent_id", "run_id", "org_id")

MEMORY_TYPES = (
    "episodic",
    "semantic",
    "procedural",
    "working",
    "factual",
    "core",
    "resource",
    "contextual",
)

#: ``expires_at`` of a memory that does not expire, inside arrays (SQLite stores NULL).
NEVER = 2**63 - 1

SearchMode = Literal["hybrid", "dense", "keyword"]


class Event(IntEnum):
    """Kinds of entries in the log.  The numbers are stored."""

    ADD = 1
    UPDATE = 2
    DELETE = 3


class VectorSource(IntEnum):
    """Where a stored vector came from.  The numbers are stored."""

    MODEL = 1  # stored as float16
    CALLER = 2  # stored as float32


class Scope(NamedTuple):
    """Whose memory it is.  ``None`` means not given; a value is a value, never a wildcard.

    A tuple, as ``PartitionKey`` is: both are keys of dictionaries in every search.
    """

    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    org_id: str | None = None

    def __bool__(self) -> bool:
        return not (
            self.user_id is None
            and self.agent_id is None
            and self.run_id is None
            and self.org_id is None
        )

    def as_tuple(self) -> tuple[str | None, str | None, str | None, str | None]:
        return self

    def given(self) -> dict[str, str]:
        """The fields that have a value, in the order of ``SCOPE_FIELDS``."""
        return {k: v for k, v in zip(SCOPE_FIELDS, self.as_tuple(), strict=True) if v is not None}


class PartitionKey(NamedTuple):
    """One value of one scope column; ``column`` None is the whole store (unscoped)."""

    column: str | None
    value: str | None

    @classmethod
    def of(cls, scope: Scope) -> PartitionKey:
        """The partition that serves ``scope``: user, else agent, else run, else org."""
        user = scope[0]
        if user is not None:  # most are, and every search asks
            return cls("user_id", user)
        for column, value in zip(SCOPE_FIELDS, scope, strict=True):
            if value is not None:
                return cls(column, value)
        return cls(None, None)


@dataclass(slots=True)
class NewMemory:
    """A validated memory, ready to be inserted.  The store adds key, seq, position, times."""

    id: bytes
    scope: Scope
    content: str
    content_hash: bytes  # 16 bytes, BLAKE2b-128 of the UTF-8 text
    event_at: int | None = None  # None: the commit time
    actor_id: str | None = None
    role: str | None = None
    memory_type: str = "episodic"
    level: str | int | None = None
    importance: float | None = None
    metadata: str | None = None  # compact JSON object, or None
    expires_at: int | None = None
    idempotency_key: str | None = None


@dataclass(slots=True)
class Record:
    """A memory as it is stored now."""

    key: int
    id: bytes
    scope: Scope
    content: str
    content_hash: bytes
    actor_id: str | None
    role: str | None
    memory_type: str
    level: str | int | None
    importance: float | None
    metadata: str | None
    event_at: int
    created_at: int
    updated_at: int
    expires_at: int | None
    position: int  # 0, 1, 2... within its exact scope (its run)
    seq: int  # the last event that changed it
    added_seq: int  # its ADD event
    idempotency_key: str | None


@dataclass(slots=True)
class HistoryEntry:
    """One event of one memory, oldest first when listed."""

    seq: int
    memory_id: bytes
    event: Event
    at: int
    actor_id: str | None  # who made the change, where known
    role: str | None
    old_content: str | None
    new_content: str | None
    created_at: int  # of the memory
    updated_at: int | None


@dataclass(slots=True)
class TermBatch:
    """Keyword terms of n texts, in CSR form.

    ``terms[offsets[i]:offsets[i+1]]`` are the distinct term hashes of text i in ascending
    order, ``counts`` how often each occurs, ``lengths[i]`` the sum of its counts.
    """

    offsets: NDArray[np.int64]  # (n + 1,)
    terms: NDArray[np.uint64]  # (total,)
    counts: NDArray[np.uint16]  # (total,), saturating at 65535
    lengths: NDArray[np.uint32]  # (n,)

    def of(self, i: int) -> tuple[NDArray[np.uint64], NDArray[np.uint16]]:
        """The terms and counts of text i."""
        if len(self.lengths) == 1:
            return self.terms, self.counts
        begin, end = self.offsets[i : i + 2].tolist()
        return self.terms[begin:end], self.counts[begin:end]


@dataclass(slots=True)
class IndexRows:
    """What the hot index needs of n live memories, in ascending ``keys`` order, columnar."""

    keys: NDArray[np.int64]
    seqs: NDArray[np.int64]
    scopes: NDArray[np.int64]  # interned scope ids; equal id = same run, in the order of keys
    event_at: NDArray[np.int64]
    expires_at: NDArray[np.int64]  # NEVER where it does not expire
    importance: NDArray[np.float32]  # NaN where not given
    actors: NDArray[np.int64]  # a number per actor_id (see ``actor_number``), 0 where none
    vectors: NDArray[np.float16] | NDArray[np.float32]  # (n, dim); float32 if any row is a caller's
    terms: TermBatch
    scope_table: dict[int, Scope] = field(default_factory=dict)  # every id in ``scopes``
    actor_table: dict[int, str] = field(default_factory=dict)  # every number in ``actors`` but 0


@dataclass(slots=True)
class Changes:
    """The log's tail in one snapshot: rows as they are now, and keys that are gone."""

    seq: int  # last seq covered; apply and remember it
    rows: IndexRows
    gone: NDArray[np.int64]  # keys named in the tail that no longer exist


@dataclass(frozen=True, slots=True)
class Strings:
    """n texts, or blobs, of which some may be missing."""

    offsets: NDArray[np.int32]  # (n + 1,): where each begins in ``data``, and the last ends
    data: NDArray[np.uint8]  # end to end; texts as UTF-8
    valid: NDArray[np.uint8] | None = None  # (n,): 0 where missing; None: nothing is


@dataclass(frozen=True, slots=True)
class Numbers:
    """n numbers, of which some may be missing."""

    values: NDArray[Any]  # (n,): int64 or float64
    valid: NDArray[np.uint8] | None = None  # (n,): 0 where missing; None: nothing is


@dataclass(slots=True)
class MemoryColumns:
    """n whole live memories, column by column, as they are stored."""

    key: NDArray[np.int64]
    seq: NDArray[np.int64]
    id: NDArray[np.uint8]  # (16 * n,): end to end
    content: Strings
    content_hash: NDArray[np.uint8]  # (16 * n,): end to end
    metadata: Strings
    scope: NDArray[np.int64]  # interned ids
    actor_id: Strings
    role: Strings
    memory_type: Strings
    level: Strings  # a level that is a word
    level_number: Numbers  # a level that is a number
    importance: Numbers  # float64
    event_at: NDArray[np.int64]
    created_at: NDArray[np.int64]
    updated_at: NDArray[np.int64]
    expires_at: Numbers
    position: NDArray[np.int64]
    idempotency_key: Strings
    vectors: NDArray[np.float16] | NDArray[np.float32]  # (n, dim); float32 if any row is a caller's
    scope_table: dict[int, Scope] = field(default_factory=dict)  # every id in ``scope``


@dataclass(slots=True)
class Tail(Generic[T]):
    """A stretch of the log in one snapshot: memories as they are now, in parts, each made of at
    most a few thousand rows of ``MemoryColumns``."""

    seq: int  # last seq covered; apply and remember it
    added: list[T]  # memories whose ADD is in the stretch, by ascending key
    changed: list[T]  # memories of before that the stretch names
    gone: list[int]  # keys of before that it names and that no longer exist


@dataclass(frozen=True, slots=True)
class Cues:
    """What a question says besides its words."""

    names: tuple[int, ...] = ()  # terms of what it writes like a name, ascending
    #: (year, month, day) of each date, 0 where it is not said, but for at least year or month.
    dates: tuple[tuple[int, int, int], ...] = ()
    #: Microseconds [start, end) of each date that it names from where it is asked.
    spans: tuple[tuple[int, int], ...] = ()


class Hit(NamedTuple):
    """A ranked memory before its row is fetched."""

    key: int
    score: float
    parts: dict[str, float] | None = None  # with explain: they add up to ``score``
    seq: int = 0  # of the event that made the memory what was ranked; 0 where that is not known


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A provisioned model on this machine: what an embedder needs to load it."""

    name: str
    model_id: str
    dim: int
    kind: Literal["onnx", "static"]
    weights: Path  # model.onnx (output ``last_hidden_state`` (b, L, dim)) or the static table
    tokenizer: Path  # tokenizer.json
    pooling: Literal["mean", "cls"] = "mean"
    query_prefix: str = ""
    max_length: int = 256  # tokens, special ones included; longer texts are truncated
