"""A worker that makes calls for its users and checks every answer.

Each user belongs to one worker, so what a user's scope must hold is known exactly at any moment.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from time import perf_counter_ns
from typing import Any

from agentmem.stress.caller import FailedCallError, Shared
from agentmem.stress.ledger import Entry, UserLedger
from agentmem.stress.reads import Reads
from agentmem.stress.writes import Writes

__all__ = ["Actor"]

_INSTEAD = {"add": "delete", "add_batch": "delete_batch"}


class Actor(Reads, Writes):
    """One worker."""

    def __init__(
        self,
        shared: Shared,
        number: int,
        users: Sequence[str],
        chance: random.Random,
        most: int | None = None,
    ) -> None:
        """``most``: memories of a user who, once there are so many, deletes instead of adding."""
        super().__init__(shared, number, chance)
        self._ledgers = [UserLedger(user) for user in users]
        self._most = most
        mix = shared.load.mix
        self._calls = list(mix)
        self._weights = list(accumulate(mix.values()))

    @property
    def ledgers(self) -> Sequence[UserLedger]:
        return self._ledgers

    async def act(self, intended: int = 0) -> None:
        """Make one call by chance; ``intended`` (``perf_counter_ns``) is when it was to begin,
        0: now."""
        name = self._chance.choices(self._calls, cum_weights=self._weights)[0]
        ledger = self._ledgers[self._chance.randrange(len(self._ledgers))]
        if self._most is not None and len(ledger.live) >= self._most:
            name = _INSTEAD.get(name, name)
        call: Callable[[UserLedger, int], Awaitable[None]] = getattr(self, name)
        with suppress(FailedCallError):  # counted already
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
