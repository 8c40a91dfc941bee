"""Power cuts: what was not followed by a successful sync may be gone, torn or out of order.

A recording VFS notes every write, truncation, sync, creation and deletion that SQLite asks for,
on the database, its log and its journals.  Then the power is cut after each of them in turn: a
folder is made that a disk may hold at that moment.  What was synced is there; of everything
later, each sector of 512 bytes, each truncation and each directory entry is there or not, by
lot or in the worst ways we know.  Whatever the disk holds, the store opens, is sound, and is the
state after the last change that was acknowledged, or after the one that was under way.

``AGENTMEM_POWER_CUTS`` multiplies how often the power is cut at each point.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from agentmem.config import StoreConfig
from agentmem.errors import AgentMemError
from agentmem.store import Store
from agentmem.types import Scope

SECTOR = 512
#: What becomes of writes since the last sync: all lost, all there, each by lot, only the last,
#: all but the first, all but the last; "garbage" is by lot, with noise where a file has grown.
FATES = ("lost", "there", "lot", "last", "late", "early", "garbage")
CUTS = int(os.environ.get("AGENTMEM_POWER_CUTS", "1"))


class Recorder(apsw.VFS):
    """The real file system, and a tape of what was asked of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self.tape: list[tuple[Any, ...]] = []
        self.lock = threading.Lock()  # tape and file must agree on the order

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        with self.lock:
            if path is not None and not os.path.exists(path):
                self.tape.append(("create", Path(path).name))
            return RecordedFile(self, name, path, flags)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        with self.lock:
            super().xDelete(name, sync)
            self.tape.append(("delete", Path(name).name, sync))


class RecordedFile(apsw.VFSFile):
    def __init__(self, disk: Recorder, name: Any, path: str | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self.disk = disk
        self.file = None if path is None else Path(path).name
        # SQLite's own VFS syncs the folder with the first sync of these, and of no others.
        logs = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
        self.syncs_folder = bool(flags[0] & logs)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        with self.disk.lock:
            super().xWrite(data, offset)
            if self.file is not None:
                self.disk.tape.append(("write", self.file, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        with self.disk.lock:
            super().xTruncate(size)
            if self.file is not None:
                self.disk.tape.append(("truncate", self.file, size))

    def xSync(self, flags: int) -> None:  # noqa: N802 - the tape is what lasts here
        with self.disk.lock:
            if self.file is not None:
                self.disk.tape.append(("sync", self.file, self.syncs_folder))


class Platter:
    """What is certainly on the disk, and what was asked for since."""

    def __init__(self) -> None:
        self.content: dict[str, bytearray] = {}  # as of each file's last sync
        self.pending: dict[str, list[tuple[Any, ...]]] = {}
        self.listed: dict[str, bool] = {}  # whether the entry in the folder is certain
        self.removed: dict[str, tuple[bytearray, list[tuple[Any, ...]]]] = {}  # perhaps not

    def play(self, step: tuple[Any, ...]) -> None:
        kind, name, *rest = step
        if kind == "create":
            self.content[name], self.pending[name], self.listed[name] = bytearray(), [], False
        elif kind == "sync":
            for change in self.pending[name]:
                apply(self.content[name], change)
            self.pending[name] = []
            if rest[0] and not self.listed[name]:
                self._sync_folder()
        elif kind == "delete":
            gone = self.content.pop(name), self.pending.pop(name)
            if self.listed.pop(name):
                self.removed[name] = gone
            if rest[0]:
                self._sync_folder()
        else:
            self.pending[name].append((kind, *rest))

    def _sync_folder(self) -> None:
        self.listed = dict.fromkeys(self.listed, True)
        self.removed = {}

    def cut(self, folder: Path, fate: str, rng: random.Random) -> None:
        """Make ``folder`` what the disk may hold if the power fails now."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        files = {name: (data, self.pending[name]) for name, data in self.content.items()}
        for name, gone in self.removed.items():
            if fate != "there" and (fate == "lost" or rng.random() < 0.5):
                files.setdefault(name, gone)
        for name, (data, pending) in files.items():
            listed = self.listed.get(name, True)
            if listed or fate == "there" or (fate != "lost" and rng.random() < 0.5):
                (folder / name).write_bytes(left_over(data, pending, fate, rng))


def apply(data: bytearray, change: tuple[Any, ...]) -> None:
    kind, at, *rest = change
    if kind == "truncate":
        del data[at:]
        return
    (written,) = rest
    if len(data) < at:
        data.extend(bytes(at - len(data)))
    data[at : at + len(written)] = written


def left_over(
    synced: bytearray, pending: list[tuple[Any, ...]], fate: str, rng: random.Random
) -> bytearray:
    data = bytearray(synced)
    for i, change in enumerate(pending):
        if change[0] == "truncate":
            if kept(fate, i, len(pending), rng):
                apply(data, change)
            continue
        _, at, written = change
        for start in range(0, len(written), SECTOR):
            if kept(fate, i, len(pending), rng):
                before = len(data)
                apply(data, ("write", at + start, written[start : start + SECTOR]))
                if fate == "garbage" and before < at + start:  # never written, and read now
                    data[before : at + start] = rng.randbytes(at + start - before)
    return data


def kept(fate: str, i: int, n: int, rng: random.Random) -> bool:
    if fate == "there":
        return True
    if fate == "last":
        return i == n - 1
    if fate == "late":
        return i > 0
    if fate == "early":
        return i < n - 1
    return fate != "lost" and rng.random() < 0.5


def dump(store: Store) -> list[Any]:
    """Every row of every table, but for the epoch and the date of the migration."""
    with store.read() as snapshot:
        db = snapshot._db
        tables = ("memories", "vectors", "terms", "events", "versions", "past_vectors", "scopes")
        rows = [sorted(db.rows(f"SELECT * FROM {name}"), key=repr) for name in tables]
        rows.append(db.rows("SELECT * FROM meta WHERE name <> 'epoch' ORDER BY name"))
    return rows


def changes(store: Store, fill: Any) -> Iterator[None]:
    """A short life of a store; each ``yield`` acknowledges what was done since the last."""
    first, second, third = fill.add(store, "first", "second", "third", scope=Scope("u"))
    yield
    many = fill.add(store, *(f"{i} " + "x" * 3_000 for i in range(12)))
    yield
    first = fill.change(store, first, "first, changed " + "y" * 9_000)
    yield
    with store.write() as tx:
        fill.insert(tx, [fill.new("a " + "x" * 5_000), fill.new("b")])
        second.role = "user"
        tx.update([second], None, None, None)
        tx.delete([record.key for record in many[:6]])
    yield
    for i in range(4):
        fill.add(store, f"small {i}", scope=Scope("u", run_id=f"r{i}"))
        yield
    with store.write() as tx:
        tx.purge([first.id, many[7].id])
    yield
    store.scrub()
    yield
    fill.add(store, "after the purge")
    yield
    with store.write() as tx:
        tx.delete([third.key])
    yield
    store.reset()
    yield
    fill.add(store, "after the reset")
    yield


Recording = tuple[list[tuple[Any, ...]], list[list[Any]]]


@pytest.fixture
def record(
    store_path: Path, fill: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Recording]]:
    """``record(durability)``: the tape of a life, and its states one after the other."""
    monkeypatch.setattr("agentmem.store.checkpoint.Checkpointer.SOFT", 8)
    monkeypatch.setattr("agentmem.store.checkpoint.Checkpointer.HARD", 24)
    disk = Recorder(f"power-{request.node.name}")

    def opened(durability: Any) -> Store:
        config = StoreConfig(durability=durability, lock_timeout=5.0, readers=1)
        return Store(
            store_path, config, model_id="model-a", dim=4, analyzer="words-1", vfs=disk.name
        )

    def record(durability: str) -> Recording:
        states = []
        store = opened(durability)
        life = changes(store, fill)
        while True:
            states.append(dump(store))
            disk.tape.append(("ack", ""))
            try:
                next(life)
            except StopIteration:
                break
        store.close()
        states.append(states[-1])
        disk.tape.append(("ack", ""))
        store = opened(durability)
        fill.add(store, "after it was closed")
        states.append(dump(store))
        disk.tape.append(("ack", ""))
        store.close()
        return disk.tape, states

    yield record
    disk.unregister()


def cuts(tape: list[tuple[Any, ...]], folder: Path, every: int = 1) -> Iterator[int]:
    """Cut the power after each ``every``-th step; yields how many changes were acknowledged."""
    platter = Platter()
    acknowledged = 0
    for number, step in enumerate(tape):
        if step[0] == "ack":
            acknowledged += 1
        else:
            platter.play(step)
        if number % every:
            continue
        for cut in range(CUTS):
            rng = random.Random(number * 1_000_003 + cut)
            platter.cut(folder, FATES[(number + cut) % len(FATES)], rng)
            yield acknowledged


def survivor(folder: Path, states: list[list[Any]]) -> list[int]:
    """Which of the states the store in ``folder`` is in.

    Raises:
        AgentMemError: it does not open, or cannot be read.
        AssertionError: it is not sound, or in no state that it ever was in.
    """
    config = StoreConfig(durability="off", lock_timeout=5.0)
    with Store(folder, config, model_id="model-a", dim=4, analyzer="words-1") as store:
        assert store.check() == []
        found = dump(store)
    same = [i for i, state in enumerate(states) if state == found]
    assert same, "a state that the store never was in"
    return same


def test_full_durability_survives_a_power_cut_at_any_point(record: Any, tmp_path: Path) -> None:
    tape, states = record("full")
    points = 0
    for acknowledged in cuts(tape, tmp_path / "disk"):
        points += 1
        # Before the store was made, it is made anew.
        allowed = {max(0, acknowledged - 1), min(acknowledged, len(states) - 1)}
        assert allowed & set(survivor(tmp_path / "disk", states)), f"cut {points}, {acknowledged}"
    assert points >= 200


def test_a_backup_is_on_the_disk_before_it_has_its_name(
    record: Any, store_path: Path, tmp_path: Path
) -> None:
    tape, states = record("off")
    del tape[:]
    disk = next(name for name in apsw.vfs_names() if name.startswith("power-"))
    with Store(store_path, StoreConfig(durability="off"), vfs=disk) as store:
        store.backup(tmp_path / "copy")
    platter = Platter()
    parts = [step for step in tape if step[1].startswith("agentmem.db.part")]
    for step in parts:
        platter.play(step)
    assert platter.pending == {"agentmem.db.part": []}
    written = (tmp_path / "copy" / "agentmem.db").read_bytes()
    assert platter.content["agentmem.db.part"] == written
    assert survivor(tmp_path / "copy", states) == [len(states) - 1]


def test_normal_durability_may_lose_the_last_changes_and_nothing_else(
    record: Any, tmp_path: Path
) -> None:
    tape, states = record("normal")
    lost = 0
    for acknowledged in cuts(tape, tmp_path / "disk", every=2):
        same = survivor(tmp_path / "disk", states)
        assert min(same) <= acknowledged
        lost += max(same) < acknowledged - 1
    assert lost  # or nobody would need "full"


def test_what_a_projection_is_told_of_outlives_the_power(
    open_store: Any, fill: Any, store_path: Path, tmp_path: Path
) -> None:
    """With durability "normal", whose commits alone do not."""
    disk = Recorder("power-settle")
    opening: list[bool] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        # ``settle`` syncs past the VFS; a sync of the log is all that it opens the log for.
        if opening and event == "open" and str(arguments[0]).endswith("agentmem.db-wal"):
            disk.tape.append(("sync", "agentmem.db-wal", True))

    sys.addaudithook(watch)
    config = {"durability": "normal"}
    store = open_store(config=config, vfs=disk.name)
    try:
        fill.add(store, "settled")
        opening.append(True)
        store.settle()
        opening.clear()
        settled = len(disk.tape)
        fill.add(store, "not settled")
        platter, found = Platter(), []
        for number, step in enumerate(disk.tape, 1):
            platter.play(step)
            if number in (settled, len(disk.tape)):
                platter.cut(tmp_path / "disk", "lost", random.Random(1))
                with Store(tmp_path / "disk", StoreConfig()) as left, left.read() as snapshot:
                    found.append([text for _, text in snapshot.texts(0, 9)])
    finally:
        store.close()
        disk.unregister()
    assert found == [["settled"], ["settled"]]


def test_the_cuts_are_real(record: Any, tmp_path: Path) -> None:
    """Without any sync they destroy the store: what passes above passes for a reason."""
    tape, states = record("off")
    damaged = lost = 0
    for acknowledged in cuts(tape, tmp_path / "disk", every=5):
        try:
            same = survivor(tmp_path / "disk", states)
        except (AgentMemError, AssertionError):
            damaged += 1
        else:
            lost += max(same) < acknowledged - 1
    assert damaged
    assert lost
