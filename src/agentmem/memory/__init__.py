"""``Memory``: the public face.  Checks arguments, hands the work to the engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from agentmem.config import Config
from agentmem.engine import Engine
from agentmem.errors import ConfigError
from agentmem.inputs import resolve_scope, shorten
from agentmem.memory.measured import measured
from agentmem.memory.reading import Reading
from agentmem.memory.upkeep import Upkeep
from agentmem.memory.writing import Writing
from agentmem.types import Scope

__all__ = ["Memory"]

_PATH_SETTINGS = ("path", "embedder", "user_id", "agent_id", "run_id", "org_id")


@measured
class Memory(Writing, Reading, Upkeep):
    """Long-term memory in one folder.

    Any number of threads may share one ``Memory``, and any number of processes may open the
    same folder.  A write is durable when its call returns, and the next search of any process
    sees it.

    Args:
        path: the folder, made if missing; ``":memory:"`` is a temporary one that ``close``
            removes, or else the end of the program.
        embedder: ``"minilm"``, ``"minilm-fp32"``, ``"static"``, ``"bge-small"``, a folder with
            a BERT-family model, or an object with ``embed(texts) -> (n, dim)`` and ``dim``.
        config: a ``Config``, or nested dictionaries of its settings.
        user_id, agent_id, run_id, org_id: the default scope of every call.

    Raises:
        StorePathError: the path is a file, or cannot be read or written.
        ModelMismatchError: the store was made with another embedder.
        SchemaVersionError: the store was made by a newer version.
        StoreCorruptError: the files are not a store, or damaged.
        ModelNotFoundError: no such embedder.
        ConfigError, ScopeError: a setting or id that cannot be used.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        embedder: Any = "minilm",
        config: Config | Mapping[str, Any] | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        org_id: str | None = None,
    ) -> None:
        if config is None:
            config = Config()
        elif not isinstance(config, Config):
            if not isinstance(config, Mapping):
                raise ConfigError(f"config must be a Config or a dictionary, not {shorten(config)}")
            config = Config.from_dict(dict(config))
        self._limits = config.limits
        self._scope = resolve_scope(
            {"user_id": user_id, "agent_id": agent_id, "run_id": run_id, "org_id": org_id},
            Scope(),
            self._limits,
        )
        self._resolved = {}
        self._engine = Engine(path, embedder, config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A ``Memory`` from one dictionary: ``path``, ``embedder``, default scope ids, and the
        sections of ``Config``.

        Raises:
            ConfigError: an unknown name, a value of the wrong type, or no path.
        """
        if not isinstance(config, Mapping):
            raise ConfigError(f"config must be a dictionary, not {shorten(config)}")
        settings = dict(config)
        own = {name: settings.pop(name) for name in _PATH_SETTINGS if name in settings}
        if "path" not in own:
            raise ConfigError("config has no 'path': name the folder of the store")
        return cls(own.pop("path"), config=Config.from_dict(settings), **own)

    def close(self) -> None:
        """Give everything back.  A second call does nothing; other calls raise ClosedError."""
        self._engine.close()

    def __enter__(self) -> Self:
        self._engine.check_usable()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Memory({str(self._engine.path)!r}, embedder={self._engine.embedder_name!r})"
