"""Settings, with their defaults and what they mean.

``Config.from_dict`` takes nested plain dictionaries and refuses unknown names.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_type_hints

from agentmem.errors import ConfigError
from agentmem.inputs import clip, shorten

__all__ = [
    "Config",
    "EmbeddingConfig",
    "IndexConfig",
    "Limits",
    "ProjectionConfig",
    "RankingConfig",
    "SearchConfig",
    "StoreConfig",
    "TelemetryConfig",
    "WriteConfig",
    "usable_cores",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits; a value beyond one raises ``LimitError`` naming the setting."""

    max_content_bytes: int = 1_000_000  # UTF-8 bytes of one memory's text
    max_metadata_bytes: int = 256_000  # UTF-8 bytes of one memory's metadata as JSON
    max_scope_bytes: int = 512  # UTF-8 bytes of a scope id, actor, role, level or idempotency key
    max_batch: int = 100_000  # items of one batch
    max_top_k: int = 10_000
    max_page: int = 10_000  # ``limit`` of get_all
    max_query_bytes: int = 1_000_000
    max_filter_depth: int = 32  # nesting of AND / OR / NOT
    max_filter_nodes: int = 10_000  # conditions and operands of one filter


_MOST_CALLS = 256
_PROJECTION_BOUNDS = {  # least and most; those of the index are LanceDB's
    "batch_rows": (1, 1_000_000_000),
    "batch_bytes": (1, 1 << 40),
    "index_partitions": (0, 1_000_000),
    "index_m": (4, 1_000),
    "index_ef": (4, 100_000),
}
_LONGEST_WAIT = 1_000_000  # seconds; eleven days
_MOST_WEIGHT = 1_000_000  # of a part; the sum of them all stays a number
_MOST_WINDOW = 100  # memories on each side
_MOST_K1 = 1_000  # no word is said that often in a memory, so that BM25 is as good as linear
_LEAST_DAYS = 1e-6  # a tenth of a second


@dataclass(frozen=True, slots=True)
class EmbeddingConfig:
    """How texts become vectors."""

    sessions: int = 0  # model calls at the same time; 0: one per usable core, at most 8
    threads_per_session: int = 1  # more than 1: each call's own, and a copy of the weights each
    threads_alone: int = 0  # of a call that runs by itself; 0: one per usable core, at most 4
    max_batch_tokens: int = 512  # padded tokens of one model call; larger ones leave the cache
    max_length: int = 0  # tokens kept of a text; 0: the model's own limit
    cache_entries: int = 10_000  # vectors kept in memory by their text; 0: none
    cache_bytes: int = 64 << 20  # of those, keys and all
    cache_ttl: float = 0.0  # seconds one is kept; 0: until others need its room

    def __post_init__(self) -> None:
        if self.sessions > _MOST_CALLS:
            raise ConfigError(
                f"config.embedding.sessions must be at most {_MOST_CALLS}, not"
                f" {shorten(self.sessions)}; more model calls at the same time than cores only"
                " wait for one another"
            )
        for name in ("threads_per_session", "threads_alone"):
            if getattr(self, name) > _MOST_CALLS:
                raise ConfigError(
                    f"config.embedding.{name} must be at most {_MOST_CALLS}, not"
                    f" {shorten(getattr(self, name))}; threads beyond the cores only wait for"
                    " one another"
                )

    @property
    def calls(self) -> int:
        """Model calls at the same time: ``sessions``, or what 0 stands for here."""
        return self.sessions or min(usable_cores(), 8)

    @property
    def wide(self) -> int:
        """Threads of a call that runs by itself: ``threads_alone``, or what 0 stands for here."""
        return self.threads_alone or min(usable_cores(), 4)


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """SQLite."""

    durability: Literal["full", "normal", "off"] = "full"  # SQLite's ``synchronous``
    readers: int = 8  # most read connections kept open
    lock_timeout: float = 30.0  # seconds to wait for the write lock or a reader
    cache_mib: int = 16  # page cache of the writing connection; those that read have 2 at most
    reserve_mib: int = 16  # put aside at most, to free a full disk from inside; 0: nothing

    def __post_init__(self) -> None:
        _check_wait("store.lock_timeout", self.lock_timeout)


@dataclass(frozen=True, slots=True)
class WriteConfig:
    """How concurrent callers share embedding batches and transactions."""

    leaders: int = 0  # shared batches at the same time; 0: by ``embedding.sessions``, 2 or more
    shared_rows: int = 256  # most rows of a shared batch
    alone_rows: int = 64  # a call with more rows than this shares with nobody
    queue_calls: int = 1024  # calls inside at the same time; the others wait for room
    queue_timeout: float = 30.0  # seconds without any progress after which those give up

    def __post_init__(self) -> None:
        _check_wait("write.queue_timeout", self.queue_timeout)


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """The hot index in memory."""

    max_bytes: int = 1 << 30  # loaded partitions; the least recently used leave first
    large_rows: int = 200_000  # from this many memories a partition stays on disk; 0: never
    parallel: bool = True  # a search of such a one uses a second thread, if that is free


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """What searches keep in memory beside the index."""

    items_bytes: int = 32 << 20  # memories that were found lately, as they are answered; 0: none
    answers: int = 1_000  # answers kept for the same question asked again; 0: none
    answers_bytes: int = 16 << 20  # of those, with the memories in them


@dataclass(frozen=True, slots=True)
class RankingConfig:
    """How hybrid search scores: the weighted mean of the parts, see ``docs/ranking.md``.

    A part with weight 0 is switched off.  ``k1`` is what Anserini uses for short passages;
    memories are short, too.
    """

    dense_weight: float = 0.4  # cosine of the vectors
    keyword_weight: float = 0.6  # BM25 of the text
    window_weight: float = 0.5  # BM25 of the text with those around it in its run
    neighbour_weight: float = 0.15  # cosine and BM25 of the text before and of the one after
    run_keyword_weight: float = 0.2  # BM25 of its whole run
    run_dense_weight: float = 0.3  # highest cosine in its run
    actor_weight: float = 0.15  # said by, or else mentioning, somebody the question names
    date_weight: float = 0.2  # happened at or soon after a date that the question names
    length_weight: float = 0.1  # longer texts say more
    recency_weight: float = 0.0  # how lately it happened
    importance_weight: float = 0.0  # ``importance`` as it was given
    window: int = 2  # memories on each side that belong to the window
    date_days: float = 14.0  # after which a date in the question no longer counts
    recency_days: float = 30.0  # after which recency has halved
    k1: float = 0.9  # BM25 term saturation (Robertson & Zaragoza 2009), at most 1,000
    b: float = 0.75  # BM25 length normalisation, 0 to 1

    def __post_init__(self) -> None:
        for setting in fields(self):
            if setting.name.endswith("_weight"):
                self._check_most(setting.name, _MOST_WEIGHT)
        self._check_most("window", _MOST_WINDOW)
        self._check_most("k1", _MOST_K1)
        self._check_most("b", 1)
        if self.dense_weight + self.keyword_weight == 0:
            raise ConfigError(
                "config.ranking.dense_weight and keyword_weight are both 0; hybrid search needs"
                " at least one above 0"
            )
        if self.recency_weight and self.recency_days < _LEAST_DAYS:
            raise ConfigError(
                f"config.ranking.recency_days must be at least {_LEAST_DAYS:g} for recency_weight,"
                f" not {self.recency_days:g}"
            )

    def _check_most(self, name: str, most: int) -> None:
        value = getattr(self, name)
        if not 0 <= value <= most:
            raise ConfigError(
                f"config.ranking.{name} must be from 0 to {most:,}, not {shorten(value)}"
            )


@dataclass(frozen=True, slots=True)
class ProjectionConfig:
    """The LanceDB table."""

    enabled: bool = True
    uri: str = ""  # any LanceDB URI; empty: ``vectors.lance`` inside the store
    drain_rows: int = 10_000  # drain in the background once the tail is this long
    drain_in: Literal["process", "thread"] = "process"  # of low priority; a thread of this one
    batch_rows: int = 50_000  # events of one batch of Arrow rows
    batch_bytes: int = 32 << 20  # of those rows; two batches are in memory at the same time
    index_rows: int = 100_000  # build indexes, in a child process, from so many rows on; 0: never
    index_tail: int = 10_000  # extend them over new rows once there are more than so many
    index_type: Literal["auto", "ivf_hnsw_sq", "ivf_pq", "ivf_rq"] = "auto"  # of the vectors
    index_partitions: int = 0  # of the vectors; 0: by the number of rows
    index_m: int = 16  # IVF_HNSW_SQ: edges of a node
    index_ef: int = 100  # IVF_HNSW_SQ: candidates looked at for each while building

    def __post_init__(self) -> None:
        for name, (least, most) in _PROJECTION_BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(
                    f"config.projection.{name} must be from {least:,} to {most:,}, not {value:,}"
                )
        if self.uri.startswith("memory:"):
            raise ConfigError(
                f"config.projection.uri {shorten(self.uri)} names a table that ends with its"
                " process; name a folder or an object store, or set projection.enabled to False"
            )
        if self.index_ef < self.index_m:
            raise ConfigError(
                f"config.projection.index_ef must be at least index_m ({self.index_m}), not"
                f" {self.index_ef}"
            )


@dataclass(frozen=True, slots=True)
class TelemetryConfig:
    """Counting and timing the public calls."""

    enabled: bool = True
    slow_ms: float = 0.0  # calls that take as long or longer are logged; 0: none


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a ``Memory``."""

    limits: Limits = field(default_factory=Limits)
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    write: WriteConfig = field(default_factory=WriteConfig)
    index: IndexConfig = field(default_factory=IndexConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Nested dictionaries over the defaults.

        Raises:
            ConfigError: an unknown name, or a value of the wrong type or range.
        """
        config: Config = _build(cls, values, "config")
        return config


def usable_cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _build(kind: type[Any], values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be a dictionary, not {shorten(values)}")
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            known = ", ".join(sorted(hints))
            shown = clip(name) if isinstance(name, str) else shorten(name)
            raise ConfigError(f"unknown setting {where}.{shown}; known here: {known}")
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            given[name] = (
                value if type(value) is hint else _build(hint, value, f"{where}.{name}")  # type: ignore[arg-type]
            )
        else:
            given[name] = _check(value, hint, f"{where}.{name}")
    return kind(**given)


def _check_wait(name: str, seconds: float) -> None:
    """SQLite is told to wait by a number of milliseconds with 32 bits."""
    if seconds > _LONGEST_WAIT:
        raise ConfigError(
            f"config.{name} must be at most {_LONGEST_WAIT:,} seconds, not {seconds:g}"
        )


def _check(value: Any, hint: Any, where: str) -> Any:
    choices = getattr(hint, "__args__", None)
    if choices is not None:
        if not isinstance(value, str) or value not in choices:
            raise ConfigError(f"{where} must be one of {', '.join(choices)}, not {shorten(value)}")
        return value
    if hint is float and type(value) is int:
        value = float(min(value, sys.float_info.max))
    if type(value) is not hint:
        raise ConfigError(f"{where} must be {hint.__name__}, not {shorten(value)}")
    if hint in (int, float) and not (value >= 0 and value < float("inf")):
        raise ConfigError(f"{where} must be finite and not negative, not {shorten(value)}")
    return value


def env_flag(name: str) -> bool:
    """Whether an environment variable is switched on (``1``, ``true``, ``yes``, ``on``).

    Raises:
        ConfigError: set to something that is neither on nor off.
    """
    value = os.environ.get(name, "").strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("", "0", "false", "no", "off"):
        return False
    raise ConfigError(f"{name}={shorten(value)} is neither on (1) nor off (0)")
