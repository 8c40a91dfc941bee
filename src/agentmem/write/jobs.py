"""What one caller wants changed, and what came of it."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from agentmem.errors import NotFoundError
from agentmem.ids import id_from_str, id_to_str
from agentmem.inputs import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentmem.ports import WriteTransaction
    from agentmem.types import Record
    from agentmem.write.changes import Edit
    from agentmem.write.drafts import Drafts
    from agentmem.write.settle import Settled

__all__ = ["AddJob", "DeleteJob", "Job", "UpdateJob", "not_found", "one_of"]

Answer = dict[str, list[dict[str, Any]]]


class Job(ABC):
    """See ``queue.Job``.

    A job is applied inside a transaction, perhaps several times over until one commits; the
    transaction is what says that the job is done, so that no interrupt can come between.
    """

    __slots__ = ("_error", "_tx", "actor_id", "failed")

    def __init__(self, actor_id: str | None = None) -> None:
        self.actor_id = actor_id
        self._tx: WriteTransaction | None = None
        self._error: Exception | None = None
        self.failed = False

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many memories it is about."""

    @property
    def finished(self) -> bool:
        return self.failed or (self._tx is not None and self._tx.committed)

    def within(self, tx: WriteTransaction) -> None:
        """Its changes are made; it is done when this commits."""
        self._tx = tx

    def fail(self, error: Exception, *, shared: bool = False) -> None:
        """``shared``: other callers raise the same error, in threads of their own."""
        self._error = _copy_of(error) if shared else error
        self.failed = True

    def answer(self) -> Answer:
        """What the public call returns; raises what the job failed with.  Once."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # or the error holds its traceback, and that holds the job
        return {"results": self._results()}

    @abstractmethod
    def _results(self) -> list[dict[str, Any]]:
        """What the public call returns, one per memory."""


class AddJob(Job):
    """New memories.  One that is already there (see ``settle``) is answered with ``NONE``."""

    __slots__ = ("dedupe", "drafts", "settled", "stored")

    def __init__(self, drafts: Drafts, *, dedupe: bool) -> None:
        super().__init__()
        self.drafts = drafts
        self.dedupe = dedupe
        self.settled: Settled = []
        #: What ``settled`` names: records by key, drafts of this or another caller by number.
        self.stored: dict[int, Any] = {}

    @property
    def rows(self) -> int:
        return len(self.drafts.memories)

    def _results(self) -> list[dict[str, Any]]:
        return [
            _result(memory, "ADD") if key is None else _result(self.stored[key], "NONE")
            for memory, key in zip(self.drafts.memories, self.settled, strict=True)
        ]


class UpdateJob(Job):
    """Changes of memories that exist."""

    __slots__ = ("after", "before", "edits")

    def __init__(self, edits: Sequence[Edit], actor_id: str | None) -> None:
        super().__init__(actor_id)
        self.edits = edits
        self.before: list[Record] = []
        self.after: list[Record] = []

    @property
    def rows(self) -> int:
        return len(self.edits)

    def _results(self) -> list[dict[str, Any]]:
        return [
            _result(new, "UPDATE") | {"previous_memory": old.content}
            for old, new in zip(self.before, self.after, strict=True)
        ]


class DeleteJob(Job):
    """Memories to remove; their history stays."""

    __slots__ = ("ids", "public_ids", "records")

    def __init__(self, public_ids: Sequence[str], actor_id: str | None) -> None:
        super().__init__(actor_id)
        self.public_ids = public_ids
        self.ids = [id_from_str(public) for public in public_ids]
        self.records: list[Record] = []

    @property
    def rows(self) -> int:
        return len(self.ids)

    def _results(self) -> list[dict[str, Any]]:
        return [_result(record, "DELETE") for record in self.records]


def _result(memory: Any, event: str) -> dict[str, Any]:
    """A ``NewMemory`` and a ``Record`` share the names that are needed here."""
    return {
        "id": id_to_str(memory.id),
        "memory": memory.content,
        "event": event,
        "actor_id": memory.actor_id,
        "role": memory.role,
    }


def _copy_of(error: Exception) -> Exception:
    """Each thread raises an error of its own: raising writes the traceback into it."""
    try:
        made = copy.copy(error)
    except (TypeError, ValueError):  # the constructor wants something else than ``args``
        return error
    made.__cause__ = error
    return made


def one_of(stored: dict[bytes, Record], raw: bytes | None, public_id: str) -> Record:
    """
    Raises:
        NotFoundError: no live memory has this id.
    """
    record = stored.get(raw) if raw is not None else None
    if record is None:
        raise not_found(public_id)
    return record


def not_found(public_id: str) -> NotFoundError:
    return NotFoundError(
        f"no memory has the id {shorten(public_id)}; ids are those that add() and search() return"
    )
