"""Parts of one transaction: what callers want, looked up, computed and applied.

A part is planned at a glance (which texts need a vector?), given its vectors and keyword terms
outside any lock, and applied inside the transaction, where everything is looked up once more.
Adds of several callers make one part, so that a group costs what a batch costs.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from agentmem.types import Record, VectorSource
from agentmem.write.drafts import join_drafts
from agentmem.write.jobs import AddJob, DeleteJob, Job, UpdateJob, one_of
from agentmem.write.settle import Settled, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agentmem.ports import Analyzer, LookUps, WriteTransaction
    from agentmem.types import Scope, TermBatch

__all__ = ["Changed", "Part", "gather"]

#: For a copy in a third of the time that ``dataclasses.replace`` takes.
_fields = attrgetter(*(field.name for field in dataclasses.fields(Record)))


class Changed(Exception):
    """What was planned holds no longer: plan again.  Never reaches a caller."""


class Part(Protocol):
    frees: ClassVar[bool]  # whether it is there to free space
    jobs: list[Any]

    def plan(self, look: LookUps) -> None:
        """Look up what is there; then ``texts`` says what is to be embedded."""
        ...

    @property
    def texts(self) -> list[str]: ...

    @property
    def reused(self) -> int:
        """How many have the stored vector of their scope and text, and are not embedded."""
        ...

    def prepare(self, vectors: NDArray[np.float32], analyzer: Analyzer) -> None:
        """``vectors`` are those of ``texts``."""
        ...

    def apply(self, tx: WriteTransaction) -> None:
        """
        Raises:
            Changed: see there.
            ConflictError, NotFoundError: one of the jobs cannot be done.
        """
        ...

    def split(self) -> list[Part]:
        """The same, planned and prepared as far as this is, with one job each."""
        ...


def gather(jobs: Sequence[Job]) -> list[Part]:
    """Parts of jobs, in their order; adds that follow one another make one."""
    parts: list[Part] = []
    for job in jobs:
        last = parts[-1] if parts else None
        if isinstance(job, AddJob):
            if isinstance(last, AddPart) and last.dedupe == job.dedupe:
                last.jobs.append(job)
            else:
                parts.append(AddPart([job]))
        elif isinstance(job, UpdateJob):
            parts.append(UpdatePart(job))
        else:
            assert isinstance(job, DeleteJob)
            parts.append(DeletePart(job))
    return parts


class _Values:
    """Vectors and terms of some texts, row by row of ``rows`` (ascending)."""

    def __init__(
        self,
        look: LookUps,
        rows: list[int],
        texts: list[str],
        scopes: list[Scope],
        hashes: list[bytes],
        own: list[NDArray[np.float32] | None],
    ) -> None:
        """``own`` are the callers' vectors; a stored one of the same scope and text is next."""
        self.rows = rows
        self.all_texts = texts
        self.own = own
        self._known = _known_vectors(look, scopes, hashes, own)
        self._unknown = [
            i for i, given in enumerate(own) if given is None and self._known[i] is None
        ]
        self.vectors: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self.sources: list[VectorSource] = []
        self.terms: TermBatch | None = None

    @property
    def texts(self) -> list[str]:
        return [self.all_texts[i] for i in self._unknown]

    @property
    def reused(self) -> int:
        return len(self._known) - self._known.count(None)

    def fill(self, computed: NDArray[np.float32], analyzer: Analyzer) -> None:
        if len(self._unknown) == len(self.all_texts):
            self.vectors = computed
        else:
            self.vectors = np.empty((len(self.all_texts), computed.shape[1]), np.float32)
            self._copy_given()
            self.vectors[self._unknown] = computed
        self.sources = [VectorSource.MODEL if v is None else VectorSource.CALLER for v in self.own]
        self.terms = analyzer.analyze(self.all_texts)

    def _copy_given(self) -> None:
        for i, (given, stored) in enumerate(zip(self.own, self._known, strict=True)):
            if given is not None:
                self.vectors[i] = given
            elif stored is not None:
                self.vectors[i] = np.frombuffer(stored, dtype=np.float16)

    def only(self, rows: Sequence[int], analyzer: Analyzer, *, first: int = 0) -> _Values:
        """The part of these rows, counted from ``first``."""
        at = {row: i for i, row in enumerate(self.rows)}
        kept = [at[row] for row in rows]
        part = object.__new__(_Values)
        part.rows = [row - first for row in rows]
        part.all_texts = [self.all_texts[i] for i in kept]
        part.own = [self.own[i] for i in kept]
        part.vectors = self.vectors[kept]
        part.sources = [self.sources[i] for i in kept]
        part.terms = analyzer.analyze(part.all_texts)
        return part


class AddPart:
    """Adds of one or several callers, as one batch."""

    frees: ClassVar[bool] = False

    def __init__(self, jobs: list[AddJob]) -> None:
        self.jobs = jobs
        self.dedupe = jobs[0].dedupe
        self._values: _Values | None = None

    def plan(self, look: LookUps) -> None:
        drafts = self._drafts = join_drafts([job.drafts for job in self.jobs])
        settled = settle(look, drafts, dedupe=self.dedupe)
        rows = [i for i, key in enumerate(settled) if key is None]
        memories = [drafts.memories[i] for i in rows]
        self._values = _Values(
            look,
            rows,
            [m.content for m in memories],
            [m.scope for m in memories],
            [m.content_hash for m in memories],
            [drafts.vectors[i] for i in rows],
        )

    @property
    def texts(self) -> list[str]:
        assert self._values is not None
        return self._values.texts

    @property
    def reused(self) -> int:
        return 0 if self._values is None else self._values.reused

    def prepare(self, vectors: NDArray[np.float32], analyzer: Analyzer) -> None:
        assert self._values is not None
        self._analyzer = analyzer
        self._values.fill(vectors, analyzer)

    def apply(self, tx: WriteTransaction) -> None:
        drafts, values = self._drafts, self._values
        assert values is not None
        settled = _followed(settle(tx.view, drafts, dedupe=self.dedupe))
        missing = [i for i, key in enumerate(settled) if key is None]
        if missing != values.rows:
            if not set(missing).issubset(values.rows):
                raise Changed  # an earlier copy was deleted meanwhile: prepare its text too
            values = values.only(missing, self._analyzer)
        assert values.terms is not None
        if missing:
            memories = [drafts.memories[i] for i in missing]
            tx.insert(memories, values.vectors, values.sources, values.terms)
        named = {key for key in settled if key is not None}
        stored: dict[int, Any] = {key: drafts.memories[-1 - key] for key in named if key < 0}
        if len(stored) < len(named):
            stored.update(tx.view.records([key for key in named if key > 0]))
        for job, (start, stop) in zip(self.jobs, self._bounds(), strict=True):
            job.settled = settled[start:stop]
            job.stored = stored
            job.within(tx)

    def split(self) -> list[Part]:
        parts: list[Part] = []
        for job, (start, stop) in zip(self.jobs, self._bounds(), strict=True):
            part = AddPart([job])
            if self._values is not None:
                part._drafts = job.drafts
                part._analyzer = self._analyzer
                rows = [row for row in self._values.rows if start <= row < stop]
                part._values = self._values.only(rows, self._analyzer, first=start)
            parts.append(part)
        return parts

    def _bounds(self) -> list[tuple[int, int]]:
        ends = [0]
        for job in self.jobs:
            ends.append(ends[-1] + job.rows)
        return list(pairwise(ends))


class UpdatePart:
    """One caller's updates."""

    frees: ClassVar[bool] = False

    def __init__(self, job: UpdateJob) -> None:
        self.jobs = [job]
        self._job = job

    def plan(self, look: LookUps) -> None:
        edits = self._job.edits
        self._rows = [i for i, e in enumerate(edits) if e.text is not None or e.vector is not None]
        # Where nothing is to be computed, the look-up inside the transaction is enough.
        before = self._found(look) if self._rows else []
        self._values = _Values(
            look,
            self._rows,
            [edits[i].text or before[i].content for i in self._rows],
            [before[i].scope for i in self._rows],
            [edits[i].content_hash or before[i].content_hash for i in self._rows],
            [edits[i].vector for i in self._rows],
        )

    @property
    def texts(self) -> list[str]:
        return self._values.texts

    @property
    def reused(self) -> int:
        return self._values.reused

    def prepare(self, vectors: NDArray[np.float32], analyzer: Analyzer) -> None:
        self._values.fill(vectors, analyzer)

    def apply(self, tx: WriteTransaction) -> None:
        job, rows, values = self._job, self._rows, self._values
        before = self._found(tx.view)
        after = [Record(*_fields(record)) for record in before]
        for edit, record in zip(job.edits, after, strict=True):
            edit.apply(record)
        if any(after[i].content != text for i, text in zip(rows, values.all_texts, strict=True)):
            raise Changed  # a vector alone was given, and the text is another one by now
        plain = [after[i] for i in sorted(set(range(len(after))).difference(rows))]
        if plain:
            tx.update(plain, None, None, None, actor_id=job.actor_id)
        if rows:
            new = [after[i] for i in rows]
            tx.update(new, values.vectors, values.sources, values.terms, actor_id=job.actor_id)
        job.before, job.after = before, after
        job.within(tx)

    def split(self) -> list[Part]:
        return [self]

    def _found(self, look: LookUps) -> list[Any]:
        edits = self._job.edits
        stored = look.by_ids([edit.id for edit in edits if edit.id is not None])
        return [one_of(stored, edit.id, edit.public_id) for edit in edits]


class DeletePart:
    """One caller's deletions; nothing to compute."""

    frees: ClassVar[bool] = True

    def __init__(self, job: DeleteJob) -> None:
        self.jobs = [job]
        self._job = job

    def plan(self, look: LookUps) -> None:
        return

    @property
    def texts(self) -> list[str]:
        return []

    @property
    def reused(self) -> int:
        return 0

    def prepare(self, vectors: NDArray[np.float32], analyzer: Analyzer) -> None:
        return

    def apply(self, tx: WriteTransaction) -> None:
        job = self._job
        stored = tx.view.by_ids([one for one in job.ids if one is not None])
        job.records = [
            one_of(stored, one, public) for one, public in zip(job.ids, job.public_ids, strict=True)
        ]
        tx.delete(list(dict.fromkeys(r.key for r in job.records)), actor_id=job.actor_id)
        job.within(tx)

    def split(self) -> list[Part]:
        return [self]


def _followed(settled: Settled) -> Settled:
    """A draft that is the same as an earlier one is whatever that one is."""
    for i, key in enumerate(settled):
        while key is not None and key < 0 and settled[-1 - key] is not None:
            key = settled[i] = settled[-1 - key]
    return settled


def _known_vectors(
    look: LookUps,
    scopes: list[Scope],
    hashes: list[bytes],
    own: list[NDArray[np.float32] | None],
) -> list[bytes | None]:
    """The stored vector of the same scope and text, where the caller gave none."""
    found: list[bytes | None] = [None] * len(own)
    wanted = [row for row, vector in enumerate(own) if vector is None]
    if wanted:
        answer = look.known_vectors([scopes[r] for r in wanted], [hashes[r] for r in wanted])
        for row, vector in zip(wanted, answer, strict=True):
            found[row] = vector
    return found
