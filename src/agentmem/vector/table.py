"""One LanceDB table: the few operations a projection needs, with our errors.

This module imports lancedb (a second), so import it where it is used.
"""

from __future__ import annotations

import atexit
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import lancedb

from agentmem.errors import AgentMemError, StoreError, StoreFullError
from agentmem.inputs import without_secrets
from agentmem.vector.background import end_all
from agentmem.vector.faults import Overtaken, TableLost
from agentmem.vector.files import local_folder

if TYPE_CHECKING:
    import pyarrow as pa

    from agentmem.vector.indexes import Coverage

__all__ = ["Table", "drop_tables", "tables"]

# LanceDB ends its own threads by ``atexit``; a call that is then under way never returns.
atexit.register(end_all)

_IN_LIST = 10_000  # keys named in one delete
_KEYS = 65_536  # read at once


class Table:
    """An open table.  Only the holder of the drain lock may change its rows.

    ``version`` is the one after the last commit that went through this object, ``rows`` how many
    it then had.  Others may commit in between what leaves the rows as they are: indexes, and small
    files merged.  A commit of rows by someone else shows in their number.
    """

    def __init__(self, uri: str, name: str, inner: Any) -> None:
        self._uri = uri
        self._name = name
        self._inner = inner
        self.version: int = inner.version
        self.rows: int = inner.count_rows()  # a sum over the manifest; reads no data

    @classmethod
    def create(cls, uri: str, name: str, schema: pa.Schema) -> Table:
        """Make a new, empty table.

        Raises:
            StoreError: it cannot be made.
        """
        with _translated(uri, name):
            return cls(uri, name, lancedb.connect(uri).create_table(name, schema=schema))

    @classmethod
    def open(cls, uri: str, name: str) -> Table:
        """Open a table at its newest version.

        Raises:
            TableLost: there is none, or its manifest is damaged.
        """
        with _translated(uri, name):
            return cls(uri, name, lancedb.connect(uri).open_table(name))

    @property
    def schema(self) -> pa.Schema:
        with _translated(self._uri, self._name):
            return self._inner.schema

    def append(self, batches: Sequence[pa.RecordBatch]) -> None:
        """Add rows whose keys are not in the table: a seventh of what ``upsert`` costs."""
        import pyarrow as pa

        added = pa.Table.from_batches(batches)
        with _translated(self._uri, self._name):
            result = self._inner.add(added)
        self._advance(result.version, self.rows + added.num_rows)

    def upsert(self, batches: Sequence[pa.RecordBatch]) -> None:
        """Insert rows, or replace rows of the same key that carry a smaller ``seq``."""
        import pyarrow as pa

        with _translated(self._uri, self._name):
            result = (
                self._inner.merge_insert("key")
                .when_matched_update_all(where="target.seq < source.seq")
                .when_not_matched_insert_all()
                .execute(pa.Table.from_batches(batches))
            )
        self._advance(result.version, self.rows + result.num_inserted_rows)

    def delete(self, keys: Sequence[int], seq: int) -> None:
        """Remove the rows of ``keys`` that are not newer than ``seq``."""
        for start in range(0, len(keys), _IN_LIST):
            named = ",".join(map(str, keys[start : start + _IN_LIST]))
            with _translated(self._uri, self._name):
                result = self._inner.delete(f"key IN ({named}) AND seq <= {seq}")
                left = self._inner.count_rows()
            # Not all of them need have been there.
            at_least = self.rows - len(keys[start : start + _IN_LIST])
            self._advance(result.version, min(max(left, at_least), self.rows))

    def roll_back(self, version: int) -> None:
        """Make ``version`` the newest state again: what was committed after it is undone.

        Raises:
            TableLost: that version is no longer there.
        """
        with _translated(self._uri, self._name):
            self._inner.checkout(version)
            self._inner.restore()
            self.version = self._inner.version
            self.rows = self._inner.count_rows()

    def coverage(self) -> Coverage:
        """How much of the table its indexes cover."""
        from agentmem.vector.indexes import coverage

        with _translated(self._uri, self._name):
            return coverage(self._inner)

    def drop_indexes(self) -> None:
        """Indexes keep what was deleted since they were built; nobody may be building one."""
        with _translated(self._uri, self._name):
            for index in self._inner.list_indices():
                self._inner.drop_index(index.name)
            self._inner.checkout_latest()
            self.version = self._inner.version

    def rewrite(self) -> None:
        """Copy every live row into new files, so that no file of the newest version still holds
        a deleted one (compaction alone leaves files with few deletions as they are)."""
        with _translated(self._uri, self._name):
            result = self._inner.update(where="true", values_sql={"seq": "seq"})
        self._advance(result.version, self.rows)

    def compact(self, keep: timedelta, *, abandoned: bool = False) -> None:
        """Merge small files and delete the files of versions older than ``keep`` (more than
        zero); with ``abandoned`` also files that a killed process left behind."""
        with _translated(self._uri, self._name):
            self._inner.optimize(cleanup_older_than=keep, delete_unverified=abandoned)
            self.version = self._inner.version

    def scan(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Every row, in batches of at most ``rows``, in no particular order."""
        with _translated(self._uri, self._name):
            yield from self._inner.search().limit(None).to_batches(rows)

    def check(self, rows: int, newest: int) -> None:
        """Read every key.

        Raises:
            TableLost: a data file cannot be read, there are not so many ``rows``, or a key is
                beyond ``newest``.
        """
        found = beyond = 0
        with _translated(self._uri, self._name):
            for batch in self._inner.search().select(["key"]).limit(None).to_batches(_KEYS):
                found += batch.num_rows
                beyond += int((batch["key"].to_numpy() > newest).sum())
        if found != rows or beyond:
            raise TableLost(
                f"the LanceDB table {self._name} in {self._uri} has {found} rows where it was left"
                f" with {rows}, and {beyond} that are not due yet; run `agentmem check --repair`,"
                " which rebuilds it from SQLite"
            )

    def _advance(self, version: int, rows: int) -> None:
        """Take note of a commit, which should have left so many rows."""
        before = self.version
        self.version, self.rows = version, rows
        if version == before + 1:
            return
        with _translated(self._uri, self._name):
            if self._inner.count_rows() != rows:
                raise Overtaken


def tables(uri: str, names: Collection[str], prefix: str) -> list[str]:
    """Of the tables there are, those called ``names`` and all whose name starts with ``prefix``.

    Raises:
        StoreError: the database cannot be reached.
    """
    with _translated(uri, prefix):
        db = lancedb.connect(uri)
        present: list[str] = []
        page = None
        while True:
            listing = db.list_tables(page_token=page)
            present += listing.tables
            page = listing.page_token
            if not page:
                return [name for name in present if name in names or name.startswith(prefix)]


def drop_tables(uri: str, names: Collection[str], prefix: str) -> None:
    """Drop what ``tables`` finds."""
    found = tables(uri, names, prefix)
    with _translated(uri, prefix):
        db = lancedb.connect(uri)
        for name in found:
            db.drop_table(name)


@contextmanager
def _translated(uri: str, name: str) -> Iterator[None]:
    """LanceDB raises RuntimeError, ValueError and OSError; only the text says why."""
    try:
        yield
    except AgentMemError:
        raise
    except (RuntimeError, ValueError, OSError) as error:
        text = str(error)
        where = f"the LanceDB table {name} in {without_secrets(uri)}"
        if re.search(r"os error 28\b|os error 122\b|No space left", text):
            raise StoreFullError(
                f"the disk is full: cannot write {where}; free some space and try again,"
                " no memory was lost"
            ) from error
        if re.search(r"[Ii]ncompatible transaction|[Cc]ommit conflict|[Cc]oncurrent", text):
            raise Overtaken from error
        if _UNREACHABLE.search(text):
            raise StoreError(f"cannot use {where}: {_reason(text)}; {_remedy(uri)}") from error
        raise TableLost(
            f"{where} is gone or damaged: {_first_line(text)}; run `agentmem check --repair`,"
            " which rebuilds it from SQLite"
        ) from error


#: Failures that a rebuild would only repeat: permissions, network, credentials, addresses.
_UNREACHABLE = re.compile(
    r"[Pp]ermission denied|os error 13\b|os error 30\b|[Rr]ead-only"
    r"|Generic (?:S3|GCS|MicrosoftAzure|HTTP)|RetryError|[Cc]onnection|[Tt]imed? ?out"
    r"|[Uu]nauthori|Forbidden|[Cc]redential|No object store provider|[Ii]nvalid (?:url|URL)"
    r"|not supported"
)
#: What an object store or the network said, in the dump of an error that Lance makes of it.
_SAID = re.compile(
    r"<Message>(.*?)</Message>|\b(?:message|error): \"(.*?)\"|\bsource: (\w+) \}", re.DOTALL
)


def _reason(text: str) -> str:
    """Why a database cannot be reached, in a line."""
    if "RetryError" not in text:
        return _first_line(text)
    said = ["".join(found) for found in _SAID.findall(text)]
    status = re.search(r"\bstatus: (\d+)", text)
    parts = [f"status {status[1]}"] if status else []
    return ": ".join([*parts, *(reason.rstrip(". ") for reason in said[-1:])]) or _first_line(text)


def _remedy(uri: str) -> str:
    if local_folder(uri) is not None:
        return "check the address and permissions"
    return (
        "check the address, the network and the credentials in the environment (for S3:"
        " AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT, and for one without"
        " TLS AWS_ALLOW_HTTP=true); the store works on without the table, which catches up later"
    )


def _first_line(text: str) -> str:
    """What Lance says, without the source file of its own that follows."""
    return re.sub(r", \S*\.rs:\d+(?::\d+)?.*", "", text.strip(), flags=re.DOTALL)[:300]
