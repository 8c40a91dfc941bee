"""What callers hand to ``add`` and ``add_batch``, checked and made into ``Drafts``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from agentmem._native.hashing import hash_texts
from agentmem._native.vectors import normalize
from agentmem.errors import InvalidInputError, LimitError, VectorError
from agentmem.ids import new_ids, parse_id
from agentmem.inputs import (
    check_iterable,
    check_text,
    check_vector,
    check_vectors,
    require_scope,
    resolve_scope,
    shorten,
)
from agentmem.types import SCOPE_FIELDS, NewMemory, Scope
from agentmem.write.fields import FIELD_NAMES, put_fields

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentmem.config import Limits

__all__ = [
    "ITEM_KEYS",
    "OF_BATCH",
    "OF_ONE",
    "Drafts",
    "Names",
    "bounded",
    "items_of_messages",
    "join_drafts",
    "read_items",
]

#: Every key an item of ``add_batch`` may have.
ITEM_KEYS = ("content", "id", *SCOPE_FIELDS, *FIELD_NAMES, "vector")
_ITEM_KEYS = frozenset(ITEM_KEYS)
_MESSAGE_KEYS = frozenset(("role", "content", "name"))
_all_but_id = attrgetter(*(f.name for f in dataclasses.fields(NewMemory) if f.name != "id"))
_NO_SCOPE = (None, None, None, None)


class Names(NamedTuple):
    """How errors name what the caller gave."""

    item: str = "items[{}]"  # with its number, if there can be several
    vectors: str = "vectors"
    first: int = 0  # its first number

    @classmethod
    def of_messages(cls, messages: object) -> Names:
        return cls("messages" if isinstance(messages, str | Mapping) else "messages[{}]", "vector")

    def of(self, i: int) -> str:
        return self.item.format(self.first + i)

    def locate(self, error: InvalidInputError, i: int) -> None:
        """Say in the error that it is about item ``i``."""
        if "{" in self.item:
            error.args = (f"{self.of(i)}: {error}",)


OF_BATCH = Names()
#: Of ``update``, which takes one: its arguments name themselves.
OF_ONE = Names("the update", "vector")


@dataclass(slots=True)
class Drafts:
    """Checked memories in input order.

    ``vectors[i]`` is the caller's normalised vector ``(dim,)`` float32 of item i or None;
    ``chosen[i]`` says whether the caller gave the id.
    """

    memories: list[NewMemory]
    vectors: list[NDArray[np.float32] | None]
    chosen: list[bool]


def join_drafts(parts: Sequence[Drafts]) -> Drafts:
    """The drafts of several callers, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Drafts(
        [memory for part in parts for memory in part.memories],
        [vector for part in parts for vector in part.vectors],
        [chosen for part in parts for chosen in part.chosen],
    )


def items_of_messages(messages: object) -> list[str | dict[str, Any]]:
    """The items of ``add``'s first argument: a string, a message, or a list of either.

    Raises:
        InvalidInputError: something else, an empty list, or a message with other keys.
    """
    if isinstance(messages, str | Mapping):
        messages = [messages]
    if not isinstance(messages, list | tuple):
        raise InvalidInputError(
            "messages must be a string, a {'role', 'content', 'name'} dictionary or a list of"
            f" them, not {type(messages).__name__} {shorten(messages)}"
        )
    if not messages:
        raise InvalidInputError("messages is an empty list; give at least one message")
    return [_item_of_message(message, i) for i, message in enumerate(messages)]


def _item_of_message(message: object, i: int) -> str | dict[str, Any]:
    if isinstance(message, str):
        return message
    if not isinstance(message, Mapping):
        raise InvalidInputError(
            f"messages[{i}] must be a string or a dictionary, not {shorten(message)}"
        )
    unknown = [key for key in message if key not in _MESSAGE_KEYS]
    if unknown:
        raise InvalidInputError(
            f"messages[{i}] has the unknown key {shorten(unknown[0])}; a message has role, content"
            " and name; give other fields as arguments, or use add_batch"
        )
    if "content" not in message:
        raise InvalidInputError(f"messages[{i}] has no content: {shorten(message)}")
    item = {"content": message["content"], "role": message.get("role")}
    if message.get("name") is not None:
        item["actor_id"] = message["name"]
    return item


def read_items(
    items: Iterable[object],
    defaults: Mapping[str, Any],
    vectors: object,
    *,
    scope: Scope,
    limits: Limits,
    dim: int,
    names: Names = OF_BATCH,
) -> Drafts:
    """Check everything about a batch before anything is computed or written.

    Args:
        items: strings, or dictionaries with keys of ``ITEM_KEYS``.
        defaults: the call's own field arguments, for items that lack them.
        vectors: ``(n, dim)`` numbers, or None.
        scope: what the call's scope ids and the Memory's own resolve to.

    Raises:
        InvalidInputError (and its kinds): the first thing that is wrong, naming the item.
    """
    rows = bounded(items, limits, "items must be a list of strings or dictionaries")
    reader = _Reader(defaults, scope, limits, dim)
    texts = [reader.text(item, names.of(i)) for i, item in enumerate(rows)]
    digests = hash_texts(texts)
    drafts = Drafts([], [], [])
    for i, (item, fresh) in enumerate(zip(rows, new_ids(len(rows)), strict=True)):
        try:
            memory, vector, chosen = reader.draft(item, fresh)
        except InvalidInputError as error:
            names.locate(error, i)
            raise
        reader.share_key(memory, i, len(rows))
        memory.content = texts[i]
        memory.content_hash = digests[16 * i : 16 * i + 16]
        drafts.memories.append(memory)
        drafts.vectors.append(vector)
        drafts.chosen.append(chosen)
    if vectors is not None:
        _take_vectors(drafts, vectors, dim, names)
    return drafts


def bounded(items: Iterable[object], limits: Limits, what: str) -> list[object]:
    """The items as a list; of an iterator, no more than one beyond the limit is taken.

    Raises:
        InvalidInputError: nothing with items, which begins with ``what``.
        LimitError: more than ``limits.max_batch``.
    """
    most = limits.max_batch
    rows = items if isinstance(items, list) else list(islice(check_iterable(items, what), most + 1))
    if len(rows) > most:
        raise LimitError(
            f"the batch has more items than limits.max_batch = {most:,}; split it, or raise the"
            " limit in the config"
        )
    return rows


class _Reader:
    """Turns the items of one call into drafts."""

    def __init__(self, defaults: Mapping[str, Any], scope: Scope, limits: Limits, dim: int) -> None:
        self._limits = limits
        self._dim = dim
        self._template = NewMemory(id=b"", scope=scope, content="", content_hash=b"")
        put_fields(self._template, defaults, limits)
        # A key names one memory, so a batch shares it out: "{key}#{i}".
        self._key, self._template.idempotency_key = self._template.idempotency_key, None
        self._values = _all_but_id(self._template)
        # Items of a batch mostly share their scope: each is checked once.
        self._scopes: dict[tuple[Any, ...], Scope] = {}

    def text(self, item: object, where: str) -> str:
        """The checked text of an item, and a check of its keys."""
        if isinstance(item, str):
            return check_text(item, self._limits.max_content_bytes, where)
        if not isinstance(item, Mapping):
            raise InvalidInputError(
                f"{where} must be a string or a dictionary, not {shorten(item)}"
            )
        if not _ITEM_KEYS.issuperset(item):
            unknown = next(key for key in item if key not in _ITEM_KEYS)
            raise InvalidInputError(
                f"{where} has the unknown key {shorten(unknown)}; known keys are"
                f" {', '.join(ITEM_KEYS)}; put others into metadata"
            )
        if "content" not in item:
            raise InvalidInputError(f"{where} has no 'content': {shorten(item)}")
        return check_text(item["content"], self._limits.max_content_bytes, f"{where} content")

    def draft(
        self, item: object, fresh_id: bytes
    ) -> tuple[NewMemory, NDArray[np.float32] | None, bool]:
        memory = NewMemory(fresh_id, *self._values)
        if isinstance(item, str):
            require_scope(memory.scope)
            return memory, None, False
        assert isinstance(item, Mapping)  # see ``text``
        put_fields(memory, item, self._limits)
        memory.scope = self._scope(item)
        require_scope(memory.scope)
        chosen = item.get("id") is not None
        if chosen:
            memory.id = parse_id(item["id"])
        vector = item.get("vector")
        if vector is not None:
            vector = check_vector(vector, self._dim, normalize)[0]
        return memory, vector, chosen

    def share_key(self, memory: NewMemory, i: int, n: int) -> None:
        """Give item ``i`` of ``n`` its part of the call's idempotency key."""
        if self._key is not None and memory.idempotency_key is None:
            memory.idempotency_key = self._key if n == 1 else f"{self._key}#{i}"

    def _scope(self, item: Mapping[str, Any]) -> Scope:
        given = tuple(item.get(name) for name in SCOPE_FIELDS)
        if given == _NO_SCOPE:
            return self._template.scope
        hashable = all(value is None or isinstance(value, str) for value in given)
        scope = self._scopes.get(given) if hashable else None
        if scope is None:
            named = dict(zip(SCOPE_FIELDS, given, strict=True))
            scope = self._scopes[given] = resolve_scope(named, self._template.scope, self._limits)
        return scope


def _take_vectors(drafts: Drafts, vectors: object, dim: int, names: Names) -> None:
    for i, own in enumerate(drafts.vectors):
        if own is not None:
            raise VectorError(
                f"{names.of(i)} has a vector and so has {names.vectors}[{i}]; give it once"
            )
    checked = check_vectors(vectors, len(drafts.memories), dim, normalize, names.vectors)
    drafts.vectors = list(checked)
