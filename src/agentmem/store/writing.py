"""The write transaction of a store, for the length of a ``with``."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentmem.store.store import Store
    from agentmem.store.transaction import WriteTransaction

__all__ = ["Writing"]


class Writing:
    """``with store.write() as transaction``: leaving commits, an exception rolls back."""

    __slots__ = ("_frees", "_store", "_timeout", "_transaction")

    def __init__(self, store: Store, timeout: float, *, frees: bool) -> None:
        self._store = store
        self._timeout = timeout
        self._frees = frees

    def __enter__(self) -> WriteTransaction:
        store = self._store
        store._require_open()
        store._lock.acquire(self._timeout)
        try:
            store._require_open()  # it may have been closed while we waited
            self._transaction = store._begin_write(frees=self._frees)
        except BaseException:  # an interrupt, too; raised again
            store._lock.release()
            raise
        return self._transaction

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        store = self._store
        self._transaction.end()
        if store._pid != os.getpid():
            return
        try:
            try:
                if kind is None:
                    store._commit(self._transaction)
            finally:
                if store._writer is not None:
                    store._writer.rollback()  # nothing to do after a commit
                store._reserve.take_back()
        finally:
            store._lock.release()
