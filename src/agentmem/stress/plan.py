"""What is to be done, by how many, for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from agentmem.errors import InvalidInputError

__all__ = ["KINDS", "SCENARIOS", "Kind", "Phase", "Plan", "Scenario"]

Kind = Literal["threads", "tasks", "processes"]
KINDS: tuple[Kind, ...] = ("threads", "tasks", "processes")

MOST_USERS = 20_000
_SHARE_OF_PEAK = "%"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which calls are made, in which proportions."""

    about: str
    mix: Mapping[str, float]  # method of ``Actor`` -> its share of the calls
    size: int  # memories stored before it begins, unless said otherwise
    vectors: bool = False  # memories and queries come with their vectors
    batch: int = 100  # memories of one batch that writes
    queries: int = 0  # only so many different questions, the first ones most often; 0: any
    steady: bool = False  # who has twice as many memories as at first deletes instead of adding


SCENARIOS: dict[str, Scenario] = {
    "creation": Scenario("single adds", {"add": 1.0}, size=0),
    "retrieval": Scenario(
        "searches by text, and reads by id", {"search": 0.8, "get": 0.15, "page": 0.05}, size=5_000
    ),
    "vector": Scenario(
        "searches with their vectors given, dense and hybrid",
        {"search_vector": 0.95, "add": 0.05},
        size=5_000,
        vectors=True,
    ),
    "batch": Scenario(
        "batches of adds, and reads of many ids", {"add_batch": 0.9, "get_batch": 0.1}, size=0
    ),
    "concurrent": Scenario(
        "70 % reads, 20 % adds, 10 % updates and deletes",
        {"search": 0.5, "get": 0.2, "add": 0.2, "update": 0.06, "delete": 0.04},
        size=5_000,
    ),
    "cache": Scenario(
        "the same few questions again and again, with an add now and then",
        {"search": 0.99, "add": 0.01},
        size=5_000,
        queries=200,
    ),
    "mixed": Scenario(
        "reads and writes of every kind, for a long run: the memories do not become more",
        {
            "search": 0.355,
            "search_batch": 0.005,
            "search_page": 0.005,
            "as_of": 0.005,
            "get": 0.15,
            "get_batch": 0.02,
            "page": 0.02,
            "count": 0.02,
            "history": 0.02,
            "context": 0.02,
            "add": 0.14,
            "add_batch": 0.005,
            "update": 0.06,
            "update_batch": 0.003,
            "delete": 0.17,
            "delete_batch": 0.002,
        },
        size=5_000,
        batch=10,
        steady=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time under one kind of load."""

    name: str
    seconds: float
    warm_up: float  # seconds before that, whose calls are made and not reported
    rate: float | None  # calls a second that begin whatever became of earlier ones; None: each
    # worker begins its next call when the last one is done


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.  ``None`` and 0 mean what the scenario or the machine suggests."""

    scenario: str
    kind: Kind = "threads"
    workers: int = 4  # threads, tasks or processes that make calls
    users: int = 100  # scopes; every one belongs to one worker, which alone writes in it
    seconds: float = 10.0
    warm_up: float = 1.0
    rate: str = ""  # "": closed loop; "500": calls a second; "50%": of the closed loop's peak
    size: int | None = None
    seed: int = 1
    embedder: str = "static"
    timeout: float = 30.0  # seconds after which a call counts as timed out, though it goes on
    verify: float = 0.1  # share of the writes that are read back at once

    def __post_init__(self) -> None:
        """
        Raises:
            InvalidInputError: a value that makes no sense.
        """
        if self.scenario not in SCENARIOS:
            known = ", ".join(SCENARIOS)
            raise InvalidInputError(f"there is no scenario {self.scenario!r}; known: {known}")
        if self.kind not in KINDS:
            raise InvalidInputError(f"workers are {', '.join(KINDS)}, not {self.kind!r}")
        if not 1 <= self.workers <= MOST_USERS or not 1 <= self.users <= MOST_USERS:
            raise InvalidInputError(
                f"workers and users lie between 1 and {MOST_USERS:,}, not {self.workers} and"
                f" {self.users}"
            )
        if self.workers > self.users:
            raise InvalidInputError(
                f"{self.workers} workers need as many users or more, not {self.users}"
            )
        if not (self.seconds > 0 and self.warm_up >= 0 and self.timeout > 0):
            raise InvalidInputError("seconds and timeout must be positive, warm_up not negative")
        if not 0 <= self.verify <= 1:
            raise InvalidInputError(f"verify is a share from 0 to 1, not {self.verify}")
        self._read_rate()

    @property
    def load(self) -> Scenario:
        return SCENARIOS[self.scenario]

    @property
    def stored(self) -> int:
        """Memories stored before the first phase."""
        return self.load.size if self.size is None else self.size

    @property
    def share_of_peak(self) -> float | None:
        """Of an open loop whose rate depends on what a closed one reaches."""
        return self._read_rate()[1]

    @property
    def most_of_a_user(self) -> int | None:
        """Memories that a user may have before deleting takes the place of adding; None: any.

        Adding and deleting at equal rates is not enough: the sum of steps by chance, which
        cannot fall under zero, grows with the root of their number.
        """
        if not self.load.steady:
            return None
        return 2 * max(self.load.batch, self.stored // self.users)

    def phases(self) -> list[Phase]:
        """The phases whose load is known; one at a share of the peak follows them."""
        rate, share = self._read_rate()
        if share is not None or rate is None:
            return [Phase("closed loop", self.seconds, self.warm_up, None)]
        return [Phase("open loop", self.seconds, self.warm_up, rate)]

    def at_share(self, peak: float) -> Phase:
        """The open loop after a closed one that reached ``peak`` calls a second."""
        share = self.share_of_peak
        assert share is not None
        return Phase("open loop", self.seconds, self.warm_up, max(1.0, share * peak))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "size": self.stored}

    def _read_rate(self) -> tuple[float | None, float | None]:
        """Calls a second, and a share of the peak: one of them or neither."""
        text = self.rate.strip()
        if not text:
            return None, None
        try:
            number = float(text.removesuffix(_SHARE_OF_PEAK))
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            raise InvalidInputError(
                f"rate {self.rate!r} is neither calls a second such as 500 nor a share of the"
                " peak such as 50%"
            )
        if text.endswith(_SHARE_OF_PEAK):
            return None, number / 100
        return number, None
