"""What an open store does for calls that write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from agentmem.engine.parts import Parts
from agentmem.types import PartitionKey, Scope

if TYPE_CHECKING:
    from agentmem.ports import Progress
    from agentmem.write.drafts import Names
    from agentmem.write.jobs import AddJob, DeleteJob, Job, UpdateJob

__all__ = ["Writing"]


class Writing(Parts):
    """Adding, updating, deleting, erasing."""

    def adding(
        self,
        items: Iterable[object],
        defaults: Mapping[str, Any],
        vectors: object,
        *,
        scope: Scope,
        dedupe: bool = False,
        names: Names | None = None,
    ) -> AddJob:
        """What ``write`` is to do; the arguments are checked here."""
        self.check_usable()
        from agentmem.write.drafts import OF_BATCH, read_items
        from agentmem.write.jobs import AddJob

        drafts = read_items(
            items,
            defaults,
            vectors,
            scope=scope,
            limits=self.config.limits,
            dim=self._model.dim,
            names=names or OF_BATCH,
        )
        return AddJob(drafts, dedupe=dedupe)

    def updating(
        self, items: Iterable[object], *, actor_id: str | None, names: Names | None = None
    ) -> UpdateJob:
        self.check_usable()
        from agentmem.write.changes import read_edits
        from agentmem.write.drafts import OF_BATCH
        from agentmem.write.jobs import UpdateJob

        edits = read_edits(
            items, limits=self.config.limits, dim=self._model.dim, names=names or OF_BATCH
        )
        return UpdateJob(edits, actor_id)

    def deleting(self, ids: Sequence[str], *, actor_id: str | None) -> DeleteJob:
        self.check_usable()
        from agentmem.write.jobs import DeleteJob

        return DeleteJob(ids, actor_id)

    def write(self, job: Job) -> dict[str, list[dict[str, Any]]]:
        """Do a job, with those of other callers; returns its answer."""
        if job.rows:
            self.queue.run(job)
        return job.answer()

    def add_arrow(
        self,
        source: object,
        defaults: Mapping[str, Any],
        *,
        scope: Scope,
        dedupe: bool,
        chunk_rows: int,
        progress: Progress | None,
    ) -> dict[str, int]:
        """Chunk by chunk what ``adding`` and ``write`` do."""
        self.check_usable()
        from agentmem.write.arrow import Source
        from agentmem.write.drafts import Names

        key = defaults.get("idempotency_key")
        shared = {name: value for name, value in defaults.items() if name != "idempotency_key"}
        counts = {"rows": 0, "added": 0}
        with closing(Source(source)) as stream:
            for chunk in stream.chunks(chunk_rows):
                if key is not None:
                    for i, item in enumerate(chunk.items, chunk.first):
                        if item.get("idempotency_key") is None:
                            item["idempotency_key"] = f"{key}#{i}"
                names = Names(
                    "row {:,}", f"the vectors of the rows from {chunk.first:,} on", chunk.first
                )
                job = self.adding(
                    chunk.items, shared, chunk.vectors, scope=scope, dedupe=dedupe, names=names
                )
                answer = self.write(job)["results"]
                counts["rows"] += len(answer)
                counts["added"] += sum(result["event"] == "ADD" for result in answer)
                if progress is not None:
                    progress(counts["rows"], stream.total)
        return counts

    def delete_all(self, scope: Scope, *, actor_id: str | None) -> int:
        where = self.where(scope, None, show_expired=True)
        return self.writer.delete_matching(PartitionKey.of(scope), where, actor_id=actor_id)

    def purge_ids(self, ids: Sequence[str]) -> int:
        return self._erase(lambda: self.writer.purge_ids(ids))

    def purge_scope(self, scope: Scope) -> int:
        return self._erase(lambda: self.writer.purge_scope(scope))

    def _erase(self, erase: Callable[[], int]) -> int:
        count = erase()
        self._finish_erasing()
        return count

    def _finish_erasing(self) -> None:
        """Leave no byte of what was purged in any cache or file."""
        self._forget()
        self._erase_projection(self.store.scrub())

    def _erase_projection(self, covered: int) -> None:
        if self.projection.exists:
            self.projection.purge()
        self.store.finish_erasing(covered)

    def _forget(self) -> None:
        """Empty every cache of this process."""
        self.embedder.clear()
        self.analyzer.clear()
        self.index.clear()
        self.large.clear()

    def reset(self) -> int:
        count = self.reader.count(self.where(Scope(), None, show_expired=True), None)
        if self.projection.exists:  # in the next life nobody would know its tables by name
            self.projection.discard()
        try:
            covered = self.store.reset()
        finally:
            self._forget()
        self._erase_projection(covered)
        return count
