"""Files with questions for ``agentmem eval``: memories as import reads them, and what to find.

``read`` yields one ``Collection`` after the other and holds no more than one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any

from agentmem.cli.formats.dates import parse_time
from agentmem.cli.formats.entry import Entry, FormatError, Item, ReadOptions
from agentmem.cli.formats.fields import memory_item
from agentmem.cli.formats.locomo import sample_entries
from agentmem.cli.formats.longmemeval import question_entries
from agentmem.cli.formats.source import Source
from agentmem.errors import InvalidInputError
from agentmem.evaluation import Collection, Labelled, Question
from agentmem.types import SCOPE_FIELDS

__all__ = ["DATASETS", "read"]

#: Name to the rank at which its categories are compared.
DATASETS = {"locomo": 10, "longmemeval": 5, "jsonl": 10}

_LOCOMO_CATEGORIES = {
    1: "multi-hop",
    2: "temporal",
    3: "open-domain",
    4: "single-hop",
    5: "adversarial",
}
_NEVER_SAID = 5  # the category that asks for what the conversation does not hold
_DEFAULT_USER = "eval"
_IDS = (*SCOPE_FIELDS, *(name.removesuffix("_id") for name in SCOPE_FIELDS))
_QUERY_KEYS = ("query", "relevant", "category", "asked_at", *_IDS)
_GROUP_KEYS = ("name", "memories", "queries", *_IDS)


def read(source: Source, dataset: str, limit: int | None = None) -> Iterator[Collection]:
    """The collections of a file; ``limit`` is the most conversations (LoCoMo) or questions.

    Raises:
        FormatError: the file is not in this layout, or asks nothing.
    """
    asks = False
    found = _limited(_jsonl(source), limit) if dataset == "jsonl" else _set(source, dataset, limit)
    for collection in found:
        asks = asks or bool(collection.questions or collection.left_out)
        yield collection
    if not asks:
        raise FormatError(f"{source.name} holds no questions; there is nothing to measure")


def _set(source: Source, dataset: str, limit: int | None) -> Iterator[Collection]:
    """The collections of a published set."""
    make = _locomo if dataset == "locomo" else _longmemeval
    for line, value in islice(source.json_values(), limit):
        try:
            yield make(value)
        except InvalidInputError as error:
            raise source.error(line, str(error)) from None


# -- published sets


def _locomo(sample: Any) -> Collection:
    """A conversation, found turn by turn.

    A few evidence ids are malformed: they are split at spaces and semicolons, and what names no
    turn is dropped.  A question of categories 1 to 4 that has none left cannot be judged.
    """
    memories = _labelled(sample_entries(sample, ReadOptions()), _turn_id)
    known = {memory.label for memory in memories}
    name = sample.get("sample_id")
    asked, left_out = [], 0
    for entry in _objects(sample, "qa"):
        category = entry.get("category")
        if category not in _LOCOMO_CATEGORIES:
            raise InvalidInputError(f"{name}: category must be 1 to 5, not {category!r:.60}")
        named = " ".join(map(str, entry.get("evidence") or [])).replace(";", " ").split()
        evidence = frozenset(known.intersection(named))
        if category == _NEVER_SAID:
            evidence = frozenset()
        elif not evidence:
            left_out += 1
            continue
        text, scope = _text(entry, "question"), {"user_id": name}
        asked.append(Question(text, evidence, scope, _LOCOMO_CATEGORIES[category]))
    return Collection(name, memories, asked, left_out)


def _longmemeval(value: Any) -> Collection:
    """A question with its haystack, found session by session.

    Those whose id ends in ``_abs`` ask for what no session holds.
    """
    memories = _labelled(question_entries(value), lambda item: str(item["run_id"]))
    known = {memory.label for memory in memories}
    name = value["question_id"]
    answers = value.get("answer_session_ids")
    if not isinstance(answers, list):
        raise InvalidInputError(f"{name}: answer_session_ids must be a list, not {answers!r:.60}")
    relevant = frozenset(known.intersection(map(str, answers)))
    never_said = name.endswith("_abs")
    if not relevant and not never_said:
        return Collection(name, memories, [], left_out=1)
    category = str(value.get("question_type") or "")
    question = Question(
        _text(value, "question"),
        frozenset() if never_said else relevant,
        {"user_id": name},
        category,
        asked_at=_asked_at(value, "question_date"),
    )
    return Collection(name, memories, [question])


def _asked_at(value: dict[str, Any], name: str) -> datetime | None:
    when = value.get(name)
    return None if when is None else parse_time(when)


def _labelled(entries: Iterable[Entry], label: Callable[[Item], str]) -> list[Labelled]:
    return [Labelled(label(e.item), e.item) for e in entries if e.item is not None]


def _turn_id(item: Item) -> str:
    return str(item["metadata"]["dia_id"])


def _objects(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise InvalidInputError(f"{name!r} must be a list of objects, not {found!r:.60}")
    return found


def _text(value: dict[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not text.strip():
        raise InvalidInputError(f"{name!r} must be a text, not {text!r:.60}")
    return text


# -- a user's own


@dataclass(slots=True)
class _Group:
    """Memories and queries that belong together: a line's, or those of all flat lines."""

    name: str
    scope: dict[str, str]  # of what names none
    memories: list[Labelled] = field(default_factory=list)
    owners: dict[str, Item] = field(default_factory=dict)  # label to memory
    asked: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # line and query

    def add(self, value: Any) -> None:
        """A memory: a text, or an object as import reads it."""
        given = {"content": value} if isinstance(value, str) else value
        if not isinstance(given, dict):
            raise InvalidInputError(f"a memory must be a text or an object, not {value!r:.60}")
        item = memory_item(given, keep_id=False)
        item.pop("vector", None)  # what is measured is this store's own model
        named = given.get("id") is not None
        label = str(given["id"] if named else len(self.memories))
        if label in self.owners:
            raise InvalidInputError(f"two memories have the id {label!r}")
        item.update(_owned({name: item[name] for name in SCOPE_FIELDS if name in item}, self.scope))
        if named:  # in its scope, whatever the file is called; the others go by their text
            item.setdefault("idempotency_key", f"eval:{label}")
        self.owners[label] = item
        self.memories.append(Labelled(label, item))

    def questions(self, source: Source) -> Iterator[Question]:
        for line, query in self.asked:
            try:
                yield self._question(query)
            except InvalidInputError as error:
                raise source.error(line, str(error)) from None

    def _question(self, query: dict[str, Any]) -> Question:
        _check_keys(query, "query", _QUERY_KEYS)
        relevant = query.get("relevant", [])
        if not isinstance(relevant, list):
            raise InvalidInputError(f"'relevant' must be a list of ids, not {relevant!r:.60}")
        labels = frozenset(map(str, relevant))
        scope = _owned(_scope_ids(query), self.scope)
        for label in sorted(labels):
            if label not in self.owners:
                raise InvalidInputError(f"'relevant' names {label!r}, and no memory has this id")
            there = {name: self.owners[label].get(name) for name in scope}
            if there != scope:
                raise InvalidInputError(
                    f"the memory {label!r} belongs to {_said(there)}, and the query asks"
                    f" {_said(scope)}; give both the same ids"
                )
        return Question(
            _text(query, "query"),
            labels,
            scope,
            str(query.get("category") or ""),
            _asked_at(query, "asked_at"),
        )


def _jsonl(source: Source) -> Iterator[Collection]:
    """Lines that are a memory, a query (``{"query", "relevant"}``), or a group of both
    (``{"memories", "queries"}``).  A group is stored and asked by itself, all other lines
    together after them."""
    flat = _Group(source.stem, {"user_id": _DEFAULT_USER})
    for line, value in source.json_lines():
        try:
            if isinstance(value, dict) and "memories" in value:
                yield _collection(_group(line, value), source)
            elif isinstance(value, dict) and "query" in value:
                flat.asked.append((line, value))
            else:
                flat.add(value)
        except FormatError:
            raise
        except InvalidInputError as error:
            raise source.error(line, str(error)) from None
    if flat.memories or flat.asked:
        yield _collection(flat, source)


def _group(line: int, value: dict[str, Any]) -> _Group:
    _check_keys(value, "group", _GROUP_KEYS)
    name = str(value.get("name") or f"group-{line}")
    group = _Group(name, _owned(_scope_ids(value), {"user_id": name}))
    memories = value["memories"]
    if not isinstance(memories, list):
        raise InvalidInputError(f"'memories' must be a list, not {memories!r:.60}")
    for memory in memories:
        group.add(memory)
    group.asked += [(line, query) for query in _objects(value, "queries")]
    return group


def _collection(group: _Group, source: Source) -> Collection:
    return Collection(group.name, group.memories, list(group.questions(source)))


def _check_keys(value: dict[str, Any], what: str, known: tuple[str, ...]) -> None:
    """A misspelt key would change what is measured, and nobody would know."""
    for name in value:
        if name not in known:
            raise InvalidInputError(f"a {what} has no {name!r:.60}; known are {', '.join(known)}")


def _scope_ids(value: dict[str, Any]) -> dict[str, str]:
    """The ids that an object gives, as ``user`` or ``user_id`` and so on."""
    ids = {}
    for name in SCOPE_FIELDS:
        given = value.get(name, value.get(name.removesuffix("_id")))
        if given is None:
            continue
        if not isinstance(given, str):
            raise InvalidInputError(f"{name!r} must be a text, not {given!r:.60}")
        ids[name] = given
    return ids


def _owned(ids: dict[str, str], default: dict[str, str]) -> dict[str, str]:
    """``ids``, with those of ``default`` where they name nobody: a run is somebody's."""
    return ids if ids.keys() - {"run_id"} else {**default, **ids}


def _said(ids: dict[str, Any]) -> str:
    return ", ".join(f"{name.removesuffix('_id')} {value!r}" for name, value in ids.items())


def _limited(collections: Iterable[Collection], limit: int | None) -> Iterator[Collection]:
    """The collections with the first ``limit`` questions of all."""
    left = limit
    for collection in collections:
        if left is None:
            yield collection
            continue
        questions = collection.questions[:left]
        yield replace(collection, questions=questions)
        left -= len(questions)
        if left <= 0:
            return
