"""A worker that makes calls for its users and checks every answer.

Each user belongs to one worker, so what a user's scope must hold is known exactly at any moment.
A call is timed by itself; the checks that follow are not part of its time.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from time import perf_counter_ns
from typing import Any

from agentmem.stress.content import Questions, VectorPool, code_word, sentences
from agentmem.stress.ledger import Bulletin, Checks, Entry, UserLedger
from agentmem.stress.plan import Scenario
from agentmem.stress.recorder import Recorder

__all__ = ["Actor", "Shared"]

_TOP_K = 10
_ANNOUNCED = 0.2  # share of the adds that others may check
_OTHERS = 0.5  # share of the reads by id that go to what another worker wrote
_KNOWN = 0.3  # share of the searches that ask for one memory's own word
_TOKENS = 200  # of a context
_OWN, _OTHERS_SEEN = "a read sees its own writes", "a read sees others' writes"


@dataclass(slots=True)
class Shared:
    """What the workers of a process have in common."""

    memory: Any  # a Memory whose calls are awaitable
    load: Scenario
    recorder: Recorder
    checks: Checks
    bulletin: Bulletin
    questions: Questions
    vectors: VectorPool | None
    process: int
    verify: float


class _FailedError(Exception):
    """A call raised; it is counted already."""


class Actor:
    """One worker."""

    def __init__(
        self, shared: Shared, number: int, users: Sequence[str], chance: random.Random
    ) -> None:
        self._shared = shared
        self._number = number
        self._ledgers = [UserLedger(user) for user in users]
        self._chance = chance
        self._serial = 0
        mix = shared.load.mix
        self._calls: list[Callable[[UserLedger, int], Awaitable[None]]] = [
            getattr(self, name) for name in mix
        ]
        self._weights = list(accumulate(mix.values()))

    @property
    def ledgers(self) -> Sequence[UserLedger]:
        return self._ledgers

    async def act(self, intended: int = 0) -> None:
        """Make one call by chance; ``intended`` (``perf_counter_ns``) is when it was to begin,
        0: now."""
        call = self._chance.choices(self._calls, cum_weights=self._weights)[0]
        ledger = self._ledgers[self._chance.randrange(len(self._ledgers))]
        with suppress(_FailedError):  # counted already
            await call(ledger, intended or perf_counter_ns())

    def drafts(self, count: int) -> list[tuple[UserLedger, Entry, dict[str, Any]]]:
        """New memories, spread over the users, as items for ``add_batch``; whoever stores them
        tells the ledger."""
        found = []
        for i in range(count):
            ledger = self._ledgers[i % len(self._ledgers)]
            entry = self._new(ledger)
            item = {"content": entry.text, "user_id": entry.user, **self._vector_of(entry)}
            found.append((ledger, entry, item))
        return found

    # -- writing --------------------------------------------------------------------------

    async def add(self, ledger: UserLedger, intended: int) -> None:
        entry = self._new(ledger)
        given = self._vector_of(entry)
        answer = await self._timed(
            "add", intended, self._shared.memory.add(entry.text, user_id=ledger.user, **given)
        )
        self._accept(ledger, [entry], answer)
        if self._chance.random() < self._shared.verify:
            await self._read_back(ledger, entry)
        if self._chance.random() < _ANNOUNCED:
            self._shared.bulletin.announce(entry)

    async def add_batch(self, ledger: UserLedger, intended: int) -> None:
        entries = [self._new(ledger) for _ in range(self._shared.load.batch)]
        call = self._shared.memory.add_batch([one.text for one in entries], user_id=ledger.user)
        answer = await self._timed("add_batch", intended, call, rows=len(entries))
        self._accept(ledger, entries, answer)
        if self._chance.random() < self._shared.verify:
            await self._read_back(ledger, self._chance.choice(entries))

    async def update(self, ledger: UserLedger, intended: int) -> None:
        entry = ledger.any(self._chance, changeable=True)
        if entry is None:
            return await self.add(ledger, intended)
        text = f"{self._chance.choice(sentences())} (again, {entry.code})"
        answer = await self._timed("update", intended, self._shared.memory.update(entry.id, text))
        (result,) = answer["results"]
        self._shared.checks.that(
            result["previous_memory"] == entry.text,
            "an update tells what was there before",
            f"{entry.id}: {result['previous_memory']!r} instead of {entry.text!r}",
        )
        entry.text = text
        entry.revision += 1
        if self._chance.random() < self._shared.verify:
            await self._read_back(ledger, entry)
        return None

    async def delete(self, ledger: UserLedger, intended: int) -> None:
        entry = ledger.any(self._chance, changeable=True)
        if entry is None:
            return await self.add(ledger, intended)
        await self._timed("delete", intended, self._shared.memory.delete(entry.id))
        ledger.removed(entry)
        if self._chance.random() < self._shared.verify:
            found = await self._timed("get", perf_counter_ns(), self._shared.memory.get(entry.id))
            self._shared.checks.that(
                found is None, "what was deleted is gone", f"{entry.id} is still there"
            )
        return None

    # -- reading --------------------------------------------------------------------------

    async def search(self, ledger: UserLedger, intended: int) -> None:
        known = ledger.any(self._chance) if self._chance.random() < _KNOWN else None
        query = self._shared.questions.one(self._chance) if known is None else known.code
        call = self._shared.memory.search(query, user_id=ledger.user, top_k=_TOP_K)
        answer = await self._timed("search", intended, call)
        self._check_results(ledger, answer["results"], known)

    async def search_vector(self, ledger: UserLedger, intended: int) -> None:
        known = ledger.any(self._chance)
        pool = self._shared.vectors
        assert pool is not None
        spot = self._chance.randrange(len(pool)) if known is None else known.spot
        dense = self._chance.random() < 0.5
        how = {"mode": "dense"} if dense else {"query": self._shared.questions.one(self._chance)}
        call = self._shared.memory.search(
            user_id=ledger.user, top_k=_TOP_K, vector=pool.rows[spot], **how
        )
        answer = await self._timed("search_vector", intended, call)
        results = answer["results"]
        self._check_results(ledger, results, None)
        if dense and known is not None:
            first = ledger.live.get(results[0]["id"]) if results else None
            self._shared.checks.that(
                first is not None and first.spot == spot,
                "the nearest vector comes first",
                f"user {ledger.user}, vector {spot}: {results[:1]}",
            )

    async def get(self, ledger: UserLedger, intended: int) -> None:
        entry = None
        if self._chance.random() < _OTHERS:
            entry = self._shared.bulletin.any(self._chance)
        entry = entry or ledger.any(self._chance)
        if entry is None:
            return await self.search(ledger, intended)
        item = await self._timed("get", intended, self._shared.memory.get(entry.id))
        kind = _OWN if entry.id in ledger.live else _OTHERS_SEEN
        self._check_item(entry, item, kind)
        return None

    async def get_batch(self, ledger: UserLedger, intended: int) -> None:
        entries = list(
            {one.id: one for _ in range(20) if (one := ledger.any(self._chance))}.values()
        )
        call = self._shared.memory.get_batch([entry.id for entry in entries])
        items = await self._timed("get_batch", intended, call, rows=len(entries))
        for entry, item in zip(entries, items, strict=True):
            self._check_item(entry, item, _OWN)

    async def page(self, ledger: UserLedger, intended: int) -> None:
        call = self._shared.memory.get_all(user_id=ledger.user, limit=50, order="-created_at")
        page = await self._timed("page", intended, call)
        self._check_results(ledger, page["results"], None)
        self._shared.checks.that(
            len(page["results"]) == min(50, len(ledger.live)),
            "a page is as long as it can be",
            f"user {ledger.user}: {len(page['results'])} of {len(ledger.live)}",
        )

    async def count(self, ledger: UserLedger, intended: int) -> None:
        call = self._shared.memory.count(user_id=ledger.user)
        found = await self._timed("count", intended, call)
        self._shared.checks.that(
            found == len(ledger.live),
            "a scope counts what was acknowledged",
            f"user {ledger.user}: {found} instead of {len(ledger.live)}",
        )

    async def history(self, ledger: UserLedger, intended: int) -> None:
        entry = ledger.any(self._chance)
        if entry is None:
            return await self.count(ledger, intended)
        events = await self._timed("history", intended, self._shared.memory.history(entry.id))
        self._shared.checks.that(
            len(events) == 1 + entry.revision and events[-1]["new_memory"] == entry.text,
            "the history has every change",
            f"{entry.id}: {len(events)} events after {entry.revision} updates",
        )
        return None

    async def context(self, ledger: UserLedger, intended: int) -> None:
        query = self._shared.questions.one(self._chance)
        call = self._shared.memory.context(query, user_id=ledger.user, max_tokens=_TOKENS)
        packed = await self._timed("context", intended, call)
        self._shared.checks.that(
            packed["tokens"] <= _TOKENS and ledger.live.keys() >= set(packed["ids"]),
            "a context keeps to its budget and scope",
            f"user {ledger.user}: {packed['tokens']} tokens, ids {packed['ids']}",
        )

    # -- checks ---------------------------------------------------------------------------

    async def _read_back(self, ledger: UserLedger, entry: Entry) -> None:
        """What was acknowledged is there for the next read and the next search."""
        memory = self._shared.memory
        item = await self._timed("get", perf_counter_ns(), memory.get(entry.id))
        self._check_item(entry, item, _OWN)
        call = memory.search(entry.code, user_id=entry.user, mode="keyword", top_k=_TOP_K)
        found = await self._timed("search", perf_counter_ns(), call)
        self._check_results(ledger, found["results"], entry)

    def _check_results(
        self, ledger: UserLedger, results: Sequence[dict[str, Any]], known: Entry | None
    ) -> None:
        checks = self._shared.checks
        strangers = [item["id"] for item in results if item["user_id"] != ledger.user]
        checks.that(
            not strangers, "a result obeys its scope", f"user {ledger.user} was shown {strangers}"
        )
        for item in results:
            entry = ledger.live.get(item["id"])
            checks.that(
                entry is not None and entry.text == item["memory"],
                "a result is what was last written",
                f"user {ledger.user}: {item['id']}"
                + (" was deleted" if item["id"] in ledger.gone else f" says {item['memory']!r}"),
            )
        scores = [item["score"] for item in results if "score" in item]
        checks.that(
            scores == sorted(scores, reverse=True), "the best comes first", f"scores {scores}"
        )
        if known is not None:
            checks.that(
                any(item["id"] == known.id for item in results),
                "a search finds what was written",
                f"user {ledger.user}: {known.code} is not among {len(results)} results",
            )

    def _check_item(self, entry: Entry, item: dict[str, Any] | None, kind: str) -> None:
        right = item is not None and item["memory"] == entry.text and item["user_id"] == entry.user
        self._shared.checks.that(
            right, kind, f"{entry.id} of {entry.user} is {item and item['memory']!r}"
        )

    # -- calling --------------------------------------------------------------------------

    async def _timed(
        self, operation: str, intended: int, call: Awaitable[Any], rows: int = 1
    ) -> Any:
        recorder = self._shared.recorder
        mark = recorder.stalls.mark()
        try:
            answer = await call
        except Exception as error:  # counted under its class, told in the report, and raised
            kind = type(error).__name__
            recorder.done(operation, intended, perf_counter_ns(), rows=0, error=kind)
            raise _FailedError from error
        recorder.done(operation, intended, perf_counter_ns(), rows=rows, mark=mark)
        return answer

    def _new(self, ledger: UserLedger) -> Entry:
        """A memory that is not stored yet."""
        self._serial += 1
        code = code_word(self._shared.process, self._number, self._serial)
        text = f"{self._chance.choice(sentences())} ({code})"
        pool = self._shared.vectors
        spot = 0 if pool is None else self._chance.randrange(len(pool))
        return Entry("", ledger.user, code, text, spot)

    def _vector_of(self, entry: Entry) -> dict[str, Any]:
        pool = self._shared.vectors
        return {} if pool is None else {"vector": pool.rows[entry.spot]}

    def _accept(self, ledger: UserLedger, entries: Sequence[Entry], answer: Any) -> None:
        for entry, result in zip(entries, answer["results"], strict=True):
            self._shared.checks.that(
                result["event"] == "ADD" and result["memory"] == entry.text,
                "an add is answered with what was stored",
                f"{entry.text!r} is answered with {result}",
            )
            entry.id = result["id"]
            ledger.added(entry)
