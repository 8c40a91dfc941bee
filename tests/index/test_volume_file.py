"""Volume files of a store: which one counts, whoever writes them in whatever order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem.index.volume_file import Life, Overtaken, Volumes
from agentmem.types import NEVER, IndexRows, PartitionKey, Scope, TermBatch

ALL = PartitionKey(None, None)
ALICE = PartitionKey("user_id", "alice")
LIFE = Life("epoch", "model", "recipe")


def rows(n: int, dtype: Any = np.float16, first: int = 1) -> IndexRows:
    keys = np.arange(first, first + n)
    return IndexRows(
        keys=keys,
        seqs=keys,
        scopes=keys // 4,
        event_at=keys,
        expires_at=np.full(n, NEVER),
        importance=np.full(n, np.nan, np.float32),
        actors=np.zeros(n, np.int64),
        vectors=(keys[:, None] / np.arange(1, 4)).astype(dtype),
        terms=TermBatch(
            np.arange(n + 1), np.full(n, 7, np.uint64), np.ones(n, np.uint16), np.ones(n, np.uint32)
        ),
        scope_table={int(s): Scope("alice", run_id=str(s)) for s in keys // 4},
    )


def write(volumes: Volumes, seq: int, *parts: IndexRows, partition: PartitionKey = ALL) -> Path:
    return volumes.write(
        partition, LIFE, parts, dim=3, window=2, seq=seq, erasures=volumes.erasures()
    )


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path / "volumes")


def test_what_is_written_is_read(volumes: Volumes) -> None:
    path = write(volumes, 30, rows(10), rows(15, first=11))
    volume = volumes.open(path, LIFE, 2)
    assert volume is not None
    assert volume.n == 25
    assert volume.seq == 30
    assert volume.runs == 7
    np.testing.assert_array_equal(volume.vectors, rows(25).vectors)
    np.testing.assert_array_equal(volume.keys, np.arange(1, 26))
    assert volumes.bytes() == path.stat().st_size


def test_vectors_of_a_caller_widen_those_before_them(volumes: Volumes) -> None:
    wide = rows(5, np.float32, first=11)
    given = wide.vectors
    volume = volumes.open(write(volumes, 1, rows(10), wide, rows(3, first=16)), LIFE, 2)
    assert volume is not None
    assert volume.vectors.dtype == np.float32
    np.testing.assert_array_equal(volume.vectors[:10], rows(10).vectors.astype(np.float32))
    np.testing.assert_array_equal(volume.vectors[10:15], given)


def test_the_newest_counts_even_if_an_older_one_comes_later(volumes: Volumes) -> None:
    old = write(volumes, 9, rows(4))
    new = write(volumes, 100, rows(8))
    assert not old.exists()
    late = write(volumes, 50, rows(6))  # by a process that began before
    assert late.exists()
    assert volumes.newest(ALL) == new
    assert volumes.newest(ALICE) is None
    other = write(volumes, 3, rows(4), partition=ALICE)
    assert volumes.newest(ALICE) == other
    assert volumes.newest(ALL) == new
    write(volumes, 101, rows(8))
    assert not late.exists()
    assert other.exists()


@pytest.mark.parametrize(
    "life",
    [Life("other", "model", "recipe"), Life("epoch", "x", "recipe"), Life("epoch", "model", "x")],
)
def test_another_life_is_not_believed(volumes: Volumes, life: Life) -> None:
    path = write(volumes, 1, rows(4))
    assert volumes.open(path, life, 2) is None
    assert volumes.open(path, LIFE, 3) is None
    assert volumes.open(path.with_name("gone"), LIFE, 2) is None
    assert volumes.open(path, LIFE, 2) is not None


def test_an_erasure_undoes_what_was_begun_before(volumes: Volumes) -> None:
    before = volumes.erasures()
    write(volumes, 1, rows(4))
    volumes.clear()
    assert volumes.newest(ALL) is None
    with pytest.raises(Overtaken):
        volumes.write(ALL, LIFE, [rows(4)], dim=3, window=2, seq=2, erasures=before)
    assert volumes.newest(ALL) is None
    assert volumes.bytes() == 0


def test_a_failure_leaves_nothing(volumes: Volumes, tmp_path: Path) -> None:
    def broken() -> Any:
        yield rows(4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        volumes.write(ALL, LIFE, broken(), dim=3, window=2, seq=2, erasures=volumes.erasures())
    assert list((tmp_path / "volumes").iterdir()) == []
