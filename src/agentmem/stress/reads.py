"""Calls that read, and what their answers must be."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

from agentmem.stress.caller import OWN, TOP_K, Caller
from agentmem.stress.ledger import Entry, Past, UserLedger

__all__ = ["Reads"]

_OTHERS = 0.5  # share of the reads by id that go to what another worker wrote
_KNOWN = 0.3  # share of the searches that ask for one memory's own word
_QUERIES = 8  # of a batch
_PAGES = 3  # of a ranking that is read on
_RENEWED = 0.2  # share of the looks at the past after which another past is noted
_TOKENS = 200  # of a context
_OTHERS_SEEN = "a read sees others' writes"


class Reads(Caller):
    """Each checks what it is answered with what the ledger has."""

    async def search(self, ledger: UserLedger, intended: int) -> None:
        query, known = self._query(ledger)
        call = self._shared.memory.search(query, user_id=ledger.user, top_k=TOP_K)
        answer = await self._timed("search", intended, call)
        self._check_results(ledger, answer["results"], known)

    async def search_batch(self, ledger: UserLedger, intended: int) -> None:
        asked = [self._query(ledger) for _ in range(_QUERIES)]
        call = self._shared.memory.search_batch(
            [query for query, _ in asked], user_id=ledger.user, top_k=TOP_K
        )
        answers = await self._timed("search_batch", intended, call, rows=len(asked))
        for (_, known), answer in zip(asked, answers, strict=True):
            self._check_results(ledger, answer["results"], known)

    async def search_page(self, ledger: UserLedger, intended: int) -> None:
        """Page after page of one ranking, which together are what one search finds."""
        query, memory = self._shared.questions.one(self._chance), self._shared.memory
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        for _ in range(_PAGES):
            call = memory.search(query, user_id=ledger.user, top_k=TOP_K, cursor=cursor)
            page = await self._timed("search_page", intended, call)
            found += page["results"]
            cursor, intended = page["next_cursor"], perf_counter_ns()
            if cursor is None:
                break
        self._check_results(ledger, found, None)
        call = memory.search(query, user_id=ledger.user, top_k=_PAGES * TOP_K)
        whole = await self._timed("search", intended, call)
        ids, wanted = ([item["id"] for item in one] for one in (found, whole["results"]))
        self._shared.checks.that(
            ids == wanted,
            "pages are parts of one ranking",
            f"user {ledger.user}, {query!r}: {ids} instead of {wanted}",
        )

    async def search_vector(self, ledger: UserLedger, intended: int) -> None:
        known = ledger.any(self._chance)
        pool = self._shared.vectors
        assert pool is not None
        spot = self._chance.randrange(len(pool)) if known is None else known.spot
        dense = self._chance.random() < 0.5
        how = {"mode": "dense"} if dense else {"query": self._shared.questions.one(self._chance)}
        call = self._shared.memory.search(
            user_id=ledger.user, top_k=TOP_K, vector=pool.rows[spot], **how
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
        kind = OWN if entry.id in ledger.live else _OTHERS_SEEN
        self._check_item(entry, item, kind)
        return None

    async def get_batch(self, ledger: UserLedger, intended: int) -> None:
        entries = ledger.some(self._chance, 20)
        call = self._shared.memory.get_batch([entry.id for entry in entries])
        items = await self._timed("get_batch", intended, call, rows=len(entries))
        for entry, item in zip(entries, items, strict=True):
            self._check_item(entry, item, OWN)

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

    async def as_of(self, ledger: UserLedger, intended: int) -> None:
        """One of the reading calls, for a time at which it was noted what the scope held."""
        past = ledger.past
        if past is None or self._chance.random() < _RENEWED:
            past = ledger.note(self._chance)
        look = self._chance.choice((self._past_items, self._past_count, self._past_search))
        await look(ledger, past, intended)

    async def _past_items(self, ledger: UserLedger, past: Past, intended: int) -> None:
        call = self._shared.memory.get_batch(list(past.texts), as_of=past.at)
        items = await self._timed("as_of", intended, call, rows=len(past.texts))
        for (memory_id, text), item in zip(past.texts.items(), items, strict=True):
            self._check_past(past, memory_id, text, item)

    async def _past_count(self, ledger: UserLedger, past: Past, intended: int) -> None:
        call = self._shared.memory.count(user_id=ledger.user, as_of=past.at)
        found = await self._timed("as_of", intended, call)
        self._check_past(past, ledger.user, past.count, found)

    async def _past_search(self, ledger: UserLedger, past: Past, intended: int) -> None:
        if not past.texts:
            return await self._past_count(ledger, past, intended)
        memory_id = self._chance.choice(list(past.texts))
        call = self._shared.memory.search(
            past.texts[memory_id], user_id=ledger.user, as_of=past.at, top_k=TOP_K
        )
        found = await self._timed("as_of", intended, call)
        item = next((one for one in found["results"] if one["id"] == memory_id), None)
        self._check_past(past, memory_id, past.texts[memory_id], item)
        return None

    def _check_past(self, past: Past, what: str, wanted: object, found: Any) -> None:
        answered = found["memory"] if isinstance(found, dict) else found
        self._shared.checks.that(
            answered == wanted,
            "the past stays as it was",
            f"{what} as of {past.at}: {answered!r} instead of {wanted!r}",
        )

    def _query(self, ledger: UserLedger) -> tuple[str, Entry | None]:
        """What to ask for, and the memory that must be found if it is one's own word."""
        known = ledger.any(self._chance) if self._chance.random() < _KNOWN else None
        return self._shared.questions.one(self._chance) if known is None else known.code, known
