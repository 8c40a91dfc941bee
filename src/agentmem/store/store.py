"""The store: one folder, one SQLite database, the source of truth."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import apsw

from agentmem.config import StoreConfig
from agentmem.disk import sync_path
from agentmem.errors import ClosedError, StoreError
from agentmem.store import erase, forking, schema
from agentmem.store.access import AccessCounts, write_counts
from agentmem.store.connection import DATABASE_NAME, Connection, Place
from agentmem.store.faults import path_error, translate
from agentmem.store.folder import (
    FileIdentity,
    is_made,
    make_folder,
    require_nothing_lost,
    usable,
)
from agentmem.store.model import Model
from agentmem.store.opened import OpenFolder
from agentmem.store.reading import Glancing, Peeking, Reading
from agentmem.store.snapshot import Snapshot
from agentmem.store.state import ScopeCache, State, read_state
from agentmem.store.transaction import WriteTransaction
from agentmem.store.writing import Writing

if TYPE_CHECKING:
    from agentmem.ports import Progress
    from agentmem.types import Scope

__all__ = ["Store"]

_T = TypeVar("_T")


class Store(OpenFolder):
    """See ``ports.Store``.  Thread-safe; any number of processes may open one folder.

    Opened without a model (``model_id`` None) it reads anything, and writes all but vectors.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: StoreConfig | None = None,
        *,
        model_id: str | None = None,
        dim: int = 0,
        analyzer: str = "",
        model_names: Callable[[str], str | None] | None = None,
        vfs: str | None = None,
        follow: bool = False,
    ) -> None:
        """Open the folder ``path``, made if it is missing; an older schema is migrated.

        ``model_names`` gives what people call the model of an id, for messages.  With ``follow``
        it is only to be read beside those who have made it: then nothing is made or migrated, no
        space is put aside, and closing moves nothing from the WAL into the database.

        Raises:
            StorePathError: not a folder, or not readable and writable.
            SchemaVersionError: made by a newer version, or with keywords of another analyzer.
            ModelMismatchError: it holds vectors of another model than ``model_id``.
            StoreCorruptError, StoreFullError, StoreTimeoutError
        """
        folder = Path(os.path.abspath(path)) if follow else make_folder(path)
        place = Place(folder, config or StoreConfig(), vfs)
        super().__init__(place)
        self._model = None if model_id is None else Model(model_id, dim, analyzer, model_names)
        self._scopes = ScopeCache()
        self._access = AccessCounts()
        self.migrated: list[str] = []  # the migrations that opening applied
        try:
            if not follow:
                self._prepare()
            with usable(folder):
                self._file = FileIdentity(self._database)
        except BaseException:  # an interrupt, too; raised again
            self.close()
            raise
        forking.add_owner(self)

    @staticmethod
    def exists(path: str | os.PathLike[str]) -> bool:
        """Whether the folder ``path`` holds a store.

        Raises:
            StoreCorruptError: it has lost its database.
            StorePathError: no folder can have this name.
        """
        database = Path(path) / DATABASE_NAME
        with usable(database.parent):
            if database.is_file():
                return True
            if database.parent.is_dir():
                require_nothing_lost(database)
        return False

    def _prepare(self) -> None:
        if is_made(self._place.database):
            self._writer = self._open_writer()
        if self._writer is None or not schema.is_current(self._writer):
            self.migrated = self.migrate()
        assert self._writer is not None
        self._check(read_state(self._writer))
        self._reserve.keep()

    def migrate(self) -> list[str]:
        """Apply pending migrations; returns their names.  Opening does this by itself."""
        self._require_open()
        self._lock.acquire(self._timeout)
        try:
            if self._writer is None:  # a new database: two processes may want to make it
                if not is_made(self._place.database):
                    require_nothing_lost(self._place.database)
                self._writer = self._open_writer()
            return schema.create_or_migrate(self._writer)
        finally:
            self._lock.release()

    # -- reading
    def read(self) -> Reading:
        return Reading(self)

    def read_beside(self) -> Reading:
        """As ``read``, by one connection more than there should be if all are lent: for a thread
        that others, who have them, may be waiting for."""
        return Reading(self, beside=True)

    def peek(self) -> Peeking:
        return Peeking(self)

    def glance(self) -> Glancing:
        return Glancing(self)

    def ask(self, question: Callable[[Snapshot], _T]) -> _T:
        self._require_open()
        state = self._watch.state()
        if state is not None:
            shared = self._scopes.of(state.epoch)
            learned: dict[int, Scope] = {}
            connection = self._readers.acquire(self._timeout)
            try:
                answer = question(Snapshot(connection, state, ChainMap(learned, shared)))
            except Exception as error:  # what was seen may be of two states: then it says nothing
                mine = isinstance(error, StoreError | ClosedError)  # of this connection, perhaps
                if not mine and self._watch.state() is state:
                    raise
            else:
                if self._watch.state() is state:
                    shared.update(learned)
                    return answer
            finally:
                if self._pid == os.getpid():
                    connection.rollback()
                    self._readers.release(connection)
        header = self._watch.header()
        with Reading(self) as snapshot:
            self._watch.learn(header, snapshot.state)
            return question(snapshot)

    def await_writes(self, at: int) -> None:
        with Peeking(self) as snapshot:
            last = snapshot.state.at
        if at < last:  # commit times never go back: whatever is under way gets a later one
            return
        self._lock.acquire(self._timeout)
        self._lock.release()

    def last_seq(self) -> int:
        with Peeking(self) as snapshot:
            return snapshot.seq

    def _begin_read(self, *, beside: bool = False) -> tuple[Connection, State]:
        for last_try in (False, True):
            connection = self._readers.acquire(self._timeout, beside=beside)
            try:
                known = self._watch.state()
                connection.raw.execute("BEGIN")
                return connection, self._state_of(connection, known)
            except BaseException as error:  # an interrupt, too
                # Whatever was wrong with it, the next caller gets another one.
                connection.broken = connection.broken or isinstance(error, apsw.Error)
                connection.rollback()
                self._readers.release(connection)
                if not isinstance(error, apsw.Error):
                    raise
                if last_try:
                    raise translate(error, self.path) from error
        raise AssertionError

    def _lacks(self, scope: Scope, content_hash: bytes) -> bool:
        """Whether a scope surely does not have this text, but for what another process has
        committed since this one last wrote."""
        writer = self._writer
        return writer is not None and writer.places.lacks(scope, content_hash)

    def _state_of(self, connection: Connection, known: State | None = None) -> State:
        """The state that the transaction which is open sees; ``known`` is what another one, begun
        just before it, would have seen."""
        # Inside the transaction, so version and state belong together.
        version: int = connection.raw.execute("PRAGMA data_version").get
        if version != connection.version:
            connection.forget()
            if known is None or self._watch.state() is not known:
                known = read_state(connection)
            connection.state = known
            # Another process may have migrated the store, or moved it to another model.
            self._check(connection.state)
            connection.version = version  # last: a refusal is repeated, not forgotten
        state: State = connection.state
        return state

    def _check(self, state: State) -> None:
        schema.require_current(state.schema)
        if self._model is not None:
            self._model.check(state)

    # -- writing
    def write(self, *, timeout: float | None = None, frees: bool = False) -> Writing:
        return Writing(self, self._timeout if timeout is None else timeout, frees=frees)

    def _begin_write(self, *, frees: bool) -> WriteTransaction:
        writer = self._usable_writer()
        self._file.require_same()
        if frees and self._reserve.make_room():
            self._checkpoints.empty(writer)  # what the WAL takes is then there for this, too
        writer.execute("BEGIN IMMEDIATE")
        try:
            state = self._state_of(writer)
            writer.doubt()
            return WriteTransaction(writer, state, self._model)
        except BaseException as error:  # an interrupt, too; raised again
            writer.rollback()
            if isinstance(error, apsw.Error):
                raise writer.translated(error) from error
            raise

    def _commit(self, transaction: WriteTransaction) -> None:
        writer = self._writer
        assert writer is not None
        if transaction.failure is not None:
            raise StoreError(
                f"the transaction cannot commit after a failed change: {transaction.failure}"
            ) from transaction.failure
        enough = self._access.pending >= AccessCounts.BATCH
        counts = self._access.take(AccessCounts.BATCH) if enough else {}
        try:
            if counts:
                write_counts(writer, counts)
            writer.execute("COMMIT")
            transaction.committed = True
        except BaseException as error:  # an interrupt, too
            # An interrupt may arrive when SQLite has committed and Python not yet noticed.
            failed = isinstance(error, Exception) or isinstance(error.__context__, apsw.Error)
            transaction.committed = not failed and not writer.in_transaction
            if not transaction.committed:
                self._access.give_back(counts)
            raise
        before, state = writer.state, transaction.state
        if writer.trust(state) and state.kind == before.kind:  # any other is to be checked first
            self._watch.committed(state)
        self._checkpoints.after_commit(writer)
        self._reserve.after_commit(self._checkpoints.pages)

    # -- the rest of the port
    def stats(self) -> dict[str, Any]:
        """Of this process: its read connections, and what SQLite holds in memory for all stores
        together, which is pages before all; of the folder: the length of the WAL."""
        try:
            wal = os.stat(f"{self._database}-wal").st_size
        except FileNotFoundError:
            wal = 0
        return {
            "wal_bytes": wal,
            "sqlite_bytes": apsw.memory_used(),
            "readers": self._readers.stats(),
        }

    def settle(self) -> None:
        """Put what is committed on the disk, where a commit alone does not (durability
        "normal"), before a projection is said to have it.

        Raises:
            StoreFullError, StorePathError
        """
        if self._place.config.durability != "normal":
            return
        try:
            with suppress(FileNotFoundError):  # all of it is in the database, and synced
                sync_path(f"{self._database}-wal")
            sync_path(self.path)
        except OSError as error:
            raise path_error(error, self.path) from error

    def note_access(self, keys: Sequence[int]) -> None:
        if self._access.note(keys):
            self._access.write_beside(lambda: self.flush_access(most=AccessCounts.PART))

    def flush_access(self, *, timeout: float | None = None, most: int | None = None) -> None:
        """Write the access counts now: all, or ``most`` of them."""
        if self._access.pending:
            with self.write(timeout=timeout):
                counts = self._access.take(most)
                try:
                    assert self._writer is not None
                    write_counts(self._writer, counts)
                except BaseException:  # an interrupt, too; raised again
                    self._access.give_back(counts)
                    raise

    def scrub(self) -> int:
        """Rewrite the database without its free space, empty the WAL, and remove what a restore
        that was killed has left in the folder.

        Returns what ``finish_erasing`` is told when projections have done the same.

        Raises:
            StoreTimeoutError: a reader held the old pages longer than ``lock_timeout``; what was
                purged is in no answer, but may still be in the files: scrub again.
            StoreFullError: there is no room to write the database anew; the same.
        """
        self._require_open()  # nobody lets go of what a forked child would wait for
        with self._checkpoints.paused():
            return self._scrub()

    def _scrub(self) -> int:
        self._require_open()
        self._lock.acquire(self._timeout)
        try:
            writer = self._usable_writer()
            covered = erase.scrub(writer, self.path, self._reserve, self._timeout)
        finally:
            self._lock.release()
            self._reserve.take_back()
        return covered

    def erasing(self) -> int | None:
        """The seq of the last purge, while bytes of what was purged may still be in files."""
        with self.read() as snapshot:
            found: int | None = snapshot.meta(erase.UNFINISHED)
            return found

    def finish_erasing(self, covered: int) -> None:
        """Note that of what was purged until ``covered`` nothing is in any file."""
        with self.write() as transaction:
            if (transaction.view.meta(erase.UNFINISHED) or 0) <= covered:
                transaction.put_meta(erase.UNFINISHED, None)

    def reset(self) -> int:
        """Erase everything, for every process, and renew the epoch.

        Returns and raises as ``scrub``.
        """
        self._require_open()
        with self._checkpoints.paused():
            with self.write() as transaction:
                assert self._writer is not None
                self._reserve.make_room(last=True)
                erase.drop_everything(self._writer, transaction.seq)
            self._access.take()
            return self._scrub()

    def backup(
        self, path: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Copy what is committed now into the folder ``path``, while writers go on.

        Args:
            path: missing or empty; a store of its own when this returns.
            progress: called with (bytes copied, bytes in all).

        Returns:
            ``{"path", "memories", "bytes"}``

        Raises:
            StorePathError: the folder is not empty, or cannot be written.
            StoreFullError
        """
        from agentmem.store import copies

        self._require_open()
        source = self._open_reader()
        try:
            return copies.back_up(source, self._place, Path(os.path.abspath(path)), progress)
        finally:
            source.close()

    def check(self) -> list[str]:
        from agentmem.store import check

        self.require_present()
        with self.read() as snapshot:
            return check.problems(snapshot)

    def close(self) -> None:
        """Write what is counted, empty the WAL if nobody else uses it, let go of the folder.

        Raises:
            StoreTimeoutError: a thread is still writing; nothing was closed.
        """
        if self._closed or self._pid != os.getpid():
            return
        # Counts are statistics: a full or locked disk does not keep a store open.
        with suppress(StoreError):
            if self._writer is not None and not self._writer.broken:
                self.flush_access(timeout=min(1.0, self._timeout))
        super().close()
