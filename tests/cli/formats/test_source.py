"""Files as lines and JSON values: compression, encodings, streaming, places of errors."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from agentmem.cli.formats import FormatError, Source
from agentmem.cli.formats import source as module


def values(path: str) -> list[Any]:
    return [value for _, value in Source(path).json_values()]


def test_a_gzip_file_is_read_whatever_its_name(write, tmp_path) -> None:
    path = write("one\ntwo\n", "lines.gz")
    renamed = tmp_path / "lines.txt"
    renamed.write_bytes(Path(path).read_bytes())
    assert list(Source(str(renamed)).lines()) == [(1, "one"), (2, "two")]


def test_windows_line_ends_and_a_byte_order_mark_are_not_text(write) -> None:
    path = write("\ufeffone\r\ntwo\r\n")
    assert list(Source(path).lines()) == [(1, "one"), (2, "two")]
    assert values(write('\ufeff[{"a": 1}]')) == [{"a": 1}]


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(FormatError, match=r"absent\.txt: No such file"):
        Source(str(tmp_path / "absent.txt"))


def test_a_folder_is_no_file(tmp_path) -> None:
    with pytest.raises(FormatError, match="cannot read"):
        Source(str(tmp_path))


def test_a_damaged_gzip_file_says_so(write) -> None:
    path = write("x" * 10_000, "lines.gz")
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="damaged gzip"):
        list(Source(path).lines())


def test_bytes_that_are_not_utf8_name_the_line(write) -> None:
    path = write(b"fine\nalso fine\ncaf\xe9\n")
    with pytest.raises(FormatError, match=r"file\.txt, line 3: byte 0xe9 is not UTF-8"):
        list(Source(path).lines())
    path = write(b'[\n"fine",\n"caf\xe9"\n]')
    with pytest.raises(FormatError, match=r"line 3: byte 0xe9"):
        values(path)


@pytest.mark.parametrize("chunk", [1, 2, 7, 1 << 18])
def test_values_are_the_same_at_any_chunk_size(write, monkeypatch, chunk) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    content = [{"n": -12.5e3, "s": 'q"uo\\te ] } é \U0001f600'}, [], 123, "x" * 300, None, [[1]]]
    assert values(write(content)) == content
    assert values(write(json.dumps(content, ensure_ascii=False))) == content
    lines = "\n".join(json.dumps(value) for value in content)
    assert values(write(lines)) == content
    assert values(write("[ ]")) == []
    assert values(write("")) == []


@pytest.mark.parametrize("chunk", [3, 1 << 18])
def test_the_line_of_each_value_is_known(write, monkeypatch, chunk) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    path = write('[\n{"a":\n1},\n\n{"b": 2}\n]')
    assert [line for line, _ in Source(path).json_values()] == [2, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"a": 1},\n{"b" 2}]', "line 2: not JSON: Expecting ':'"),
        ('[{"a": 1}\n{"b": 2}]', "line 2: expected ',' or ']'"),
        ('[{"a": 1},\n{"b": 2}', "line 2: the array is not closed"),
        ('[{"a": 1}]\n[2]', "line 2: something follows"),
        ('[{"a": NaN}]', "line 1: not usable JSON: NaN is not a JSON value"),
        ("[" * 100_000, "line 1: not usable JSON"),
    ],
)
def test_broken_json_names_the_line(write, content, message) -> None:
    with pytest.raises(FormatError) as caught:
        values(write(content))
    assert message in str(caught.value)


def test_a_broken_line_of_jsonl_names_its_line_and_column(write) -> None:
    path = write('{"a": 1}\n\n{"a": 2,}\n')
    with pytest.raises(FormatError, match=r"line 3: not JSON: .*, column 9"):
        list(Source(path).json_lines())


def test_an_early_error_does_not_read_the_whole_file(write) -> None:
    read = Source(write('[{"a"]' + " " * 20_000_000)).json_values()
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="line 1: not JSON"):
            next(read)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2_000_000


def test_standard_input_can_be_read_twice(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    source = Source("-")
    assert list(source.lines()) == list(source.lines()) == [(1, "one"), (2, "two")]
    source.close()
