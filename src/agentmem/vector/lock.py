"""One drainer at a time, across threads and processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import StorePathError, StoreTimeoutError

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["DrainLock"]

_STEP = 0.1  # seconds between two looks at how far the holder is


class DrainLock:
    """A mutex for the threads of this process, then a file lock for the processes.

    ``patience`` is how many seconds a waiter accepts without any progress of the holder: a
    rebuild may take long, a stopped process must not hang the others for ever.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._mutex = threading.Lock()
        self._file: BaseFileLock | None = None

    @contextmanager
    def hold(
        self, progress: Callable[[], Any], done: Callable[[], bool] = lambda: False
    ) -> Iterator[bool]:
        """Wait for the lock; ``progress()`` changes as long as its holder gets on.

        Yields whether there is still something to do: False as soon as ``done()``, which another
        one may have brought about meanwhile; then the lock may not be held.

        Raises:
            StoreTimeoutError: nothing moved for ``patience`` seconds.
            StorePathError: the lock file cannot be made.
        """
        step = min(_STEP, self._patience)
        if not self._wait(lambda: self._mutex.acquire(timeout=step), progress, done):
            yield False
            return
        try:
            if not self._wait(lambda: self._take_file(step), progress, done):
                yield False
                return
            try:
                yield not done()
            finally:
                self._drop_file()
        finally:
            self._mutex.release()

    @contextmanager
    def attempt(self) -> Iterator[bool]:
        """Take the lock if it is free now; yields whether it was.

        Raises:
            StorePathError: the lock file cannot be made.
        """
        if not self._mutex.acquire(blocking=False):
            yield False
            return
        try:
            taken = self._take_file(0)
            try:
                yield taken
            finally:
                if taken:
                    self._drop_file()
        finally:
            self._mutex.release()

    def _wait(
        self, attempt: Callable[[], bool], progress: Callable[[], Any], done: Callable[[], bool]
    ) -> bool:
        """Whether it was taken, rather than ``done()``."""
        seen, since = progress(), time.monotonic()
        while not attempt():
            if done():
                return False
            now, at = progress(), time.monotonic()
            if now != seen:
                seen, since = now, at
            elif at - since >= self._patience:
                raise StoreTimeoutError(
                    f"another drain of the projection holds {self._path} and has not advanced for"
                    f" {self._patience:g} s; end that process if it hangs, then try again"
                )
        return True

    def _take_file(self, timeout: float) -> bool:
        from filelock import FileLock, Timeout

        if self._file is None:
            # The mutex above already keeps threads apart, and whoever takes the lock releases it.
            self._file = FileLock(self._path, thread_local=False, poll_interval=0.02)
        try:
            self._file.acquire(timeout=timeout)
        except Timeout:
            return False
        except OSError as error:
            raise StorePathError(
                f"cannot lock {self._path}: {error.strerror or error}; check that the folder"
                " exists and is writable"
            ) from error
        return True

    def _drop_file(self) -> None:
        if self._file is not None:
            self._file.release()
