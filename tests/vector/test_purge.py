"""What is purged is in no file; what is deleted goes when files are merged."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SECRET = "the combination is 38-07-91 hjkqwz"


def files_with(folder: Path, needle: bytes) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file() and needle in p.read_bytes()]


def stored_vector(author: Any, key: int) -> bytes:
    with author.store.read() as snapshot:
        vectors, _ = snapshot.vectors([key])
    return vectors.astype(np.float16).tobytes()


@pytest.mark.parametrize("crowd", [0, 3, 3000])
def test_a_purged_memory_is_in_no_file(author: Any, store_path: Path, crowd: int) -> None:
    lance = author.projection()
    folder = store_path / "vectors.lance"
    others = author.add(crowd)
    (secret,) = author.add([SECRET], metadata='{"note":"zzsecretzz"}')
    others += author.add(crowd)
    author.update([secret], SECRET + " (changed)")
    lance.drain()
    (record,) = author.records([secret])
    vector = stored_vector(author, secret)
    assert files_with(folder, vector)
    assert crowd > 1000 or files_with(folder, SECRET.encode())  # Lance compresses long columns
    author.purge([record.id])
    lance.purge()
    for trace in (SECRET.encode(), b"hjkqwz", b"zzsecretzz", record.id, vector):
        assert files_with(folder, trace) == []
    assert lance.verify() == []
    assert lance.seq == author.store.last_seq()
    if crowd:
        assert files_with(folder, stored_vector(author, others[0]))


@pytest.mark.parametrize("moment", ["table", "seq"])
def test_a_table_that_a_killed_drainer_left_is_purged_too(
    author: Any, store_path: Path, moment: str
) -> None:
    folder = store_path / "vectors.lance"
    (secret,) = author.add([SECRET])
    others = author.add(5)
    program = f"""
import os, sys
from runpy import run_path
author = run_path(sys.argv[1])["Author"](sys.argv[2])
import agentmem.vector.place as place
save = place.save
place.save = lambda path, mark: os._exit(9) if mark.{moment} else save(path, mark)
author.projection().drain()
"""
    # Killed before the watermark could name the table, or vouch for the first commit.
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).with_name("conftest.py")), store_path],
        check=False,
    )
    assert done.returncode == 9
    assert len(list(folder.glob("*.lance"))) == 1
    (record,) = author.records([secret])
    author.purge([record.id])
    lance = author.projection()
    lance.purge()
    assert len(list(folder.glob("*.lance"))) == 1
    assert files_with(folder, SECRET.encode()) == []
    assert files_with(folder, stored_vector(author, others[0]))
    assert lance.verify() == []


def test_files_that_a_killed_drainer_never_committed_are_purged_too(
    author: Any, lance: Any, store_path: Path
) -> None:
    folder = store_path / "vectors.lance"
    author.add([SECRET])
    lance.drain()
    (data,) = folder.glob("*.lance/data/*.lance")
    shutil.copy(data, data.with_name("0101" + data.name[4:]))  # as a killed merge leaves it
    author.purge([record.id for record in author.records([1])])
    lance.purge()
    assert files_with(folder, SECRET.encode()) == []


def test_rolled_back_rows_are_purged_too(author: Any, lance: Any, store_path: Path) -> None:
    folder = store_path / "vectors.lance"
    author.add(5)
    lance.drain()
    mark = (folder / "watermark.json").read_bytes()
    (secret,) = author.add([SECRET])
    lance.drain()
    (folder / "watermark.json").write_bytes(mark)
    (record,) = author.records([secret])
    author.purge([record.id])
    lance.purge()
    assert files_with(folder, SECRET.encode()) == []
    assert lance.verify() == []


def test_a_reset_store_leaves_nothing_behind(author: Any, lance: Any, store_path: Path) -> None:
    author.add([SECRET])
    lance.drain()
    author.store.reset()
    lance.purge()
    assert files_with(store_path, SECRET.encode()) == []
    assert not list((store_path / "vectors.lance").glob("*.lance"))


def test_a_damaged_table_does_not_keep_what_was_purged(
    author: Any, lance: Any, store_path: Path
) -> None:
    folder = store_path / "vectors.lance"
    (secret,) = author.add([SECRET])
    author.add(30)
    lance.drain()
    (record,) = author.records([secret])
    author.purge([record.id])
    lance.drain()
    for path in folder.glob("*.lance/_deletions/*"):
        path.write_bytes(b"damaged")
    lance.purge()
    assert files_with(folder, SECRET.encode()) == []
    assert lance.verify() == []


def test_purging_an_empty_store_is_nothing(author: Any, lance: Any) -> None:
    lance.purge()
    assert lance.verify() == []
