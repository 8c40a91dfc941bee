"""The parts of an open store: the only place where the concrete ones meet.

They are built on first use, so that opening a store loads neither NumPy nor a model.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - cannot be loaded once the main thread has ended
import logging
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agentmem.engine.model import Model
from agentmem.errors import ClosedError
from agentmem.index.recipe import RECIPE
from agentmem.inputs import check_path
from agentmem.store import Store, filters
from agentmem.telemetry import Operations
from agentmem.times import now_micros
from agentmem.types import Scope

if TYPE_CHECKING:
    from agentmem.config import Config
    from agentmem.embed.caching import CachingEmbedder
    from agentmem.index.analyzer import EnglishAnalyzer
    from agentmem.index.hot import HotIndex
    from agentmem.index.large import LargeIndex
    from agentmem.ports import Filter
    from agentmem.search.allowed import Allowed
    from agentmem.search.context import CountTokens
    from agentmem.search.items import Items
    from agentmem.search.kept import KeptAnswers
    from agentmem.search.means import Means
    from agentmem.search.plain import PlainSearch
    from agentmem.search.reading import Reader
    from agentmem.search.searcher import Searcher
    from agentmem.vector.projection import LanceProjection
    from agentmem.write.queue import WriteQueue
    from agentmem.write.writer import Writer

__all__ = ["Parts"]

_T = TypeVar("_T")

_log = logging.getLogger("agentmem.store")


class _Part(Generic[_T]):
    """An attribute of the engine that is built once, on first use, by one thread."""

    def __init__(self, build: Callable[[Parts], _T]) -> None:
        self._build = build
        self._name = build.__name__
        self.__doc__ = build.__doc__

    def __get__(self, engine: Parts, owner: type[Parts]) -> _T:
        engine.check_usable()
        parts = engine.parts
        if self._name not in parts:
            with engine.lock:
                engine.check_usable()
                if self._name not in parts:
                    parts[self._name] = self._build(engine)
        made: _T = parts[self._name]
        return made


def _remove(folder: Path, owner: int) -> None:
    """Remove the folder of a temporary store; in a forked child it is another's."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _nothing() -> None:
    return None


class Parts:
    """One open store and what works on it; opened with the object, given back by ``close``."""

    def __init__(self, path: str | os.PathLike[str], embedder: Any, config: Config) -> None:
        """See ``Memory``."""
        self.config = config
        self.lock = threading.RLock()
        self.parts: dict[str, Any] = {}
        self.operations = Operations(config.telemetry)
        self._closed = False
        self._pid = os.getpid()
        self._model = Model(embedder, config)
        temporary = isinstance(path, str | os.PathLike) and str(path) == ":memory:"
        self.path = Path(tempfile.mkdtemp(prefix="agentmem-")) if temporary else check_path(path)
        self._remove_temporary: Callable[[], object] = _nothing
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
            if temporary:
                _remove(self.path, self._pid)
            raise
        if temporary:
            # Left unclosed it goes with the store, which whatever still works on it holds, or else
            # at exit: finalizers run from the last made to the first, so after those of the
            # background threads, which end them.
            self._remove_temporary = weakref.finalize(self.store, _remove, self.path, self._pid)
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

        return PlainSearch(self.means, self.kept)

    @_Part
    def large(self) -> LargeIndex:
        from agentmem.index.large import LargeIndex
        from agentmem.vector.background import Background

        return LargeIndex(
            self.config.ranking,
            self.config.index,
            self.store.path / "volumes",
            self.store.read_beside,
            self.store.settle,
            lambda work: Background("agentmem-volumes", work),
            self._forget_found,
        )

    @_Part
    def projection(self) -> LanceProjection:
        from agentmem.engine.drain import program
        from agentmem.vector.projection import LanceProjection

        path, settings = self.store.path, self.config.projection
        apart = settings.drain_in == "process"
        return LanceProjection(
            path, self.store, settings, program=program(path, self.config) if apart else None
        )

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

        return Searcher(self.means)

    @_Part
    def means(self) -> Means:
        """What both kinds of search share."""
        from agentmem.search.means import Means

        return Means(
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

        return Reader(self.store, self.items)

    @_Part
    def queue(self) -> WriteQueue:
        from agentmem.write.queue import WriteQueue

        settings = self.config.write
        return WriteQueue(
            self.writer.work,
            leaders=settings.leaders or _leaders(self.config.embedding.calls),
            shared_rows=settings.shared_rows,
            alone_rows=settings.alone_rows,
            calls=settings.queue_calls,
            timeout=settings.queue_timeout,
        )

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

    def _forget_found(self, keys: Sequence[int] | None) -> None:
        """Keep nothing of memories that are gone; None: of any."""
        self.items.forget(keys)
        self.kept.forget(keys)

    def _committed(self, seq: int) -> None:
        self.projection.notify(seq)


def _leaders(calls: int) -> int:
    """Groups of writers at a time, for so many model calls at a time: while one commits another
    embeds, on all cores.

    Tried once by hand in the benchmark ``write.AddFromMany`` on two cores: 20 threads came to 0.69
    to 0.72 of the batch rate with two groups, 0.65 to 0.68 with three.
    """
    return max(2, calls // 2 + 1)
