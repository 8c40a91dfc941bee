"""Memories packed into a token budget, as text for a prompt.

What was found best goes in first, what repeats another that is in stays out, and memories that
followed one another in their run are joined into passages.  The budget holds for the text
as a whole, headings and all: it is counted once more when it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import index
from string import Formatter
from typing import TYPE_CHECKING, Literal

from agentmem.errors import InvalidInputError
from agentmem.ids import id_to_str
from agentmem.inputs import shorten
from agentmem.times import from_micros

if TYPE_CHECKING:
    from agentmem.ports import Snapshot
    from agentmem.types import Hit, Record

__all__ = [
    "Context",
    "CountTokens",
    "Order",
    "Template",
    "around",
    "checked_tokenizer",
    "pack",
    "read_template",
]

Order = Literal["time", "relevance"]

#: How many tokens each of some texts has.
CountTokens = Callable[[Sequence[str]], Sequence[int]]

_COUNTED = 32  # memories whose tokens are counted in one call
_PATIENCE = 16  # memories in a row that do not fit, after which the rest is not tried

#: What may stand around a word without changing what is said.  A question mark does, and so do
#: the signs of ``-5`` and ``C++``.
_AROUND = ".,;:!\"'()[]*_\u2018\u2019\u201c\u201d\u2026"
#: Words without which the same is said.
_FILLERS = frozenset(("the", "an", "really", "very", "just", "also", "actually", "oh"))
_FIELDS = {"date", "time", "run", "speaker", "text", "id"}


@dataclass(frozen=True, slots=True)
class Template:
    """How passages look.  ``head`` may name ``{date}``, ``{time}``, ``{run}``; ``line`` also
    ``{speaker}`` (``"Ann: "``, empty where unknown or where the text begins with it),
    ``{text}`` and ``{id}``.  An empty head is left out with its line.

    Raises:
        InvalidInputError: another field, a field with a format, or braces that do not match.
    """

    head: str = "[{date}]"
    line: str = "{speaker}{text}"
    separator: str = "\n\n"  # between passages

    def __post_init__(self) -> None:
        for name, text, known in (
            ("head", self.head, _FIELDS - {"speaker", "text", "id"}),
            ("line", self.line, _FIELDS),
        ):
            try:
                parts = [part for part in Formatter().parse(text) if part[1] is not None]
            except ValueError as error:
                raise InvalidInputError(f"template {name} {shorten(text)}: {error}") from None
            used = {str(field) for _, field, _, _ in parts}
            if used - known:
                raise InvalidInputError(
                    f"template {name} {shorten(text)} names {shorten(sorted(used - known))};"
                    f" known are {', '.join(sorted(known))}"
                )
            for _, field, form, conversion in parts:
                if form or conversion:
                    raise InvalidInputError(
                        f"template {name} {shorten(text)} gives {field!r} a format, and takes none;"
                        f" write {{{field}}}"
                    )


def read_template(given: Mapping[str, str] | None) -> Template:
    """The template with the given parts (``head``, ``line``, ``separator``) over the defaults.

    Raises:
        InvalidInputError: an unknown part, or one that is not a string.
    """
    if given is None:
        return Template()
    known = [field.name for field in fields(Template)]
    if not isinstance(given, Mapping):
        raise InvalidInputError(f"template must be a dictionary, not {shorten(given)}")
    for name, text in given.items():
        if name not in known:
            raise InvalidInputError(
                f"template has no {shorten(name)}; known are {', '.join(known)}"
            )
        if not isinstance(text, str):
            raise InvalidInputError(f"template {name} must be a string, not {shorten(text)}")
    return Template(**given)


def checked_tokenizer(given: object) -> CountTokens:
    """A caller's tokenizer, whose counts are looked at.

    Raises:
        InvalidInputError: it cannot be called; later, when it counts: not one whole number of at
            least 0 for each text.
    """
    if not callable(given):
        raise InvalidInputError(
            "tokenizer must be a function from a list of texts to the number of tokens of each,"
            f" not {shorten(given)}"
        )

    def count(texts: Sequence[str]) -> list[int]:
        counts = given(texts)
        try:
            numbers = [index(number) for number in counts]
        except TypeError:
            numbers = []
        if len(numbers) != len(texts) or min(numbers, default=0) < 0:
            raise InvalidInputError(
                f"the tokenizer must give one whole number, 0 or more, for each of {len(texts)}"
                f" texts, not {shorten(counts)}"
            )
        return numbers

    return count


@dataclass(frozen=True, slots=True)
class Context:
    """What goes into a prompt."""

    text: str
    ids: list[str]  # of the memories in it, in the order of the text
    tokens: int  # of the text, never more than the budget
    left_out: int  # hits that did not fit
    duplicates: int  # hits that would fit, and say what is in already


def pack(
    ranked: Sequence[tuple[Record, Hit]],
    count: CountTokens,
    max_tokens: int,
    *,
    beside: Mapping[int, Sequence[Record]] | None = None,
    order: Order = "time",
    template: Template | None = None,
) -> Context:
    """The best of ``ranked`` (best first) that fit into ``max_tokens``.

    A memory that does not fit is passed over, and a shorter one soon after it may still go in.

    Args:
        count: any tokenizer's; the text never has more than ``max_tokens`` by it.
        beside: by key of a hit, memories that stood beside it; they go in after it, while they
            fit (see ``around``).
        order: passages by when they happened, or by their best hit.

    Raises:
        InvalidInputError: a budget below 1, an unknown order.
    """
    if max_tokens < 1:
        raise InvalidInputError(f"max_tokens must be at least 1, not {shorten(max_tokens)}")
    if not isinstance(order, str) or order not in ("time", "relevance"):
        raise InvalidInputError(f"order {shorten(order)} is neither 'time' nor 'relevance'")
    template = template or Template()
    wanted = list(_in_turn(ranked, beside or {}))
    chosen, duplicates = _fitting(wanted, count, max_tokens, template)
    text = _text(chosen, order, template)
    tokens = _tokens(text, count)
    # Tokens of parts need not add up to those of the whole; the least wanted goes first.
    while tokens > max_tokens and chosen:
        chosen = chosen[:-1]
        text = _text(chosen, order, template)
        tokens = _tokens(text, count)
    placed = [record for passage in _passages(chosen, order, template) for record in passage]
    inside = {record.key for record in chosen}
    hits = {record.key for record, _ in ranked}
    return Context(
        text=text,
        ids=[id_to_str(record.id) for record in placed],
        tokens=tokens,
        left_out=len(hits - inside) - len(hits & duplicates),
        duplicates=len(hits & duplicates),
    )


def around(
    snapshot: Snapshot, records: Sequence[Record], width: int, now: int | None = None
) -> dict[int, list[Record]]:
    """By key, the memories at most ``width`` places before or after each in its run, nearest
    first; those that expired by ``now`` are left out.

    Looks among the keys right beside each record's own.  Memories that were stored together are
    there; where other writers came in between, fewer are found, never others.
    """
    keys = {r.key + step for r in records for step in range(-width, width + 1)}
    found = snapshot.records(sorted(key for key in keys if key > 0))
    beside: dict[int, list[Record]] = {}
    for record in records:
        near = [
            other
            for step in range(1, width + 1)
            for key in (record.key - step, record.key + step)
            if (other := found.get(key)) is not None
            and other.scope == record.scope
            and abs(other.position - record.position) <= width
            and not (now is not None and other.expires_at is not None and other.expires_at <= now)
        ]
        beside[record.key] = near
    return beside


def _in_turn(
    ranked: Sequence[tuple[Record, Hit]], beside: Mapping[int, Sequence[Record]]
) -> Iterable[Record]:
    """Every hit, each followed by what stood beside it; each memory once."""
    seen: set[int] = set()
    for hit, _ in ranked:
        for record in (hit, *beside.get(hit.key, ())):
            if record.key not in seen:
                seen.add(record.key)
                yield record


def _said(text: str) -> tuple[str, ...]:
    """Its words in order, without case, punctuation, and those that add nothing."""
    words = [raw.strip(_AROUND) for raw in text.casefold().split()]
    return tuple(word for word in words if word and word not in _FILLERS) or (text,)


def _speaker(record: Record) -> str | None:
    return record.actor_id or record.role


def _place(record: Record, head: str, step: int = 0) -> tuple[object, ...]:
    """Where a memory stands, or the one ``step`` places on.  Those without a run did not follow one
    another, and stand together only under the same heading."""
    return record.scope, record.position + step, "" if record.scope.run_id else head


def _fitting(
    wanted: Sequence[Record],
    count: CountTokens,
    max_tokens: int,
    template: Template,
) -> tuple[list[Record], set[int]]:
    """The records, in order, whose lines and headings fit together; and the keys of those that
    would fit and only say again what is in already.

    A heading counts with the first memory of each passage; joining two passages saves one.
    """
    left = max_tokens
    chosen: list[Record] = []
    repeated: set[int] = set()
    places: set[tuple[object, ...]] = set()
    said: dict[tuple[str, ...], set[str | None]] = {}  # by whom
    refused = 0
    for record, line, head, head_tokens in _counted(wanted, count, template):
        if refused >= _PATIENCE:
            break
        joins = any(_place(record, head, step) in places for step in (-1, 1))
        cost = line if joins else line + head_tokens
        if cost > left:
            refused += 1
            continue
        refused = 0
        speaker, others = _speaker(record), said.setdefault(_said(record.content), set())
        if others and (speaker is None or not others.isdisjoint((speaker, None))):
            repeated.add(record.key)
            continue
        left -= cost
        chosen.append(record)
        others.add(speaker)
        places.add(_place(record, head))
    return chosen, repeated


def _counted(
    records: Sequence[Record], count: CountTokens, template: Template
) -> Iterator[tuple[Record, int, str, int]]:
    """Each record with the tokens of its line, its heading and the tokens of that; counted a few
    at a time, since most of a long list is never reached."""
    for start in range(0, len(records), _COUNTED):
        part = records[start : start + _COUNTED]
        heads = [_head(record, template) for record in part]
        distinct = list(dict.fromkeys(heads))  # mostly one a run
        lines = [_line(record, template) + "\n" for record in part]
        counts = count([*lines, *(head + template.separator for head in distinct)])
        head_cost = dict(zip(distinct, counts[len(lines) :], strict=True))
        for record, line, head in zip(part, counts, heads, strict=False):
            yield record, line, head, head_cost[head]


def _passages(chosen: Iterable[Record], order: Order, template: Template) -> list[list[Record]]:
    """Unbroken stretches of runs, in the order asked for."""
    rank = {record.key: place for place, record in enumerate(chosen)}
    passages: list[list[Record]] = []
    for record in sorted(chosen, key=lambda r: (*_scope_order(r), r.position)):
        last = passages[-1][-1] if passages else None
        head = _head(record, template)
        if last and _place(last, _head(last, template), 1) == _place(record, head):
            passages[-1].append(record)
        else:
            passages.append([record])
    if order == "time":
        return sorted(passages, key=lambda p: (p[0].event_at, *_scope_order(p[0]), p[0].position))
    return sorted(passages, key=lambda p: min(rank[record.key] for record in p))


def _scope_order(record: Record) -> tuple[str, ...]:
    return tuple(value or "" for value in record.scope.as_tuple())


def _text(chosen: Sequence[Record], order: Order, template: Template) -> str:
    shown = []
    for passage in _passages(chosen, order, template):
        head = _head(passage[0], template)
        lines = [_line(record, template) for record in passage]
        shown.append("\n".join([head, *lines] if head else lines))
    return template.separator.join(shown)


def _head(record: Record, template: Template) -> str:
    return template.head.format(**_when(record))


def _line(record: Record, template: Template) -> str:
    speaker = _speaker(record) or ""
    if speaker and record.content.startswith(f"{speaker}:"):
        speaker = ""
    return template.line.format(
        **_when(record),
        speaker=f"{speaker}: " if speaker else "",
        text=record.content,
        id=id_to_str(record.id),
    )


def _when(record: Record) -> dict[str, str]:
    time = from_micros(record.event_at) or ""
    run = record.scope.run_id or ""
    return {"date": time[:10], "time": time[:16].replace("T", " "), "run": run}


def _tokens(text: str, count: CountTokens) -> int:
    return count([text])[0] if text else 0
