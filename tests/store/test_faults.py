"""A disk that fails: at every write, sync and read in turn, nothing is lost or half-stored."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from agentmem.config import StoreConfig
from agentmem.errors import StoreError, StoreFullError
from agentmem.store import Store, filters
from agentmem.types import PartitionKey, Record, VectorSource

MESSAGE = "the test's disk fails"


class Disk(apsw.VFS):
    """The real disk, except that the nth call of one kind fails, and all after it if told."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self.disarm()

    def arm(self, kind: str, nth: int, error: type[apsw.Error], *, lasting: bool = False) -> None:
        self.kind, self.left, self.error, self.lasting, self.struck = (
            kind, nth, error, lasting, 0,
        )  # fmt: skip

    def disarm(self) -> None:
        self.kind, self.struck = "", 0

    def strikes(self, kind: str) -> bool:
        if kind != self.kind:
            return False
        self.left -= 1
        if self.left == 0 or (self.lasting and self.left < 0):
            self.struck += 1
            return True
        return False

    def fail(self, kind: str) -> None:
        if self.strikes(kind):
            raise self.error(MESSAGE)

    def xOpen(self, name: Any, flags: list[int]) -> DiskFile:  # noqa: N802
        self.fail("open")
        return DiskFile(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        self.fail("delete")
        super().xDelete(name, sync)


class DiskFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self.disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self.disk.strikes("write"):
            super().xWrite(data[: len(data) // 2], offset)  # torn, too
            raise self.disk.error(MESSAGE)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.disk.fail("sync")  # and else there is nothing to do: nobody cuts the power here

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self.disk.fail("truncate")
        super().xTruncate(size)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self.disk.fail("read")
        return super().xRead(amount, offset)


@pytest.fixture
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    tell = sys.unraisablehook

    def tell_others(found: Any) -> None:
        # After faults that harm nothing SQLite goes on; apsw can tell Python of them only here.
        if str(found.exc_value) != MESSAGE:
            tell(found)

    monkeypatch.setattr(sys, "unraisablehook", tell_others)
    made = Disk(f"test-{request.node.name}")
    yield made
    made.unregister()


def opened(path: Path, disk: Disk) -> Store:
    config = StoreConfig(durability="full", lock_timeout=5.0, readers=1)
    return Store(path, config, model_id="model-a", dim=4, analyzer="words-1", vfs=disk.name)


def contents(store: Store) -> list[str]:
    with store.read() as snapshot:
        page = snapshot.page(filters.EVERYTHING, order="created_at", limit=999, after=None)
        return [record.content for record in page]


def change(store: Store, fill: Any) -> None:
    """Some of everything, in one transaction: adds a and b, drops the first memory."""
    with store.write() as tx:
        fill.insert(tx, [fill.new("a " + "x" * 5_000), fill.new("b")])
        (first,) = tx.view.page(filters.EVERYTHING, order="created_at", limit=1, after=None)
        first.role = "user"
        tx.update([first], None, None, None)
        tx.delete([first.key])


@pytest.mark.parametrize("kind", ["write", "sync"])
@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError])
def test_a_write_that_fails_at_any_point_changes_nothing(
    store_path: Path, disk: Disk, fill: Any, kind: str, error: type[apsw.Error]
) -> None:
    store = opened(store_path, disk)
    fill.add(store, *(f"memory {i}" for i in range(40)))
    failed = 0
    for nth in range(1, 200):
        before = contents(store)
        disk.arm(kind, nth, error)
        try:
            change(store, fill)
        except StoreFullError:
            assert error is apsw.FullError
        except StoreError:
            assert error is apsw.IOError
        else:
            break
        failed += 1
        disk.disarm()
        assert contents(store) == before
        assert store.check() == []
    disk.disarm()
    assert failed >= (1 if kind == "sync" else 5)
    assert contents(store) != before
    store.close()
    store = opened(store_path, disk)
    assert contents(store)[-2:] == ["a " + "x" * 5_000, "b"]
    assert store.check() == []
    store.close()


def test_a_full_disk_refuses_writes_and_serves_reads(
    store_path: Path, disk: Disk, fill: Any
) -> None:
    store = opened(store_path, disk)
    fill.add(store, "kept")
    disk.arm("write", 1, apsw.FullError, lasting=True)
    for _ in range(3):
        with pytest.raises(StoreFullError, match="full; nothing of this call was stored"):
            fill.add(store, "lost")
        assert contents(store) == ["kept"]
    disk.disarm()
    fill.add(store, "later")
    assert contents(store) == ["kept", "later"]
    disk.arm("write", 1, apsw.FullError, lasting=True)
    store.close()  # cannot empty the WAL, and need not
    disk.disarm()
    store = opened(store_path, disk)
    assert contents(store) == ["kept", "later"]
    store.close()


def test_a_store_that_could_not_be_made_can_be_made_later(store_path: Path, disk: Disk) -> None:
    made = False
    for nth in range(1, 200):
        disk.arm("write", nth, apsw.FullError, lasting=True)
        try:
            store = opened(store_path, disk)
        except StoreError:
            continue
        made = True
        disk.disarm()
        break
    assert made
    assert nth > 5
    assert store.check() == []
    store.close()


def test_a_reader_that_fails_is_replaced(store_path: Path, disk: Disk, fill: Any) -> None:
    store = opened(store_path, disk)
    for i in range(5):
        fill.add(store, *(f"memory {i} {n} " + "x" * 300 for n in range(200)))
    store.close()
    store = opened(store_path, disk)
    failed = 0
    for nth in range(1, 400):
        disk.arm("read", nth, apsw.IOError)
        with suppress(StoreError), store.read() as snapshot:
            rows = snapshot.load(PartitionKey(None, None))
        if not disk.struck:
            break
        failed += 1
    disk.disarm()
    assert failed > 5
    assert len(rows.keys) == 1_000
    assert store.check() == []
    store.close()


def test_a_failed_checkpoint_loses_nothing(
    store_path: Path, disk: Disk, fill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentmem.store.checkpoint.Checkpointer.SOFT", 1)
    monkeypatch.setattr("agentmem.store.checkpoint.Checkpointer.HARD", 1)  # in the commit itself
    store = opened(store_path, disk)
    fill.add(store, "first")
    stored = ["first"]
    for nth in range(1, 40):
        disk.arm("write", nth, apsw.IOError, lasting=True)
        try:
            fill.add(store, f"number {nth}")
        except StoreError:
            pass
        else:
            stored.append(f"number {nth}")
        disk.disarm()
        assert contents(store) == stored
    assert len(stored) > 5
    store.close()
    store = opened(store_path, disk)
    assert contents(store) == stored
    assert store.check() == []
    store.close()


class Life:
    """A short life of a store and what must be in it: every change that was acknowledged."""

    def __init__(self, path: Path, disk: Disk, fill: Any) -> None:
        self.path, self.disk, self.fill = path, disk, fill
        self.store: Store | None = None
        self.texts: list[str] = []
        self.errors: list[StoreError] = []

    def step(self, change: Callable[[Store], None], texts: list[str]) -> None:
        """Make a change.  If it is refused, everything is as it was."""
        try:
            self.store = self.store or opened(self.path, self.disk)
            change(self.store)
        except StoreError as error:
            self.errors.append(error)
        else:
            self.texts = texts

    def run(self) -> None:
        self.step(lambda store: None, [])
        self.step(lambda store: self._add(store, "a", "b"), ["a", "b"])
        long = "long " + "x" * 20_000
        self.step(lambda store: self._add(store, long), [*self.texts, long])
        self.step(self._update, [f"{text}!" if text == "b" else text for text in self.texts])
        self.step(self._delete, [text for text in self.texts if text != "a"])
        self.step(self._purge, [text for text in self.texts if text != long])
        with suppress(StoreError):  # the purge stands, and its traces may
            if self.store is not None:
                self.store.scrub()
        with suppress(StoreError):
            if self.store is not None:
                self.store.backup(self.path.with_name("copy"))
        if self.store is not None:
            self.store.close()
            self.store = None
        self.step(lambda store: self._add(store, "z"), [*self.texts, "z"])

    def _add(self, store: Store, *texts: str) -> None:
        with store.write() as tx:
            self.fill.insert(tx, [self.fill.new(text) for text in texts])

    def _record(self, store: Store, wanted: str) -> Record | None:
        with store.read() as snapshot:
            page = snapshot.page(filters.EVERYTHING, order="created_at", limit=9, after=None)
        return next((record for record in page if record.content.startswith(wanted)), None)

    def _update(self, store: Store) -> None:
        if (record := self._record(store, "b")) is not None:
            record.content, record.content_hash = "b!", self.fill.hash("b!")
            vectors, terms = self.fill.vectors(["b!"]), self.fill.terms(["b!"])
            with store.write() as tx:
                tx.update([record], vectors, [VectorSource.MODEL], terms)

    def _delete(self, store: Store) -> None:
        if (record := self._record(store, "a")) is not None:
            with store.write() as tx:
                tx.delete([record.key])

    def _purge(self, store: Store) -> None:
        if (record := self._record(store, "long")) is not None:
            with store.write() as tx:
                tx.purge([record.id])


@pytest.mark.parametrize("kind", ["write", "sync", "read", "truncate", "delete", "open"])
def test_one_fault_at_any_point_of_a_life_loses_nothing(
    tmp_path: Path, disk: Disk, fill: Any, kind: str
) -> None:
    """Each operation of one kind fails once, in a life of its own: the first, the second..."""
    refused = 0
    for nth in range(1, 10_000):
        (tmp_path / str(nth)).mkdir()
        life = Life(tmp_path / str(nth) / "store", disk, fill)
        disk.arm(kind, nth, apsw.IOError)
        life.run()
        struck = disk.struck
        disk.disarm()
        refused += bool(life.errors)
        if life.store is not None:
            assert contents(life.store) == life.texts, f"{kind} {nth}: {life.errors}"
            life.store.close()
        store = opened(life.path, disk)
        assert contents(store) == life.texts, f"{kind} {nth}: {life.errors}"
        assert store.check() == [], f"{kind} {nth}"
        store.close()
        copy = life.path.with_name("copy")
        if Store.exists(copy):  # a backup that failed is no store
            with opened(copy, disk) as store:
                assert store.check() == []
        shutil.rmtree(life.path.parent)
        if not struck:
            break
    assert nth > 3
    assert not life.errors
    assert refused or kind == "truncate"  # only checkpoints cut files short
