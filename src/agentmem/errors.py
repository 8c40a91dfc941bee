"""Every error AgentMem raises, in one tree.

::

    AgentMemError(Exception)
    ├── InvalidInputError(ValueError)       a value that cannot be accepted
    │   ├── ConfigError                     settings, environment variables
    │   ├── ScopeError                      scope ids missing, empty or of a wrong type
    │   ├── FilterError                     a filter that cannot be understood
    │   ├── VectorError                     wrong shape or dtype, NaN, infinity, zero norm
    │   └── LimitError                      larger than a configured limit
    ├── NotFoundError(KeyError)             no memory with this id
    ├── ConflictError(ValueError)           the id or key is already taken by another memory
    ├── ClosedError(RuntimeError)           used after close(), or in a forked child
    ├── UnsupportedError(NotImplementedError)   needs something that is not configured
    ├── StoreError(RuntimeError)            the folder on disk
    │   ├── StoreTimeoutError(TimeoutError)     waited too long for a lock or a connection
    │   ├── StorePathError(OSError)             not a folder, not readable, not writable
    │   ├── StoreFullError(OSError)             the disk is full
    │   ├── StoreCorruptError                   SQLite or a projection is damaged
    │   ├── SchemaVersionError                  made by a newer or unmigrated version
    │   └── ModelMismatchError(ValueError)      made with another embedding model
    └── ModelError(RuntimeError)            embedding models
        ├── ModelNotFoundError(FileNotFoundError)  no source has the files
        ├── ModelCorruptError(ValueError)          a file does not match its checksum
        └── OfflineError(ConnectionError)          a download is needed but not possible

Each class also inherits the builtin that fits, so ``except ValueError`` and
``except KeyError`` keep working.  Each message says what was wrong, with which
value, and what to do about it.
"""

from __future__ import annotations

__all__ = [
    "AgentMemError",
    "ClosedError",
    "ConfigError",
    "ConflictError",
    "FilterError",
    "InvalidInputError",
    "LimitError",
    "ModelCorruptError",
    "ModelError",
    "ModelMismatchError",
    "ModelNotFoundError",
    "NotFoundError",
    "OfflineError",
    "SchemaVersionError",
    "ScopeError",
    "StoreCorruptError",
    "StoreError",
    "StoreFullError",
    "StorePathError",
    "StoreTimeoutError",
    "UnsupportedError",
    "VectorError",
]


class AgentMemError(Exception):
    """Base of every error of this library."""


class InvalidInputError(AgentMemError, ValueError):
    """A value that cannot be accepted; nothing was written."""


class ConfigError(InvalidInputError):
    """A setting or environment variable that cannot be used."""


class ScopeError(InvalidInputError):
    """A scope id is missing, empty or not a string."""


class FilterError(InvalidInputError):
    """A filter with an unknown field, operator or operand."""


class VectorError(InvalidInputError):
    """A vector of the wrong shape or dtype, or with NaN, infinity or zero norm."""


class LimitError(InvalidInputError):
    """A value larger than a configured limit (see ``config.Limits``)."""


class NotFoundError(AgentMemError, KeyError):
    """No memory has this id."""

    __str__ = Exception.__str__  # KeyError would print the message's repr


class ConflictError(AgentMemError, ValueError):
    """An id or idempotency key is already taken by a different memory."""


class ClosedError(AgentMemError, RuntimeError):
    """The Memory was closed, or belongs to the process that forked this one."""


class UnsupportedError(AgentMemError, NotImplementedError):
    """The call needs a component that is not configured."""


class StoreError(AgentMemError, RuntimeError):
    """The folder on disk cannot serve the call."""


class StoreTimeoutError(StoreError, TimeoutError):
    """Waited longer than configured for a lock or a connection."""


class StorePathError(StoreError, OSError):
    """The path is not a folder, or cannot be read or written."""


class StoreFullError(StoreError, OSError):
    """The disk is full; the transaction was rolled back."""


class StoreCorruptError(StoreError):
    """SQLite or a projection is damaged."""


class SchemaVersionError(StoreError):
    """The store was made by a newer version, or needs ``agentmem migrate``."""


class ModelMismatchError(StoreError, ValueError):
    """The store holds vectors of another embedding model."""


class ModelError(AgentMemError, RuntimeError):
    """An embedding model cannot be provided."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """No source has the model's files."""


class ModelCorruptError(ModelError, ValueError):
    """A model file does not have the expected checksum or layout."""


class OfflineError(ModelError, ConnectionError):
    """A download is needed, and is not allowed or not possible."""
