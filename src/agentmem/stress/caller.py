"""A call that is made, timed, and whose answer is checked.

A call is timed by itself; the checks that follow are not part of its time.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from agentmem.stress.content import Questions, VectorPool, code_word, sentences
from agentmem.stress.ledger import Bulletin, Checks, Entry, UserLedger
from agentmem.stress.plan import Scenario
from agentmem.stress.recorder import Recorder

__all__ = ["OWN", "TOP_K", "Caller", "FailedCallError", "Shared"]

TOP_K = 10
OWN = "a read sees its own writes"


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


class FailedCallError(Exception):
    """A call raised; it is counted already."""


class Caller:
    """One of those who make calls: what all kinds of calls need."""

    def __init__(self, shared: Shared, number: int, chance: random.Random) -> None:
        self._shared = shared
        self._number = number
        self._chance = chance
        self._serial = 0

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
            raise FailedCallError from error
        recorder.done(operation, intended, perf_counter_ns(), rows=rows, mark=mark)
        return answer

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
