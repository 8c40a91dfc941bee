"""What a fork does to SQLite's locks, and how a child gets a clean start.

On POSIX systems a child inherits no lock of its parent.  But SQLite keeps one account per file of
the locks of all connections of a process, and that the child does inherit.  A connection that it
opens believes the file locked already, and locks nothing; the parent, when it closes, then takes
itself for the last that uses the file and removes the WAL, to which the child still writes.

So whoever forks waits, a moment, until no connection of this process is in a transaction or
inside SQLite; the child closes its copies of all of them, and its account is empty.  Where that
cannot be (because the thread that forks is itself in the middle of a read, say), the child may
not open those files: see ``require_usable``.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from agentmem.errors import ClosedError

__all__ = [
    "CanRest",
    "File",
    "Handle",
    "Owner",
    "add_owner",
    "closing",
    "file_of",
    "opening",
    "remove_owner",
    "require_usable",
    "rest_all",
]

#: Device and inode of a database.
File = tuple[int, int]

_PATIENCE = 2.0  # seconds that a fork waits for reads and writes to end


class Handle(Protocol):
    """A connection."""

    @property
    def file(self) -> File | None: ...

    def close_copy(self) -> None:
        """In a child: give up a copy that was at rest; nothing on the disk changes."""
        ...

    def abandon(self) -> None:
        """In a child: never touch the copy again, not even to free it."""
        ...


class CanRest(Protocol):
    """What uses connections.  ``rest`` and ``wake`` alternate."""

    def rest(self, deadline: float) -> bool:
        """Wait until no connection is in use, and keep it so; False, with nothing kept, if that
        is not so by ``deadline`` (``time.monotonic``)."""
        ...

    def wake(self) -> None: ...


def rest_all(parts: Sequence[CanRest], deadline: float) -> bool:
    """Bring all to rest, in this order, or none."""
    rested: list[CanRest] = []
    for part in parts:
        if not part.rest(deadline):
            for one in reversed(rested):
                one.wake()
            return False
        rested.append(part)
    return True


class Owner(CanRest, Protocol):
    """A store, whose connections can be brought to rest."""

    def handles(self) -> list[Handle]:
        """The connections that ``rest`` is about."""
        ...

    def forked(self) -> None:
        """In a child, after its connections are gone."""
        ...


class _Gate:
    """Any number of threads are inside at the same time, or it is shut."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._shut = False

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._shut)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def shut(self, deadline: float) -> bool:
        with self._changed:
            free = self._changed.wait_for(
                lambda: not self._inside and not self._shut, max(0.0, deadline - time.monotonic())
            )
            self._shut = self._shut or free
            return free

    def open(self) -> None:
        with self._changed:
            self._shut = False
            self._changed.notify_all()


@dataclass(slots=True)
class _Fork:
    """What one thread holds while it forks."""

    resting: list[Owner] = field(default_factory=list)
    shut: bool = False
    unusable: set[File] | None = None  # in the child; None: everything that is open


class _Process:
    """What is known of the connections of this process."""

    def __init__(self) -> None:
        self.gate = _Gate()  # to where connections are opened and closed
        self.handles: weakref.WeakSet[Handle] = weakref.WeakSet()
        self.owners: weakref.WeakSet[Owner] = weakref.WeakSet()
        self.unusable: set[File] = set()
        self.forks: dict[int, _Fork] = {}  # by thread


_process = _Process()


@contextmanager
def opening() -> Iterator[weakref.WeakSet[Handle]]:
    """Around the opening of a connection, which is to be put into the set."""
    with _process.gate.inside():
        yield _process.handles


@contextmanager
def closing(handle: Handle) -> Iterator[None]:
    """Around its closing."""
    with _process.gate.inside():
        try:
            yield
        finally:
            _process.handles.discard(handle)


def add_owner(owner: Owner) -> None:
    _process.owners.add(owner)


def remove_owner(owner: Owner) -> None:
    _process.owners.discard(owner)


def file_of(path: str) -> File | None:
    """None where there is no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def require_usable(path: str) -> None:
    """
    Raises:
        ClosedError: the process that forked this one was in the middle of something with it.
    """
    if _process.unusable and file_of(path) in _process.unusable:
        raise ClosedError(
            f"the database {path!r} was being read or written by the thread that forked this"
            " process, or for long by another one, and SQLite cannot open it here any more: fork"
            " when nothing is under way, or start processes by multiprocessing's 'spawn'"
        )


def _before() -> None:
    process, deadline = _process, time.monotonic() + _PATIENCE
    fork = process.forks[threading.get_ident()] = _Fork()
    for owner in sorted(process.owners.copy(), key=id):  # two that fork must not cross
        if owner.rest(deadline):
            fork.resting.append(owner)
    fork.shut = process.gate.shut(deadline)
    if fork.shut:
        quiet = {id(handle) for owner in fork.resting for handle in owner.handles()}
        fork.unusable = {
            one.file for one in process.handles.copy() if one.file and id(one) not in quiet
        }


def _after_in_parent() -> None:
    process = _process
    fork = process.forks.pop(threading.get_ident(), _Fork())
    if fork.shut:
        process.gate.open()
    for owner in fork.resting:
        owner.wake()


def _after_in_child() -> None:
    global _process
    before, _process = _process, _Process()
    fork = before.forks.get(threading.get_ident(), _Fork())
    handles = before.handles.copy()
    busy = {one.file for one in handles if one.file} if fork.unusable is None else fork.unusable
    _process.unusable = before.unusable | busy
    for handle in handles:
        if handle.file is None or handle.file in busy:
            handle.abandon()
        else:
            handle.close_copy()
    for owner in before.owners.copy():
        owner.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
