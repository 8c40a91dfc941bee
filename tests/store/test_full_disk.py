"""A disk that is really full: a small file system of its own, in a name space of its own.

What is stored stays, and the disk can be freed from inside: by deleting, purging, resetting.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILL = """
import os, sys
from pathlib import Path
from agentmem import Memory, StoreFullError
from agentmem.store.checkpoint import Checkpointer

folder = Path(sys.argv[1])
config = {"projection": {"enabled": False}, "store": {"durability": "off"}}

def opened():
    return Memory(folder / "mem", embedder="static", config=config)

def fill(mem):
    stored = []
    try:
        while True:
            texts = [f"note {len(stored)} {n} " + "x" * 4000 for n in range(50)]
            mem.add_batch(texts, user_id=f"u{len(stored) // 50 % 8}")
            stored += texts
    except StoreFullError as error:
        assert "nothing of this call was stored" in str(error)
    return stored

def free():
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize

def size(name):
    return (folder / "mem" / name).stat().st_size

def logged():
    Checkpointer.SOFT = 2_000  # as if somebody kept the log from being copied by reading
    mem = opened()
    for user in range(4):
        texts = [f"note {user} {n} " + "x" * 1500 for n in range(500)]
        mem.add_batch(texts, user_id=f"u{user}")
    assert size("agentmem.db") < 1 << 20 < 4 << 20 < size("agentmem.db-wal") < 16 << 20
    assert size("reserve") >= size("agentmem.db-wal") + (1 << 20)
    return mem

def take_the_rest():
    with open(folder / "somebody's log", "ab") as log:
        try:
            while True:
                os.write(log.fileno(), bytes(1 << 12))
        except OSError:
            pass
    assert free() < 1 << 12

def ids(mem, user):
    return [one["id"] for one in mem.get_all(user_id=user, limit=1000)["results"]]
"""

PURGE = """
mem = opened()
stored = fill(mem)
assert mem.count(unscoped=True) == len(stored) > 1500
assert mem.check()["ok"]
assert mem.search("note 7", user_id="u1")["results"]
assert free() < 2 << 20, free()
ids = [item["id"] for item in mem.get_all(user_id="u0", limit=40)["results"]]
mem.delete_batch(ids)
purged = 0
for user in range(1, 8):  # the first may find no room to write everything anew
    try:
        purged += mem.purge(user_id=f"u{user}")["purged"]
    except StoreFullError as error:
        assert "erased content may still be in its files" in str(error)
        assert not mem.check()["ok"]
    assert mem.count(user_id=f"u{user}") == 0
assert purged
assert mem.check()["ok"]
assert free() > 24 << 20
mem.add("there is room again", user_id="u9")
mem.close()
mem = opened()
batches = len(stored) // 50
assert mem.count(unscoped=True) == (batches + 7) // 8 * 50 - len(ids) + 1
assert mem.check()["ok"]
"""

RESET = """
mem = opened()
stored = fill(mem)
mem.close()  # the WAL cannot be copied, and stays
mem = opened()
assert mem.count(unscoped=True) == len(stored)
try:
    mem.add_batch(["y" * 900_000] * (int(sys.argv[2]) >> 19), user_id="u")
    raise AssertionError("there is no room for this")
except StoreFullError:
    pass
assert mem.count(unscoped=True) == len(stored)
assert mem.reset() == {"deleted": len(stored)}
assert free() > int(sys.argv[2]) - (4 << 20)  # all but a new reserve
mem.add("there is room again", user_id="u")
assert mem.check()["ok"]
"""

OTHERS = """
mem = logged()
take_the_rest()
fill(mem)
mem.delete_batch(ids(mem, "u1")[:40])
assert mem.reset()["deleted"] >= 1960
assert mem.check()["ok"]
"""

# Everything is in the log, which has yet to be copied into the database.
LOGGED = """
import shutil
for purge_first in (True, False):
    mem = logged()
    take_the_rest()
    first, second = ids(mem, "u1")[:2]
    if purge_first:
        assert mem.purge(first) == {"purged": 1}
        assert size("agentmem.db-wal") < 1 << 20 and size("reserve") > 4 << 20
    assert mem.delete_all(user_id="u0") == {"deleted": 500}
    if not purge_first:
        assert mem.purge(first) == {"purged": 1}
    assert mem.purge(second) == {"purged": 1}
    mem.add("there is room again", user_id="u3")
    assert mem.purge(user_id="u0") == {"purged": 500}
    assert mem.count(unscoped=True) == 1499
    assert mem.check()["ok"]
    mem.close()
    shutil.rmtree(folder / "mem")
    os.remove(folder / "somebody's log")
"""

# It cannot be copied while somebody reads: the purge is not finished, and takes nothing for good.
READ = """
config["store"]["lock_timeout"] = 0.2
mem = logged()
with mem._engine.store.read():
    take_the_rest()
    for one in ids(mem, "u0")[:3]:
        try:
            mem.purge(one)
            raise AssertionError("there is no room for this")
        except StoreFullError as error:
            assert "erased content may still be in its files" in str(error)
    mem.delete_batch(ids(mem, "u0")[:9])
mem.close()
mem = opened()
take_the_rest()
mem.delete_batch(ids(mem, "u0")[:90])
assert mem.check(repair=True)["ok"]
assert mem.purge(user_id="u0") == {"purged": 497}
mem.add("there is room again", user_id="u3")
assert mem.check()["ok"]
"""


VOLUMES = """
from agentmem.index.volume_file import Volumes
os.chdir(folder)
volumes = Volumes(Path("volumes"))
Path("volumes").mkdir()
left = Path("volumes", "left.volume")
left.write_bytes(bytes(1 << 16))
before = volumes.erasures()
with open("somebody's log", "wb") as log:
    try:
        while True:
            os.write(log.fileno(), bytes(1 << 12))
    except OSError:
        pass
for _ in range(2):
    volumes.clear()
    assert volumes.erasures() != before
    before = volumes.erasures()
    with open("somebody's log", "ab") as log:  # what was removed
        try:
            while True:
                os.write(log.fileno(), bytes(1 << 12))
        except OSError:
            pass
assert not left.exists() and not Path("volumes.new").exists()
"""


def on_a_small_disk(folder: Path, mebibytes: int, program: str) -> None:
    mount = f'mount -t tmpfs -o size={mebibytes}m tmpfs "$1" && exec "$0" -c "$2" "$1" "$3"'
    inside = ["unshare", "-rm", "sh", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            [*inside, 'mount -t tmpfs tmpfs "$0"', str(folder)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("needs a system that lets this user mount a file system of its own")
    arguments = [sys.executable, str(folder), FILL + program, str(mebibytes << 20)]
    done = subprocess.run(
        [*inside, mount, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_purging_frees_a_disk_that_it_has_filled(tmp_path: Path) -> None:
    on_a_small_disk(tmp_path, 48, PURGE)


def test_a_reset_gives_everything_back(tmp_path: Path) -> None:
    on_a_small_disk(tmp_path, 24, RESET)


def test_a_disk_that_others_have_filled_is_freed_too(tmp_path: Path) -> None:
    on_a_small_disk(tmp_path, 24, OTHERS)


@pytest.mark.parametrize("program", [LOGGED, READ])
def test_a_disk_is_freed_though_all_of_the_store_is_in_its_log(
    tmp_path: Path, program: str
) -> None:
    on_a_small_disk(tmp_path, 40, program)


def test_files_of_the_index_are_forgotten_on_a_disk_without_a_free_byte(tmp_path: Path) -> None:
    on_a_small_disk(tmp_path, 4, VOLUMES)
