"""The composition root: the only place where the concrete parts meet.

Parts are built on first use, so that opening a store loads neither NumPy nor a model.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agentmem.engine.figures import figures, metrics
from agentmem.engine.model import Model
from agentmem.errors import ClosedError
from agentmem.index.recipe import RECIPE
from agentmem.inputs import check_path
from agentmem.store import Store, filters
from agentmem.telemetry import Operations
from agentmem.times import now_micros
from agentmem.types import PartitionKey, Scope

if TYPE_CHECKING:
    from agentmem.config import Config
    from agentmem.embed.caching import CachingEmbedder
    from agentmem.index.analyzer import EnglishAnalyzer
    from agentmem.index.hot import HotIndex
    from agentmem.index.large import LargeIndex
    from agentmem.ports import Filter, Progress
    from agentmem.search.allowed import Allowed
    from agentmem.search.context import CountTokens, Order
    from agentmem.search.items import Items
    from agentmem.search.kept import KeptAnswers
    from agentmem.search.plain import PlainSearch
    from agentmem.search.reading import Reader
    from agentmem.search.searcher import Searcher
    from agentmem.vector.projection import LanceProjection
    from agentmem.write.drafts import Names
    from agentmem.write.jobs import AddJob, DeleteJob, Job, UpdateJob
    from agentmem.write.queue import WriteQueue
    from agentmem.write.writer import Writer

__all__ = ["Engine"]

_T = TypeVar("_T")

_UNREACHED = 1e9  # scores are 1 at most
_log = logging.getLogger("agentmem.store")


class _Part(Generic[_T]):
    """An attribute of the engine that is built once, on first use, by one thread."""

    def __init__(self, build: Callable[[Engine], _T]) -> None:
        self._build = build
        self._name = build.__name__
        self.__doc__ = build.__doc__

    def __get__(self, engine: Engine, owner: type[Engine]) -> _T:
        engine.check_usable()
        parts = engine.parts
        if self._name not in parts:
            with engine.lock:
                engine.check_usable()
                if self._name not in parts:
                    parts[self._name] = self._build(engine)
        made: _T = parts[self._name]
        return made


class Engine:
    """One open store and everything that works on it.  Any thread may call."""

    def __init__(self, path: str | os.PathLike[str], embedder: Any, config: Config) -> None:
        """See ``Memory``."""
        self.config = config
        self.lock = threading.RLock()
        self.parts: dict[str, Any] = {}
        self.operations = Operations(config.telemetry)
        self._closed = False
        self._pid = os.getpid()
        self._model = Model(embedder, config)
        self._temporary = str(path) == ":memory:"  # of a Path, too
        self.path = (
            Path(tempfile.mkdtemp(prefix="agentmem-")) if self._temporary else check_path(path)
        )
        try:
            self.store = Store(
                self.path,
                config.store,
                model_id=self._model.model_id,
                dim=self._model.dim,
                analyzer=RECIPE,
                model_names=self._model.name_of,
            )
        except BaseException:  # nobody will close what was never made; it is raised again
            self._remove_temporary()
            raise
        _log.info("opened", extra={"agentmem": {"path": str(self.path), **self.model_facts()}})

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def embedder_name(self) -> str:
        return self._model.name

    def model_facts(self) -> dict[str, Any]:
        return {"name": self._model.name, "model_id": self._model.model_id, "dim": self._model.dim}

    # -- parts ----------------------------------------------------------------------------

    @_Part
    def embedder(self) -> CachingEmbedder:
        from agentmem.embed import remember

        return remember(self._model.load(), self.config.embedding)

    @_Part
    def analyzer(self) -> EnglishAnalyzer:
        from agentmem.index.analyzer import EnglishAnalyzer

        return EnglishAnalyzer()

    @_Part
    def index(self) -> HotIndex:
        from agentmem.index.hot import HotIndex

        return HotIndex(self.config.ranking, self.config.index, self._forget_found)

    @_Part
    def items(self) -> Items:
        from agentmem.search.items import Items

        return Items(self.config.search.items_bytes)

    @_Part
    def kept(self) -> KeptAnswers:
        from agentmem.search.kept import KeptAnswers

        return KeptAnswers(self.config.search)

    @_Part
    def plain(self) -> PlainSearch:
        from agentmem.search.plain import PlainSearch

        return PlainSearch(
            self.store,
            self.embedder,
            self.analyzer,
            self.index,
            self.large,
            self.items,
            self.kept,
            self.allowed,
            self.config,
        )

    @_Part
    def large(self) -> LargeIndex:
        from agentmem.index.large import LargeIndex
        from agentmem.vector.background import Background

        return LargeIndex(
            self.config.ranking,
            self.config.index,
            self.path / "volumes",
            self.store.read,
            lambda work: Background("agentmem-volumes", work),
            self._forget_found,
        )

    @_Part
    def projection(self) -> LanceProjection:
        from agentmem.vector.projection import LanceProjection

        return LanceProjection(self.path, self.store, self.config.projection)

    @_Part
    def writer(self) -> Writer:
        from agentmem.write.writer import Writer

        return Writer(self.store, self.embedder, self.analyzer, self._committed)

    @_Part
    def allowed(self) -> Allowed:
        from agentmem.search.allowed import Allowed

        return Allowed()

    @_Part
    def searcher(self) -> Searcher:
        from agentmem.search.searcher import Searcher

        return Searcher(
            self.store,
            self.embedder,
            self.analyzer,
            self.index,
            self.large,
            self.items,
            self.allowed,
            self.config,
        )

    @_Part
    def count_tokens(self) -> CountTokens:
        """Exact tokens of the embedder's tokenizer."""
        return self._model.token_counter()

    @_Part
    def reader(self) -> Reader:
        from agentmem.search.reading import Reader

        return Reader(self.store)

    @_Part
    def queue(self) -> WriteQueue:
        from agentmem.write.queue import WriteQueue

        settings = self.config.write
        return WriteQueue(
            self.writer.work,
            leaders=settings.leaders or self.config.embedding.calls,
            shared_rows=settings.shared_rows,
            alone_rows=settings.alone_rows,
            calls=settings.queue_calls,
            timeout=settings.queue_timeout,
        )

    # -- writing --------------------------------------------------------------------------

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

    def _forget_found(self, keys: Sequence[int] | None) -> None:
        """Keep nothing of memories that are gone; None: of any."""
        self.items.forget(keys)
        self.kept.forget(keys)

    def _forget(self) -> None:
        """Empty every cache of this process."""
        self.embedder.clear()
        self.analyzer.clear()
        self.index.clear()
        self.large.clear()

    def reset(self) -> int:
        count = self.count(Scope(), None, show_expired=True)
        if self.projection.exists:  # in the next life nobody would know its tables by name
            self.projection.discard()
        try:
            covered = self.store.reset()
        finally:
            self._forget()
        self._erase_projection(covered)
        return count

    def _committed(self, seq: int) -> None:
        self.projection.notify(seq)

    # -- reading --------------------------------------------------------------------------

    def where(
        self,
        scope: Scope,
        given: Mapping[str, Any] | None,
        *,
        show_expired: bool,
        as_of: int | None = None,
    ) -> Filter:
        """The filter of a scope, the caller's filters and, unless shown, of what has expired."""
        parts = [filters.in_scope(scope)]
        if not show_expired:
            parts.append(filters.not_expired(now_micros() if as_of is None else as_of))
        if given is not None:
            parts.append(filters.parse(given, self.config.limits))
        return filters.all_of(*parts)

    def search(
        self,
        queries: Sequence[str | None],
        *,
        given: Mapping[str, Any] | None,
        vectors: Any,
        cursors: Sequence[str | None] | None,
        **asked: Any,
    ) -> list[dict[str, Any]]:
        """``asked`` are the other fields of ``search.answers.Request``."""
        searcher = self.searcher
        from agentmem.search.answers import Request, answer

        where = None if given is None else filters.parse(given, self.config.limits)
        request = Request(where=where, **asked)
        return answer(searcher, queries, request, vectors=vectors, cursors=cursors)

    def search_plainly(
        self,
        query: str | None,
        vector: Any,
        scope: Scope,
        given: Mapping[str, Any] | None,
        *options: Any,
    ) -> list[dict[str, Any]] | None:
        """See ``search.plain``; ``options`` are the others of its arguments."""
        where = None if given is None else filters.parse(given, self.config.limits)
        return self.plain.search(query, vector, scope, where, *options)

    def context(
        self,
        query: str,
        *,
        given: Mapping[str, Any] | None,
        max_tokens: int,
        order: Order,
        template: Mapping[str, str] | None,
        tokenizer: CountTokens | None,
        vector: Any,
        **asked: Any,
    ) -> dict[str, Any]:
        """``asked`` are the other fields of ``search.answers.Request``."""
        searcher = self.searcher
        from agentmem.search.answers import Request, context
        from agentmem.search.context import read_template

        limits = self.config.limits
        request = Request(
            where=None if given is None else filters.parse(given, limits),
            # A memory has eight tokens or more, mostly; what is short comes in great numbers.
            top_k=min(limits.max_top_k, max(60, max_tokens // 8)),
            **asked,
        )
        return context(
            searcher,
            query,
            request,
            vector=vector,
            count=self.count_tokens if tokenizer is None else tokenizer,
            max_tokens=max_tokens,
            order=order,
            template=read_template(template),
        )

    def get(
        self, ids: Sequence[object], *, show_expired: bool, as_of: int | None
    ) -> list[dict[str, Any] | None]:
        at = now_micros() if as_of is None else as_of
        return self.reader.get(ids, None if show_expired else at, as_of)

    def page(
        self,
        scope: Scope,
        given: Mapping[str, Any] | None,
        *,
        order: str,
        limit: int,
        cursor: str | None,
        show_expired: bool,
        as_of: int | None,
    ) -> tuple[list[dict[str, Any]], str | None]:
        where = self.where(scope, given, show_expired=show_expired, as_of=as_of)
        return self.reader.page(where, order=order, limit=limit, cursor=cursor, as_of=as_of)

    def count(
        self,
        scope: Scope,
        given: Mapping[str, Any] | None,
        *,
        show_expired: bool,
        as_of: int | None = None,
    ) -> int:
        where = self.where(scope, given, show_expired=show_expired, as_of=as_of)
        return self.reader.count(where, as_of)

    def history(self, memory_id: object) -> list[dict[str, Any]]:
        return self.reader.history(memory_id)

    # -- upkeep ---------------------------------------------------------------------------

    def flush(self, *, indexes: bool) -> None:
        """Bring every projection to where the log is now."""
        self.check_usable()
        self.store.require_present()
        if self.config.projection.enabled:
            if indexes:
                self.projection.index()
            else:
                self.projection.drain()

    def warm_up(self, scope: Scope) -> None:
        self.embedder.warm_up()
        if scope:
            # Loads whatever a search needs; no score is that high, so nothing counts as read.
            self.searcher.search_batch(["warm up"], scope=scope, threshold=_UNREACHED)

    def check(self, *, repair: bool, progress: Progress | None) -> dict[str, Any]:
        """Problems of the store, which only a backup mends, and of the projection, which can be
        rebuilt."""
        self.check_usable()
        problems = self.store.check()
        repaired: list[str] = []
        if self.store.is_erasing() and not problems:
            found = ["what was purged may still be in files: the purge was broken off"]
            if repair:
                self._finish_erasing()
                repaired = found
            else:
                problems = found
        # A damaged truth is nothing to compare with, and must not be copied over a good table.
        if self.projection.exists and not problems:
            damage = self.projection.verify()
            if damage and repair:
                self.projection.rebuild(progress=progress)
                repaired, damage = repaired + damage, self.projection.verify()
            problems = damage
        return {"ok": not problems, "problems": problems, "repaired": repaired}

    def stats(self) -> dict[str, Any]:
        return figures(self)

    def metrics(self, version: str) -> str:
        return metrics(self, version)

    def check_usable(self) -> None:
        """
        Raises:
            ClosedError: after ``close``, or in a forked child.
        """
        if self._closed:
            raise ClosedError("this Memory is closed; open the folder again with Memory(path)")
        if self._pid != os.getpid():
            raise ClosedError(
                "this Memory was opened before a fork and belongs to the parent process; open the"
                " folder again with Memory(path) in the child"
            )

    def close(self) -> None:
        if self._closed or self._pid != os.getpid():
            return
        if "queue" in self.parts:
            self.parts["queue"].close()  # waits for the writes that are under way
        with self.lock:
            self._closed = True
        for name in ("projection", "large", "embedder"):
            if name in self.parts:
                self.parts[name].close()
        self.store.close()
        self._remove_temporary()
        _log.info("closed", extra={"agentmem": {"path": str(self.path)}})

    def _remove_temporary(self) -> None:
        if self._temporary:
            shutil.rmtree(self.path, ignore_errors=True)
