"""Plain text."""

from __future__ import annotations

LINES = "likes tea\n\n  plays the cello  \nlives in Porto"
PARAGRAPHS = "She likes tea\nand hates coffee.\n\n\nShe plays\nthe cello.\n"
FACTS = "likes tea.\nplays the cello.\n\nlives in Porto.\nworks at Acme.\n"


PROSE = f"""{"She said that she " * 4}
likes tea.

{"He answered that " * 4}
{"he likes it too and " * 4}
very much.
"""


def texts(items, *args, **options) -> list[str]:
    return [item["content"] for item in items("text", *args, **options)]


def test_each_line_is_a_memory(items) -> None:
    assert texts(items, LINES, split="lines") == ["likes tea", "plays the cello", "lives in Porto"]


def test_each_paragraph_is_a_memory(items) -> None:
    assert texts(items, PARAGRAPHS, split="paragraphs") == [
        "She likes tea and hates coffee.",
        "She plays the cello.",
    ]


def test_auto_sees_paragraphs_only_where_lines_belong_together(items) -> None:
    assert len(texts(items, PROSE)) == 2
    assert len(texts(items, FACTS)) == 4
    assert len(texts(items, "Tea\nCello\nPorto\n\n")) == 3
    assert len(texts(items, "one\n\ntwo\n\nthree")) == 3


def test_the_place_is_the_first_line(entries) -> None:
    assert [e.where for e in entries("text", PARAGRAPHS, split="paragraphs")] == [
        "line 1",
        "line 5",
    ]


def test_an_empty_file_has_no_memories(items) -> None:
    assert texts(items, "") == texts(items, "\n \n") == []
