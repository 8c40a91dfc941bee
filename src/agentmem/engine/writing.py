"""What an open store does for calls that write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from agentmem.engine.parts import Parts
from agentmem.errors import StoreError
from agentmem.inputs import without_secrets
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
        _require_all_erased(self._finish_erasing())
        return count

    def _finish_erasing(self) -> str:
        """Leave no byte of what was purged in any cache or file; returns what may have some all
        the same, as ``_left_elsewhere`` does."""
        self._forget()
        return self._erase_projection(self.store.scrub())

    def _erase_projection(self, covered: int) -> str:
        if self.projection.exists:
            self.projection.purge()
        self.projection.clear_unused()
        left = self._left_elsewhere(covered)
        if not left:
            self.store.finish_erasing(covered)
        return left

    def _left_elsewhere(self, seq: int) -> str:
        """What to do about tables outside the store that may hold what was erased until ``seq``;
        empty where there are none."""
        places = " and ".join(repr(without_secrets(uri)) for uri in self.projection.elsewhere(seq))
        if not places:
            return ""
        return (
            f"the LanceDB table at {places} may still hold what was purged, and this process does"
            " not have that projection.uri: call check(repair=True) where it is configured, or,"
            f" if the table is gone, remove projection*.json from {str(self.store.path)!r} first"
        )

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
        except BaseException:  # an interrupt, too; raised again, whatever else fails
            with suppress(StoreError):
                self._forget()
            raise
        self._forget()
        _require_all_erased(self._erase_projection(covered))
        return count


def _require_all_erased(left: str) -> None:
    """
    Raises:
        StoreError: a table outside the store, which this process is not configured for, may still
            hold what was erased.
    """
    if left:
        raise StoreError(f"the store has erased it, but {left}")
