"""A file to import: plain or gzip, a path or standard input, read as lines or JSON values."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import re
import stat
import sys
import tempfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

from agentmem.cli.formats.entry import FormatError

__all__ = ["Source"]

_GZIP_MAGIC = b"\x1f\x8b"
_ARROW_MAGICS = (b"PAR1", b"ARROW1\0\0")  # ``Memory.add_arrow`` reads those
_CHUNK = 1 << 18
_JSON_START = re.compile(rb"""\s*(?:\{\s*["}]|(\[)\s*[{["\]])""")
_SPACE = " \t\r\n\ufeff"


class Source:
    """A file that can be read several times (detection reads its beginning first).

    ``position`` and ``size`` are in bytes of the file as it lies on disk, for progress bars.
    """

    def __init__(self, path: str) -> None:
        """
        Raises:
            FormatError: there is no such file, it cannot be read, or is none for ``import``.
        """
        self.name = "standard input" if path == "-" else path
        self.stem = "stdin" if path == "-" else _stem(path)
        self._raw: IO[bytes] | None = None
        self._spool: IO[bytes] | None = None
        self._path = path
        if path == "-":
            self._keep(sys.stdin.buffer)
            return
        try:
            with open(path, "rb") as stream:
                status = os.fstat(stream.fileno())
                self.size = status.st_size
                if not stat.S_ISREG(status.st_mode):
                    self._keep(stream)
                elif stream.read(8).startswith(_ARROW_MAGICS):
                    raise FormatError(
                        f"{path} is a Parquet or Arrow file, which this command does not read:"
                        " Memory.add_arrow does"
                    )
        except OSError as error:
            reason = error.strerror or error
            raise FormatError(f"cannot read {path}: {reason}; name a readable file") from None

    def _keep(self, stream: IO[bytes]) -> None:
        """Copy what cannot be read twice (standard input, a pipe) into a temporary file."""
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        # read1: a read that waits for a full buffer would not hear of Ctrl-C between its parts.
        while chunk := stream.read1(_CHUNK):  # type: ignore[attr-defined]
            self._spool.write(chunk)
        self.size = self._spool.tell()

    @property
    def position(self) -> int:
        """Bytes read so far by the reader that is open."""
        return self._raw.tell() if self._raw is not None and not self._raw.closed else self.size

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()

    @contextmanager
    def _bytes(self) -> Iterator[IO[bytes]]:
        raw = self._spool if self._spool is not None else open(self._path, "rb")  # noqa: SIM115
        try:
            raw.seek(0)
            zipped = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            self._raw = raw
            if zipped:
                with gzip.GzipFile(fileobj=raw) as unzipped:
                    yield unzipped  # type: ignore[misc]
            else:
                yield raw
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FormatError(f"{self.name} is a damaged gzip file: {error}") from None
        finally:
            self._raw = None
            if raw is not self._spool:
                raw.close()

    def error(self, line: int, reason: str) -> FormatError:
        return FormatError(f"{self.name}, line {line}: {reason}")

    def lines(self) -> Generator[tuple[int, str], None, None]:
        """Line numbers from 1 and their text without the line end.

        Raises:
            FormatError: a line is not UTF-8.
        """
        with self._bytes() as stream:
            for number, line in enumerate(stream, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise self.error(number, _not_utf8(error)) from None
                yield number, text.rstrip("\r\n")

    def json_lines(self) -> Generator[tuple[int, Any], None, None]:
        """Line numbers and values of a file with one JSON value per line; blank lines are
        skipped.

        Raises:
            FormatError: a line is not UTF-8 or not JSON.
        """
        with closing(self.lines()) as lines:
            for number, line in lines:
                if line.strip():
                    yield number, self._decode(number, line)

    def _decode(self, number: int, line: str) -> Any:
        try:
            return _DECODER.decode(line)
        except json.JSONDecodeError as error:
            raise self.error(number, f"not JSON: {error.msg}, column {error.colno}") from None
        except (ValueError, RecursionError) as error:
            raise self.error(number, f"not usable JSON: {error}") from None

    def json_values(self) -> Iterator[tuple[int, Any]]:
        """Line numbers and values of a JSON file: the elements of its array, or its values one
        after the other.  Only one element is in memory at a time.

        Raises:
            FormatError: not UTF-8 or not JSON.
        """
        with self._bytes() as stream:
            yield from _JsonStream(self, stream).values()

    def starts_as_json(self) -> bool:
        """Whether the file begins like a JSON object, or like an array of anything but numbers
        (text may begin with ``[2024-03-09 14:00]`` or ``[see below]``)."""
        return _JSON_START.match(self._head()) is not None

    def is_json_array(self) -> bool:
        """Whether it begins like such an array."""
        found = _JSON_START.match(self._head())
        return found is not None and found[1] is not None

    def _head(self) -> bytes:
        with self._bytes() as stream:
            return stream.read(4096).removeprefix(codecs.BOM_UTF8)


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_no_constants)


class _JsonStream:
    """Incremental reader of a JSON array, or of values that follow one another."""

    def __init__(self, source: Source, stream: IO[bytes]) -> None:
        self._source = source
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._line = 1  # of ``_text[0]``
        self._ended = False

    def values(self) -> Iterator[tuple[int, Any]]:
        in_array = self._peek() == "["
        if in_array:
            self._at += 1
            if self._peek() == "]":
                self._at += 1
                return self._expect_end()
        while self._peek():
            line, value = self._value()
            yield line, value
            following = self._peek()
            if not in_array:
                continue
            if following == "]":
                self._at += 1
                return self._expect_end()
            if not following:
                break
            if following != ",":
                raise self._error("expected ',' or ']' after an element")
            self._at += 1
        if in_array:
            raise self._error("the array is not closed; the file may be cut off")
        return None

    def _expect_end(self) -> None:
        if self._peek():
            raise self._error("something follows the end of the array")

    def _peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._fill(_CHUNK):
                return ""

    def _value(self) -> tuple[int, Any]:
        size = _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if _is_final(error, len(self._text)) or not self._fill(size):
                    self._at = error.pos
                    raise self._error(f"not JSON: {error.msg}") from None
            except (ValueError, RecursionError) as error:
                raise self._error(f"not usable JSON: {error}") from None
            else:
                # A number at the end of the buffer may go on in the next chunk.
                if end < len(self._text) or not self._fill(size):
                    line = self._line_here()
                    self._at = end
                    return line, value
            size *= 2  # doubling keeps parsing one long element linear overall

    def _fill(self, size: int) -> bool:
        """Read more text; False at the end of the file."""
        if self._ended:
            return False
        data = self._stream.read(size)
        self._ended = not data
        try:
            text = self._decode.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            self._at = len(self._text)
            good = error.object[: error.start].decode("utf-8")
            line = self._line_here() + good.count("\n")
            raise self._source.error(line, _not_utf8(error)) from None
        if self._ended:
            return False
        self._line = self._line_here()
        self._text, self._at = self._text[self._at :] + text, 0
        return True

    def _line_here(self) -> int:
        return self._line + self._text.count("\n", 0, self._at)

    def _error(self, reason: str) -> FormatError:
        return self._source.error(self._line_here(), reason)


def _is_final(error: json.JSONDecodeError, length: int) -> bool:
    """Whether more text could not mend this error (it lies well before the buffer's end)."""
    return not error.msg.startswith("Unterminated string") and error.pos < length - 64


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"byte 0x{error.object[error.start]:02x} is not UTF-8; convert the file to UTF-8"


def _stem(path: str) -> str:
    name = Path(path).name
    return Path(name.removesuffix(".gz")).stem
