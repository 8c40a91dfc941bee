"""Checked input to committed rows: embed outside the lock, then one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agentmem.errors import ConflictError, InvalidInputError, NotFoundError
from agentmem.ids import id_from_str
from agentmem.write.jobs import not_found
from agentmem.write.parts import Changed, Part, gather

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentmem.ports import Analyzer, Embedder, Filter, Store, WriteTransaction
    from agentmem.types import PartitionKey, Scope
    from agentmem.write.jobs import Job

__all__ = ["Writer"]

#: What is wrong with one caller's change, and does not concern the others'.
_OWN_ERRORS = (ConflictError, InvalidInputError, NotFoundError)


class Writer:
    """Every change of the store goes through here.  Any thread may call."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        analyzer: Analyzer,
        committed: Callable[[int], None],
    ) -> None:
        """``committed(seq)`` is called after each commit with its last event, no lock held."""
        self._store = store
        self._embedder = embedder
        self._analyzer = analyzer
        self._committed = committed
        self.reused = 0  # texts that were not embedded: their scope has them, with the vector

    # -- jobs -----------------------------------------------------------------------------

    def work(self, jobs: Sequence[Job]) -> None:
        """Do the jobs in one embedding batch and one transaction; each is finished then.

        A job that cannot be done fails alone.  What goes wrong with the store (a full disk, a
        lock that does not come) fails them all, and none is stored.

        Raises:
            KeyboardInterrupt (and its like): jobs that are not ``finished`` are not stored.
        """
        todo = list(jobs)
        while todo:
            try:
                self._attempt(todo)
            except Changed:
                todo = [job for job in todo if not job.failed]  # what was planned was too old
                continue
            except Exception as error:  # noqa: BLE001 - each caller of the group raises it
                todo = [job for job in todo if not job.finished]
                for job in todo:
                    job.fail(error, shared=len(todo) > 1)
            return

    def _attempt(self, jobs: list[Job]) -> None:
        parts = self._prepared(jobs)
        if not parts:
            return
        with self._store.write(frees=any(part.frees for part in parts)) as tx:
            if len(jobs) == 1:  # the transaction itself is its savepoint
                parts[0].apply(tx)
            else:
                _each(parts, lambda part: _apply(part, tx))
            seq = tx.seq
        self._committed(seq)

    def _prepared(self, jobs: list[Job]) -> list[Part]:
        """Parts with everything that can be computed outside the transaction."""
        parts = gather(jobs)
        with self._store.glance() as look:
            parts = _each(parts, lambda part: part.plan(look))
        try:
            self._compute(parts)
        except Exception:  # whose text it was is not known: each alone, and the culprit raises it
            if len(jobs) == 1:
                raise
            return [part for job in jobs if not job.failed for part in self._prepared_alone(job)]
        return parts

    def _prepared_alone(self, job: Job) -> list[Part]:
        try:
            return self._prepared([job])
        except Exception as error:  # noqa: BLE001 - kept in the job, whose caller raises it
            job.fail(error)
            return []

    def _compute(self, parts: list[Part]) -> None:
        """One embedding batch for all."""
        self.reused += sum(part.reused for part in parts)
        texts = [part.texts for part in parts]
        every = [text for some in texts for text in some]
        if every:
            vectors = self._embedder.embed(every)
        else:
            vectors = np.empty((0, self._embedder.dim), np.float32)
        start = 0
        for part, some in zip(parts, texts, strict=True):
            part.prepare(vectors[start : start + len(some)], self._analyzer)
            start += len(some)

    # -- whole scopes ---------------------------------------------------------------------

    def delete_matching(
        self, partition: PartitionKey, where: Filter, *, actor_id: str | None = None
    ) -> int:
        """Remove every memory of a partition that satisfies ``where``; returns how many."""
        with self._store.write(frees=True) as tx:
            keys = tx.view.matching_keys(partition, where).tolist()
            if keys:
                tx.delete(keys, actor_id=actor_id)
            seq = tx.seq
        self._committed(seq)
        return len(keys)

    # -- purge ----------------------------------------------------------------------------

    def purge_ids(self, ids: Sequence[str]) -> int:
        """Erase these memories and their history; ``Store.scrub`` erases their bytes.

        Raises:
            NotFoundError: an id that was never stored (or was purged before).
        """
        raw = [id_from_str(public) for public in ids]
        with self._store.write(frees=True) as tx:
            for one, public in zip(raw, ids, strict=True):
                if one is None or not tx.purge([one]):
                    raise not_found(public)
            seq = tx.seq
        self._committed(seq)
        return len(raw)

    def purge_scope(self, scope: Scope) -> int:
        """The same for every memory of a scope; returns how many."""
        with self._store.write(frees=True) as tx:
            ids = tx.ids_of(scope)
            if ids:
                tx.purge(ids)
            seq = tx.seq
        self._committed(seq)
        return len(ids)


def _apply(part: Part, tx: WriteTransaction) -> None:
    with tx.savepoint():
        part.apply(tx)


def _each(parts: Sequence[Part], step: Callable[[Part], None]) -> list[Part]:
    """Take a step with every part; a part where it fails takes it job by job, and the job where
    it fails has failed.  Returns the parts that are left."""
    left: list[Part] = []
    for part in parts:
        try:
            step(part)
        except _OWN_ERRORS as error:
            if len(part.jobs) > 1:
                left += _each(part.split(), step)
            else:
                part.jobs[0].fail(error)
        else:
            left.append(part)
    return left
