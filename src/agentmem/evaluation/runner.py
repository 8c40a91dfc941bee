"""Stores collections and asks their questions, timing both."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from agentmem.config import Limits
from agentmem.errors import InvalidInputError
from agentmem.evaluation.report import Evaluation, Outcome, Packed
from agentmem.inputs import shorten
from agentmem.types import SCOPE_FIELDS

if TYPE_CHECKING:
    from agentmem.evaluation.cases import Collection, Labelled, Question
    from agentmem.types import SearchMode

__all__ = ["Judged", "evaluate"]

_BATCH = 1000  # memories of one transaction
_DEEPER = 4  # how much further to look when too few labels were found

CountTokens = Callable[[Sequence[str]], list[int]]
_Ids = tuple[Any, ...]  # values of SCOPE_FIELDS
_Alike = tuple[_Ids, str]  # owner, and label with text


class Judged(Protocol):
    """What is asked of a ``Memory``, or of whatever is judged in the same way; ``context`` only
    where ``evaluate`` is to judge that."""

    @property
    def warm_up(self) -> Callable[[], None]: ...
    @property
    def add_batch(self) -> Callable[..., dict[str, Any]]: ...
    @property
    def search(self) -> Callable[..., dict[str, Any]]: ...
    @property
    def count(self) -> Callable[..., int]: ...
    @property
    def context(self) -> Callable[..., dict[str, Any]]: ...


def evaluate(
    memory: Judged,
    collections: Iterable[Collection],
    *,
    depth: int = 20,
    mode: SearchMode = "hybrid",
    count_tokens: CountTokens | None = None,
    context: float | None = None,
    template: Mapping[str, str] | None = None,
    done: Callable[[Evaluation], None] = lambda evaluation: None,
) -> Evaluation:
    """Store each collection, then search for each of its questions, one at a time.

    A memory is stored once, however often its collection is evaluated in the same store: by its
    ``id`` or ``idempotency_key``, else by its scope, its label and its text.

    The first search of a collection loads its index and is repeated; the time counted is that of
    a loaded one, the embedding of the question included.  Only one collection is held in memory
    here at a time.

    Args:
        depth: ranks that are judged (the largest k wanted), and the ``top_k`` that is timed.
            Where several memories share a label, a second search, untimed, goes as deep as it
            takes to have ``depth`` labels.
        count_tokens: how many tokens each of some texts has.
        context: also pack each question's ``Memory.context``, with a budget of this share of the
            tokens in the question's scope; needs ``count_tokens``.
        template: how such a context looks, as ``Memory.context`` takes it.
        done: called after each collection.

    Raises:
        InvalidInputError: the store has a memory under the key of one, with another text.
        AgentMemError: what ``add_batch`` and ``search`` raise.
    """
    memory.warm_up()
    evaluation = Evaluation(depth=depth, mode=mode)
    for collection in collections:
        asker = _Asker(memory, evaluation, count_tokens, context, template)
        asker.store(collection)
        asker.ask(collection)
        evaluation.collections += 1
        evaluation.left_out += collection.left_out
        done(evaluation)
    return evaluation


class _Asker:
    """One collection at work."""

    def __init__(
        self,
        memory: Judged,
        evaluation: Evaluation,
        count_tokens: CountTokens | None,
        context: float | None,
        template: Mapping[str, str] | None,
    ) -> None:
        self._memory = memory
        self._evaluation = evaluation
        self._count = count_tokens
        self._context = context
        self._template = template
        self._labels: dict[str, str] = {}  # memory id to label
        self._tokens: dict[str, int] = {}  # memory id to tokens
        self._owned: Counter[_Ids] = Counter()  # the same added up, by the ids of their owners
        self._stored: Counter[_Ids] = Counter()  # memories, by the ids of their owners

    def store(self, collection: Collection) -> None:
        alike: Counter[_Alike] = Counter()
        for start in range(0, len(collection.memories), _BATCH):
            batch = collection.memories[start : start + _BATCH]
            items = [_item(memory, alike) for memory in batch]
            begun = time.perf_counter()
            results = self._memory.add_batch(items)["results"]
            self._evaluation.ingest_seconds += time.perf_counter() - begun
            self._evaluation.added += sum(result["event"] == "ADD" for result in results)
            for memory, result in zip(batch, results, strict=True):
                self._stored[_owner(memory)] += result["id"] not in self._labels
                self._labels[result["id"]] = memory.label
                if result["memory"] != memory.item["content"]:
                    raise InvalidInputError(
                        f"memory {shorten(memory.label)} of the collection"
                        f" {shorten(collection.name)} is in the store with another text,"
                        f" {shorten(result['memory'])}; evaluate what has changed in a new store"
                    )
            if self._count is not None:
                counts = self._count([memory.item["content"] for memory in batch])
                for memory, result, tokens in zip(batch, results, counts, strict=True):
                    if result["id"] not in self._tokens:
                        self._tokens[result["id"]] = tokens
                        self._owned[_owner(memory)] += tokens
        self._evaluation.memories += len(collection.memories)

    def ask(self, collection: Collection) -> None:
        others: dict[tuple[tuple[str, str], ...], int] = {}  # by the scopes that are loaded
        for question in collection.questions:
            scope = tuple(sorted(question.scope.items()))
            if scope not in others:
                others[scope] = self._others_within(question.scope)
                self._search("what was said first?", question, 1)
            begun = time.perf_counter()
            found = self._search(question.text, question, self._evaluation.depth)
            seconds = time.perf_counter() - begun
            self._evaluation.outcomes.append(
                Outcome(
                    question=question,
                    collection=collection.name,
                    ranking=self._ranking(question, found),
                    score=found[0]["score"] if found else None,
                    support=self._support(question),
                    seconds=seconds,
                    tokens=[self._tokens.get(hit["id"], 0) for hit in found],
                    all_tokens=_within(self._owned, question.scope),
                    others=others[scope],
                    packed=self._pack(question),
                )
            )

    def _others_within(self, scope: Mapping[str, str]) -> int:
        """Memories that are searched and not of the collection."""
        given: dict[str, Any] = dict(scope)
        return max(0, self._memory.count(**given) - _within(self._stored, scope))

    def _pack(self, question: Question) -> Packed | None:
        if self._context is None or self._count is None:
            return None
        budget = int(self._context * _within(self._owned, question.scope))
        if budget < 1:
            return Packed(frozenset(), 0)
        scope: dict[str, Any] = dict(question.scope)
        made = self._memory.context(
            question.text,
            max_tokens=budget,
            tokenizer=self._count,
            template=self._template,
            asked_at=question.asked_at,
            **scope,
        )
        return Packed(frozenset(self._labels.get(one, one) for one in made["ids"]), made["tokens"])

    def _support(self, question: Question) -> float:
        """By a search of its own, which is not timed."""
        scope: dict[str, Any] = dict(question.scope)
        found = self._memory.search(
            question.text,
            top_k=1,
            mode=self._evaluation.mode,
            asked_at=question.asked_at,
            support=True,
            **scope,
        )
        support: float = found["support"]
        return support

    def _ranking(self, question: Question, found: list[dict[str, Any]]) -> list[str]:
        """The first ``depth`` labels, each where its best memory is."""
        wanted = asked = self._evaluation.depth
        most = min(len(self._labels), Limits().max_top_k)
        # A label of its own for each memory that was in the store before.
        while True:
            labels = dict.fromkeys(self._labels.get(hit["id"], hit["id"]) for hit in found)
            if len(labels) >= wanted or len(found) < asked or asked >= most:
                return list(labels)[:wanted]
            asked = min(asked * _DEEPER, most)
            found = self._search(question.text, question, asked)

    def _search(self, text: str, question: Question, top_k: int) -> list[dict[str, Any]]:
        scope: dict[str, Any] = dict(question.scope)
        found = self._memory.search(
            text,
            top_k=top_k,
            mode=self._evaluation.mode,
            asked_at=question.asked_at,
            **scope,
        )
        results: list[dict[str, Any]] = found["results"]
        return results


def _owner(memory: Labelled) -> _Ids:
    return tuple(memory.item.get(name) for name in SCOPE_FIELDS)


def _within(amounts: Counter[_Ids], scope: Mapping[str, str]) -> int:
    """The sum over the owners that a question in this scope can be answered from."""
    wanted = [(SCOPE_FIELDS.index(name), value) for name, value in scope.items()]
    return sum(
        amount
        for ids, amount in amounts.items()
        if all(ids[place] == value for place, value in wanted)
    )


def _item(memory: Labelled, alike: Counter[_Alike]) -> dict[str, Any]:
    """What to store: with a key by which it is known, in its scope, when it is stored again.
    ``alike`` tells memories of the same scope, label and text apart, in their order."""
    item = memory.item
    if item.get("id") is not None or item.get("idempotency_key") is not None:
        return item
    named = repr((memory.label, item.get("content")))
    alike[_owner(memory), named] += 1
    number = alike[_owner(memory), named]
    digest = hashlib.blake2b(f"{named}{number}".encode("utf-8", "replace"), digest_size=16)
    return {**item, "idempotency_key": f"eval:{digest.hexdigest()}"}
