"""The write lock: one writer at a time among threads and among processes, in turn.

SQLite's own busy loop lets a waiting process starve, because it sleeps while others barge
in.  Here writers queue: threads in arrival order, processes behind a blocking ``flock``.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from agentmem.errors import ClosedError, StoreError, StoreTimeoutError

__all__ = ["LOCK_NAME", "QUEUE_NAME", "PortableFileLock", "WriteLock", "make_file_lock"]

LOCK_NAME = "write.lock"
QUEUE_NAME = "write.queue"


class FileLock(Protocol):
    """Exclusion among processes; its caller already excludes the other threads."""

    def acquire(self, timeout: float) -> bool: ...
    def release(self) -> None: ...
    def close(self) -> None: ...
    def forget(self) -> None:
        """In a forked child: drop the descriptors, which share the parent's lock."""
        ...


class WriteLock:
    """Threads of this process in arrival order, then the file lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turns = _Turns()
        self._files = make_file_lock(folder)
        self._closed = False
        self._owner: int | None = None

    def acquire(self, timeout: float) -> None:
        """Wait for the lock.

        Raises:
            StoreError: this thread has it already, and would wait for itself.
            StoreTimeoutError: not granted within ``timeout`` seconds.
            ClosedError: closed meanwhile.
        """
        deadline = time.monotonic() + timeout
        if self._owner == threading.get_ident():
            raise StoreError("a write inside a write: use the transaction that is open")
        if not self._turns.acquire(timeout):
            raise self._timeout(timeout, "another thread of this process is")
        try:
            if self._closed:
                raise ClosedError(f"the store {str(self._folder)!r} is closed; open it again")
            granted = self._files.acquire(max(0.0, deadline - time.monotonic()))
        except BaseException:  # an interrupt, too; raised again
            self._turns.release()
            raise
        if not granted:
            self._turns.release()
            raise self._timeout(timeout, "another process is")
        self._owner = threading.get_ident()

    def release(self) -> None:
        self._owner = None
        try:
            self._files.release()
        finally:
            self._turns.release()

    def rest(self, deadline: float) -> bool:
        """Wait until no thread of this process writes, and let none before ``wake``; False if
        that is not so by ``deadline`` (``time.monotonic``), or this thread itself writes."""
        if self._owner == threading.get_ident():
            return False
        return self._turns.acquire(max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        self._turns.release()

    @contextmanager
    def closing(self, timeout: float) -> Iterator[None]:
        """Wait until no thread of this process writes; after the block none can again.

        Raises:
            StoreTimeoutError: one was still writing after ``timeout`` seconds.
        """
        if not self._turns.acquire(timeout):
            raise self._timeout(timeout, "another thread of this process is")
        try:
            yield
        finally:
            self._closed = True
            self._files.close()
            self._turns.release()

    def close(self) -> None:
        with self.closing(0.0):
            pass

    def forget(self) -> None:
        self._files.forget()

    def _timeout(self, timeout: float, who: str) -> StoreTimeoutError:
        return StoreTimeoutError(
            f"waited {timeout:g} s to write to {str(self._folder)!r} and {who} still writing; "
            "try again, or raise config.store.lock_timeout"
        )


class _Turns:
    """A lock that is handed over in arrival order; ``threading.Lock`` promises no order."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._held = False

    def acquire(self, timeout: float) -> bool:
        with self._mutex:
            if not self._held:
                self._held = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            granted = turn.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))
        except BaseException:  # KeyboardInterrupt: hand over what may already be ours
            if not self._withdraw(turn):
                self.release()
            raise
        return granted or not self._withdraw(turn)

    def release(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False

    def _withdraw(self, turn: threading.Lock) -> bool:
        """Leave the queue; False if the lock was handed to us meanwhile."""
        with self._mutex:
            try:
                self._waiting.remove(turn)
            except ValueError:
                return False
            return True


class PortableFileLock:
    """For systems without ``flock`` (Windows): the filelock package, which polls."""

    def __init__(self, folder: Path) -> None:
        import filelock

        self._timeout_error = filelock.Timeout
        self._lock = filelock.FileLock(folder / LOCK_NAME, thread_local=False)

    def acquire(self, timeout: float) -> bool:
        try:
            self._lock.acquire(timeout=timeout, poll_interval=0.005)
        except self._timeout_error:
            return False
        return True

    def release(self) -> None:
        self._lock.release()

    def close(self) -> None:
        self._lock.release(force=True)

    def forget(self) -> None:
        return  # there is no fork where this class is used


if sys.platform != "win32":
    import fcntl

    class PosixFileLock:
        """Two ``flock`` files, so that a process cannot barge in again on the one it let wait.

        Whoever wants ``write.lock`` first takes ``write.queue`` and keeps it until it has
        ``write.lock``: a process that has just released finds the queue taken by the waiter.
        A thread does the blocking waits, so that the caller can give up in time; a lock that
        arrives after its caller gave up serves the next one or is let go.
        """

        def __init__(self, folder: Path) -> None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._queue = os.open(folder / QUEUE_NAME, flags, 0o644)
            try:
                self._lock = os.open(folder / LOCK_NAME, flags, 0o644)
            except BaseException:  # an interrupt, too; raised again
                os.close(self._queue)
                raise
            self._state = threading.Condition()
            self._wanted = False  # a caller waits for the thread's grant
            self._granted = False
            self._waiting = False  # the thread is inside flock
            self._closed = False
            self._thread: threading.Thread | None = None

        def acquire(self, timeout: float) -> bool:
            with self._state:
                if not self._waiting and self._try_now():
                    return True
                self._wanted = True
                self._granted = False
                if not self._waiting:
                    self._waiting = True
                    self._ensure_thread()
                    self._state.notify_all()
                try:
                    self._state.wait_for(lambda: self._granted, timeout)
                except BaseException:  # an interrupt, too; raised again
                    self._wanted = False
                    if self._granted:
                        self.release()
                    raise
                self._wanted = False
                return self._granted

        def release(self) -> None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

        def close(self) -> None:
            with self._state:
                if self._closed:
                    return
                self._closed = True
                self._state.notify_all()
                if not self._waiting:  # else the thread closes them when flock lets it go
                    self._close_files()

        def forget(self) -> None:
            self._closed = True
            self._close_files()

        def _try_now(self) -> bool:
            try:
                fcntl.flock(self._queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            finally:
                fcntl.flock(self._queue, fcntl.LOCK_UN)
            return True

        def _ensure_thread(self) -> None:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._wait_for_others, name="agentmem-write-lock", daemon=True
                )
                self._thread.start()

        def _wait_for_others(self) -> None:
            while True:
                with self._state:
                    self._state.wait_for(lambda: self._waiting or self._closed)
                    if not self._waiting:
                        return
                fcntl.flock(self._queue, fcntl.LOCK_EX)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                fcntl.flock(self._queue, fcntl.LOCK_UN)
                with self._state:
                    self._waiting = False
                    if self._wanted and not self._closed:
                        self._granted = True
                        self._state.notify_all()
                    else:
                        fcntl.flock(self._lock, fcntl.LOCK_UN)
                    if self._closed:
                        self._close_files()
                        return

        def _close_files(self) -> None:
            os.close(self._lock)
            os.close(self._queue)


def make_file_lock(folder: Path) -> FileLock:
    """The lock among processes for this system.

    Raises:
        OSError: the lock files cannot be made in ``folder``.
    """
    if sys.platform == "win32":
        return PortableFileLock(folder)
    return PosixFileLock(folder)
