"""A volume in a file: written front to back, then mapped, so that opening it reads nothing.

The file begins with a header of fixed size: a magic word, and JSON that says where each array lies.
The vectors come first, as they are read from the store, so that they never are in memory as a
whole; the header is written last.  A file appears under its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import time
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem.errors import StoreFullError, StorePathError
from agentmem.index.clusters import CLUSTERED_FROM, Clusters, cluster, coded
from agentmem.index.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import BinaryIO

    from agentmem.types import IndexRows, PartitionKey

__all__ = ["FORMAT", "Life", "Overtaken", "Volumes"]

FORMAT = 3
_MAGIC = b"AgMmVol1"
_HEADER = 8192  # bytes before the vectors
_ALIGNED = 64
_SMALL = ("window", "seq", "actor_numbers", "actor_names")
_OTHER = ("vectors", "clusters", *_SMALL)  # not written as the other columns are
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_ABANDONED = 3600.0  # seconds without a write
_COPIED = 1 << 22  # numbers widened at a time


class Overtaken(Exception):
    """Something was erased while a file was being made, which may hold it; it is gone again."""


@dataclass(frozen=True, slots=True)
class Life:
    """What a volume must have been made from to be believed."""

    epoch: str
    model_id: str
    recipe: str  # of the keyword terms


class Volumes:
    """The volume files of one store, in a folder of their own.  Any process may write or remove
    one at any time; a mapped one stays readable."""

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()  # a later chdir does not move it
        self._folder = folder
        self._erased = folder.with_name(folder.name + ".erased")

    def erasures(self) -> bytes:
        """Changes whenever something was erased.  To be asked before the snapshot is opened from
        which a file is written."""
        try:
            changed = self._erased.stat().st_mtime_ns
            return self._erased.read_bytes() + changed.to_bytes(16, "little", signed=True)
        except OSError:
            return b""

    def newest(self, partition: PartitionKey) -> Path | None:
        """The file of a partition that was read last from the store."""
        found = self._of(partition)
        return self._folder / found[-1] if found else None

    def open(self, path: Path, life: Life, window: int) -> Volume | None:
        """The volume in a file; None if it is of another life of the store, of another format, or
        damaged."""
        try:
            with open(path, "rb") as file:
                head = _read_header(file, os.fstat(file.fileno()).st_size)
        except OSError:
            return None
        if head is None or head["life"] != [life.epoch, life.model_id, life.recipe, window]:
            return None
        arrays: dict[str, Any] = {
            # As a plain array: slices of a memmap take several times as long.
            name: np.memmap(path, np.dtype(dtype), "r", offset, tuple(shape)).view(np.ndarray)
            if np.prod(shape)
            else np.empty(tuple(shape), np.dtype(dtype))
            for name, (dtype, shape, offset) in head["arrays"].items()
        }
        rest: dict[str, Any] = json.loads(bytes(arrays.pop("extra")))
        if "clusters.codes" in arrays:
            columns = {f.name: arrays.pop(f"clusters.{f.name}") for f in fields(Clusters)}
            rest["clusters"] = Clusters(**columns)
        return Volume(**arrays, **rest)

    def write(
        self,
        partition: PartitionKey,
        life: Life,
        parts: Iterable[IndexRows],
        *,
        dim: int,
        window: int,
        seq: int,
        erasures: bytes,
    ) -> Path:
        """Make a file of rows that come in ascending order of keys; older ones are removed.

        Raises:
            Overtaken: ``erasures`` are no longer the last ones.
            StoreFullError, StorePathError
        """
        name = f"{_name(partition)}-{seq}-{secrets.token_hex(4)}.volume"
        path = self._folder / name
        fresh = path.with_suffix(".new")
        try:
            self._folder.mkdir(exist_ok=True)
            with open(fresh, "w+b") as file:
                _write(file, fresh, life, parts, dim, window, seq)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path)
        except BaseException as error:  # an interrupt, too; raised again
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            if error.errno in _NO_ROOM:
                raise StoreFullError(f"the disk is full: cannot write {path}") from error
            raise StorePathError(f"cannot write {path}: {error.strerror}") from error
        if self.erasures() != erasures:
            self._remove([path.name])
            raise Overtaken
        found = self._of(partition)
        self._remove([*found[: found.index(path.name)], *self._abandoned()])
        return path

    def discard(self, path: Path) -> None:
        """Remove one file."""
        self._remove([path.name])

    def clear(self) -> None:
        """Remove every file, and those that are being written once they are done.  A full disk
        does not hinder it.

        Raises:
            StorePathError
            StoreFullError: there is not even room for an empty file.
        """
        try:
            self._mark_erasure()
        except OSError as error:
            self._remove(self._names())
            if error.errno not in _NO_ROOM:
                raise StorePathError(f"cannot write {self._erased}: {error.strerror}") from error
            raise StoreFullError(
                f"the disk is full: cannot write {self._erased}, so another process may still"
                " make a file of what was erased; free some space and try again"
            ) from error
        self._remove(self._names())
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _mark_erasure(self) -> None:
        """Change what ``erasures`` returns.  Where no byte is left, by the time of the file."""
        fresh = self._erased.with_suffix(".new")
        try:
            fresh.write_bytes(secrets.token_bytes(8))
            os.replace(fresh, self._erased)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            if error.errno not in _NO_ROOM:
                raise
            self._erased.touch()

    def bytes(self) -> int:
        """Size on disk."""
        total = 0
        for name in self._names():
            with contextlib.suppress(OSError):
                total += (self._folder / name).stat().st_size
        return total

    def _of(self, partition: PartitionKey) -> list[str]:
        """The files of a partition, by the event at which they were read."""
        pattern = re.compile(rf"{_name(partition)}-(\d+)-[0-9a-f]+\.volume")
        matches = map(pattern.fullmatch, self._names())
        return [m[0] for m in sorted(filter(None, matches), key=lambda m: (int(m[1]), m[0]))]

    def _abandoned(self) -> list[str]:
        """What a killed process left half-written."""
        found = []
        for name in self._names():
            with contextlib.suppress(OSError):
                age = time.time() - (self._folder / name).stat().st_mtime
                if name.endswith(".new") and age > _ABANDONED:
                    found.append(name)
        return found

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._folder)
        except OSError:
            return []

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            # A file that another process has mapped cannot be removed everywhere; it is not the
            # newest, so nobody will open it again, and the next write tries once more.
            with contextlib.suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)


def _name(partition: PartitionKey) -> str:
    if partition.column is None:
        return "all"
    text = f"{partition.column}={partition.value}"
    return blake2b(text.encode(), digest_size=12).hexdigest()


def _write(
    file: BinaryIO,
    path: Path,
    life: Life,
    parts: Iterable[IndexRows],
    dim: int,
    window: int,
    seq: int,
) -> None:
    from agentmem.index.columns import join_rows

    file.seek(_HEADER)
    dtype: np.dtype[Any] = np.dtype(np.float16)
    held = []
    n = 0
    for part in parts:
        if part.vectors.dtype != dtype and dtype == np.float16:
            dtype = np.dtype(np.float32)
            _widen(file, n, dim)
        file.write(np.ascontiguousarray(part.vectors, dtype).data)
        n += len(part.keys)
        part.vectors = part.vectors[:, :0].copy()
        held.append(part)
    file.flush()
    rows = join_rows(held)
    held.clear()
    volume = Volume.of(rows, window, seq)
    arrays: dict[str, Any] = {"vectors": [dtype.str, [n, dim], _HEADER]}
    for column in fields(Volume):
        value = getattr(volume, column.name)
        if column.name not in _OTHER:
            arrays[column.name] = _append(file, value)
    if n >= CLUSTERED_FROM:
        file.flush()
        matrix = np.memmap(path, dtype, "r", _HEADER, (n, dim))
        arrays.update(_append_clusters(file, matrix))
    extra = json.dumps({name: getattr(volume, name) for name in _SMALL}).encode()
    arrays["extra"] = _append(file, np.frombuffer(extra, np.uint8))
    end = file.tell()
    head = json.dumps(
        {
            "format": FORMAT,
            "life": [life.epoch, life.model_id, life.recipe, window],
            "arrays": arrays,
            "bytes": end,
        }
    ).encode()
    assert len(head) + len(_MAGIC) < _HEADER
    file.seek(0)
    file.write((_MAGIC + head).ljust(_HEADER, b" "))


def _append_clusters(file: BinaryIO, matrix: Any) -> dict[str, Any]:
    centroids, starts, ranks = cluster(matrix)
    arrays = {
        "clusters.centroids": _append(file, centroids),
        "clusters.starts": _append(file, starts),
        "clusters.ranks": _append(file, ranks),
    }
    at = -(-file.tell() // _ALIGNED) * _ALIGNED
    file.seek(at)
    scales = []
    for codes, part in coded(matrix, ranks):
        file.write(codes.data)
        scales.append(part)
    arrays["clusters.codes"] = ["|i1", list(matrix.shape), at]
    arrays["clusters.scales"] = _append(file, np.concatenate(scales))
    return arrays


def _append(file: BinaryIO, array: Any) -> list[Any]:
    at = -(-file.tell() // _ALIGNED) * _ALIGNED
    file.seek(at)
    file.write(np.ascontiguousarray(array).data)
    return [array.dtype.str, list(array.shape), at]


def _widen(file: BinaryIO, n: int, dim: int) -> None:
    """Turn the float16 vectors written so far into float32, from the last to the first."""
    step = max(1, _COPIED // max(1, dim))
    for end in range(n, 0, -step):
        start = max(0, end - step)
        file.seek(_HEADER + 2 * dim * start)
        half = np.frombuffer(file.read(2 * dim * (end - start)), np.float16)
        file.seek(_HEADER + 4 * dim * start)
        file.write(half.astype(np.float32).data)
    file.seek(_HEADER + 4 * dim * n)


def _read_header(file: BinaryIO, size: int) -> dict[str, Any] | None:
    head = file.read(_HEADER)
    if not head.startswith(_MAGIC):
        return None
    try:
        values = json.loads(head[len(_MAGIC) :])
    except ValueError:
        return None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        return None
    return values if values.get("bytes") == size else None
