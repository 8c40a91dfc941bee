"""Calls that write.  Whoever makes them alone writes for its users, and so knows what is there."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

from agentmem.stress.caller import OWN, TOP_K, Caller
from agentmem.stress.content import sentences
from agentmem.stress.ledger import Entry, UserLedger

__all__ = ["Writes"]

_ANNOUNCED = 0.2  # share of the adds that others may check


class Writes(Caller):
    """Each writes, tells the ledger, and now and then reads back."""

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
        text = self._reworded(entry)
        answer = await self._timed("update", intended, self._shared.memory.update(entry.id, text))
        await self._changed(ledger, [entry], [text], answer)
        return None

    async def update_batch(self, ledger: UserLedger, intended: int) -> None:
        entries = ledger.some(self._chance, self._shared.load.batch, changeable=True)
        if not entries:
            return await self.add(ledger, intended)
        texts = [self._reworded(entry) for entry in entries]
        items = [{"id": e.id, "text": text} for e, text in zip(entries, texts, strict=True)]
        call = self._shared.memory.update_batch(items)
        answer = await self._timed("update_batch", intended, call, rows=len(items))
        await self._changed(ledger, entries, texts, answer)
        return None

    async def delete(self, ledger: UserLedger, intended: int) -> None:
        entry = ledger.any(self._chance, changeable=True)
        if entry is None:
            return await self.add(ledger, intended)
        await self._timed("delete", intended, self._shared.memory.delete(entry.id))
        await self._removed(ledger, [entry])
        return None

    async def delete_batch(self, ledger: UserLedger, intended: int) -> None:
        entries = ledger.some(self._chance, self._shared.load.batch, changeable=True)
        if not entries:
            return await self.add(ledger, intended)
        call = self._shared.memory.delete_batch([entry.id for entry in entries])
        await self._timed("delete_batch", intended, call, rows=len(entries))
        await self._removed(ledger, entries)
        return None

    # -- what was acknowledged --------------------------------------------------------------

    def _accept(self, ledger: UserLedger, entries: Sequence[Entry], answer: Any) -> None:
        for entry, result in zip(entries, answer["results"], strict=True):
            self._shared.checks.that(
                result["event"] == "ADD" and result["memory"] == entry.text,
                "an add is answered with what was stored",
                f"{entry.text!r} is answered with {result}",
            )
            entry.id = result["id"]
            ledger.added(entry)

    def _reworded(self, entry: Entry) -> str:
        return f"{self._chance.choice(sentences())} (again, {entry.code})"

    async def _changed(
        self, ledger: UserLedger, entries: Sequence[Entry], texts: Sequence[str], answer: Any
    ) -> None:
        for entry, text, result in zip(entries, texts, answer["results"], strict=True):
            self._shared.checks.that(
                result["previous_memory"] == entry.text,
                "an update tells what was there before",
                f"{entry.id}: {result['previous_memory']!r} instead of {entry.text!r}",
            )
            entry.text = text
            entry.revision += 1
        if self._chance.random() < self._shared.verify:
            await self._read_back(ledger, self._chance.choice(entries))

    async def _removed(self, ledger: UserLedger, entries: Sequence[Entry]) -> None:
        for entry in entries:
            ledger.removed(entry)
        if self._chance.random() < self._shared.verify:
            ids = [entry.id for entry in entries]
            call = self._shared.memory.get_batch(ids)
            found = await self._timed("get_batch", perf_counter_ns(), call, rows=len(ids))
            for memory_id, item in zip(ids, found, strict=True):
                self._shared.checks.that(
                    item is None, "what was deleted is gone", f"{memory_id} is still there"
                )

    async def _read_back(self, ledger: UserLedger, entry: Entry) -> None:
        """What was acknowledged is there for the next read and the next search."""
        memory = self._shared.memory
        item = await self._timed("get", perf_counter_ns(), memory.get(entry.id))
        self._check_item(entry, item, OWN)
        call = memory.search(entry.code, user_id=entry.user, mode="keyword", top_k=TOP_K)
        found = await self._timed("search", perf_counter_ns(), call)
        self._check_results(ledger, found["results"], entry)
