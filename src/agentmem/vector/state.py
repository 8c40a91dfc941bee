"""What processes know of one another's building of indexes: a lock, a state, a request to stop."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentmem.errors import StoreTimeoutError
from agentmem.vector.watermark import disk_error

__all__ = ["BuildState"]


class BuildState:
    """The files ``index.lock``, ``index.json`` and ``index.stop`` in the store's folder."""

    def __init__(self, home: Path) -> None:
        self._lock = home / "index.lock"
        self._state = home / "index.json"
        self._stop = home / "index.stop"

    @contextmanager
    def lock(self, patience: float = 0) -> Iterator[bool]:
        """Be the only builder; yields whether that came true within ``patience`` seconds.

        Raises:
            StorePathError: the lock file cannot be made.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self._lock, thread_local=False, poll_interval=0.02)
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise disk_error(error, self._lock) from error
        try:
            yield True
        finally:
            lock.release()

    @contextmanager
    def nobody(self, patience: float) -> Iterator[None]:
        """Have whoever builds stop, and keep others from beginning.

        Raises:
            StoreTimeoutError: a builder has not stopped within ``patience`` seconds.
            StorePathError
        """
        try:
            self._stop.touch()
        except OSError as error:
            raise disk_error(error, self._stop) from error
        with self.lock(patience) as taken:
            if not taken:
                raise StoreTimeoutError(
                    f"a process that builds indexes holds {self._lock} and has not stopped for"
                    f" {patience:g} s; end it if it hangs (its pid is in {self._state}), then try"
                    " again"
                )
            self._stop.unlink(missing_ok=True)
            self._state.unlink(missing_ok=True)  # of a table that is about to change
            yield

    def stop_asked(self) -> bool:
        return self._stop.exists()

    def save(self, state: dict[str, Any]) -> None:
        """Replace what others read; only for the holder of the lock."""
        fresh = self._state.with_name(f"{self._state.name}.new")
        try:
            fresh.write_text(json.dumps(state), encoding="utf-8")
            os.replace(fresh, self._state)
        except OSError as error:
            raise disk_error(error, self._state) from error

    def load(self) -> dict[str, Any]:
        """The state last saved; empty where there is none that can be understood."""
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}
