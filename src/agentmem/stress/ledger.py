"""What the store has acknowledged, and so must answer."""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

__all__ = ["Bulletin", "Checks", "Entry", "Past", "UserLedger"]

_KEPT = 500  # announcements that a reader chooses among
_REMEMBERED = 100  # deleted ids of a user, so that a long run does not fill the memory
_NOTED = 5  # memories of a past state
_EXAMPLES = 20  # violations that are told in full


@dataclass(slots=True)
class Entry:
    """One memory as it was last acknowledged."""

    id: str
    user: str
    code: str  # the word that only this memory has
    text: str
    spot: int = 0  # number of its vector
    public: bool = False  # announced to others, and not to be changed
    place: int = 0  # in its ledger's list
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Past:
    """What a scope held at a time, some of it in full."""

    at: datetime
    count: int
    texts: dict[str, str]  # by id


class UserLedger:
    """One user's memories.  Only the worker that owns the user changes or reads it."""

    __slots__ = ("_list", "gone", "live", "past", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.live: dict[str, Entry] = {}
        self.gone: deque[str] = deque(maxlen=_REMEMBERED)  # ids deleted lately
        self.past: Past | None = None  # as it was last noted
        self._list: list[Entry] = []

    def added(self, entry: Entry) -> None:
        entry.place = len(self._list)
        self._list.append(entry)
        self.live[entry.id] = entry

    def removed(self, entry: Entry) -> None:
        del self.live[entry.id]
        self.gone.append(entry.id)
        last = self._list.pop()
        if last is not entry:
            last.place = entry.place
            self._list[entry.place] = last

    def any(self, chance: random.Random, *, changeable: bool = False) -> Entry | None:
        """One of them by chance; ``changeable``: none that was announced, or None."""
        for _ in range(4):
            if not self._list:
                return None
            entry = self._list[chance.randrange(len(self._list))]
            if not (changeable and entry.public):
                return entry
        return None

    def some(self, chance: random.Random, count: int, *, changeable: bool = False) -> list[Entry]:
        """Up to ``count`` different ones, in an order by chance; see ``any``."""
        found: dict[str, Entry] = {}
        for _ in range(2 * count):
            if len(found) < count and (entry := self.any(chance, changeable=changeable)):
                found[entry.id] = entry
        return list(found.values())

    def note(self, chance: random.Random) -> Past:
        """Keep what is there now.  Nobody writes in the scope meanwhile: what was acknowledged
        was committed before, by the clock of this machine, and what is to come will be later."""
        texts = {entry.id: entry.text for entry in self.some(chance, _NOTED)}
        self.past = Past(datetime.now(UTC), len(self.live), texts)
        return self.past


class Bulletin:
    """Memories that everybody may check: acknowledged, and not changed as long as somebody may.

    Within a process they are handed over in memory, between processes by lines appended to a
    file, each with one ``write``.
    """

    def __init__(self, path: Path | None = None, patience: float = 0.0) -> None:
        """``patience``: seconds that a reader may take from choosing a memory to its answer."""
        self._patience = patience
        self._known: deque[Entry] = deque(maxlen=_KEPT)
        # Of those that this process has announced:
        self._own: deque[Entry] = deque()  # somebody may choose these
        self._left: deque[tuple[float, Entry]] = (
            deque()
        )  # since when nobody does; not to be changed
        self._out = None if path is None else path.open("ab", buffering=0)
        self._in = None if path is None else path.open("rb")
        self._part = b""
        self._lock = Lock()

    def announce(self, entry: Entry) -> None:
        entry.public = True
        self._own.append(entry)
        now = monotonic()
        if len(self._own) > _KEPT:
            self._left.append((now, self._own.popleft()))
        while self._left and self._left[0][0] <= now - self._patience:
            self._left.popleft()[1].public = False
        if self._out is None:
            self._known.append(entry)
        else:
            line = "\t".join((entry.id, entry.user, entry.code, str(entry.spot), entry.text))
            self._out.write(line.encode() + b"\n")

    def any(self, chance: random.Random) -> Entry | None:
        """One of the last announced, of this process or another."""
        if self._in is not None:
            self._catch_up()
        try:
            return self._known[chance.randrange(len(self._known))]
        except (IndexError, ValueError):
            return None

    def close(self) -> None:
        for file in (self._in, self._out):
            if file is not None:
                file.close()

    def _catch_up(self) -> None:
        assert self._in is not None
        with self._lock:
            *lines, self._part = (self._part + self._in.read(1 << 16)).split(b"\n")
        for line in lines:
            memory_id, user, code, spot, text = line.decode().split("\t")
            self._known.append(Entry(memory_id, user, code, text, int(spot), public=True))


class Checks:
    """How many answers were checked, and which were wrong.  Any thread may call."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        self.examples: list[str] = []
        self._lock = Lock()

    def that(self, holds: bool, kind: str, detail: str) -> bool:
        """Note one check; ``detail`` tells what was wrong if it does not hold."""
        with self._lock:
            self.made[kind] += 1
            if not holds:
                self.violations[kind] += 1
                if len(self.examples) < _EXAMPLES:
                    self.examples.append(f"{kind}: {detail}")
        return holds

    def merge(self, other: dict[str, Any]) -> None:
        """What ``to_dict`` of another process says."""
        self.made.update(other["made"])
        self.violations.update(other["violations"])
        self.examples = (self.examples + other["examples"])[:_EXAMPLES]

    def to_dict(self) -> dict[str, Any]:
        return {
            "made": dict(sorted(self.made.items())),
            "violations": dict(sorted(self.violations.items())),
            "examples": list(self.examples),
        }
