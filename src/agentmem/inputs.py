"""Checks of what callers hand in: scopes, texts, labels, metadata, vectors.

Everything is checked before anything is written, so an error leaves the store as it was.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import InvalidInputError, LimitError, ScopeError, StorePathError, VectorError
from agentmem.types import MEMORY_TYPES, SCOPE_FIELDS, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from agentmem.config import Limits
    from agentmem.ports import Progress

__all__ = [
    "check_copy_path",
    "check_count",
    "check_flag",
    "check_importance",
    "check_label",
    "check_level",
    "check_memory_type",
    "check_metadata",
    "check_path",
    "check_progress",
    "check_text",
    "check_vector",
    "check_vectors",
    "require_scope",
    "resolve_scope",
    "shorten",
    "without_secrets",
]

#: Of a URI; ``Path`` makes one slash of two, and a drive of Windows has one letter.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_MAX_JSON_DEPTH = 64
#: ``sys.int_info.str_digits_check_threshold``: so many digits every Python reads, whatever limit
#: somebody has set there.
_MOST_DIGITS = 640
_MOST_INTEGER = 10**_MOST_DIGITS
# Made once: ``json.dumps`` with settings makes an encoder at every call, for half its time.
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_TINY_NORM = 1e-18  # its square is near the smallest normal float32


def shorten(value: object, width: int = 60) -> str:
    """``repr`` of a value, cut to about ``width`` characters for an error message."""
    try:
        text = repr(value[: width + 1] if isinstance(value, str) else value)
    except ValueError:  # an int with more digits than Python writes
        text = f"a {type(value).__name__} of thousands of digits"
    return text if len(text) <= width else f"{text[: width - 3]}..."


def without_secrets(uri: str) -> str:
    """A URI for a message: without the user, the password and the query."""
    head, mark, rest = uri.partition("://")
    if not mark:
        return uri
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{head}://{host.rpartition('@')[2]}{slash}{path}"


def check_path(path: object) -> Path:
    """The folder of a store; ``~`` is the user's.

    Raises:
        StorePathError: not a path that can name a folder.
    """
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise StorePathError(f"the path of a store is a string or a Path, not {shorten(path)}")
    text = os.fspath(path)
    if not text.strip() or "\0" in text or not _encodable(text):
        raise StorePathError(f"{text!r} cannot name a folder; give the path of one")
    if _SCHEME.match(text):
        raise StorePathError(
            f"{without_secrets(text)!r} is a URI, and a store is a folder on this machine; give the"
            " path of one. Its LanceDB table may be elsewhere, also in object storage:"
            " config={'projection': {'uri': ...}}"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # no such user, or one without a home
        raise StorePathError(
            f"{text!r} cannot name a folder: {error}; write the path without '~'"
        ) from None


def check_copy_path(path: object) -> Path:
    """The folder of a copy of a store.

    Raises:
        StorePathError: as ``check_path``; or ``":memory:"``, where nothing would be left of it.
    """
    if str(path) == ":memory:":
        raise StorePathError(
            "':memory:' is a store in memory, which ends with its Memory; give the path of a folder"
        )
    return check_path(path)


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


# -- text ---------------------------------------------------------------------------------


def check_text(text: object, limit: int, what: str = "content", setting: str = "") -> str:
    """A text that can be stored and embedded, as it is.

    Raises:
        InvalidInputError: not a string, blank, with NUL or with lone surrogates.
        LimitError: more than ``limit`` UTF-8 bytes.
    """
    if type(text) is not str:
        if not isinstance(text, str):
            raise InvalidInputError(
                f"{what} must be a string, not {type(text).__name__} {shorten(text)}"
            )
        text = str.__str__(text)  # of an enumeration of strings the value, not its name
    if not text or text.isspace():
        raise InvalidInputError(f"{what} is empty: {shorten(text)}; give it at least one word")
    if "\0" in text:
        raise InvalidInputError(
            f"{what} {shorten(text)} has a NUL character at position {text.index(chr(0))};"
            " remove it with text.replace('\\0', '')"
        )
    if not text.isascii() or len(text) > limit:
        _check_encoded(text, limit, what, setting or "limits.max_content_bytes")
    return text


def _check_encoded(text: str, limit: int, what: str, setting: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{what} {shorten(text)} has a lone surrogate {text[error.start]!r} at position"
            f" {error.start}; clean it with text.encode('utf-16', 'surrogatepass')"
            ".decode('utf-16', 'replace')"
        ) from None
    if size > limit:
        raise LimitError(
            f"{what} has {size:,} bytes, more than {setting} = {limit:,}; split it, or raise the"
            " limit in the config"
        )


def check_label(value: object, limits: Limits, what: str) -> str | None:
    """An actor id, role or idempotency key: None, or a trimmed, non-empty string."""
    if value is None:
        return None
    return check_text(value, limits.max_scope_bytes, what, "limits.max_scope_bytes").strip()


# -- scope --------------------------------------------------------------------------------


def resolve_scope(given: Mapping[str, object], defaults: Scope, limits: Limits) -> Scope:
    """The scope of a call: its own ids over the defaults, trimmed; may be empty.

    Raises:
        ScopeError: an id that is not a non-empty string.
        LimitError: an id longer than ``limits.max_scope_bytes``.
    """
    if all(given.get(name) is None for name in SCOPE_FIELDS):
        return defaults
    values = []
    for name, default in zip(SCOPE_FIELDS, defaults.as_tuple(), strict=True):
        value = given.get(name)
        values.append(default if value is None else _check_scope_id(value, name, limits))
    return Scope(*values)


def require_scope(scope: Scope) -> None:
    """
    Raises:
        ScopeError: no scope id at all.
    """
    if not scope:
        raise ScopeError(
            "no scope given: say whose memory it is with user_id=, agent_id=, run_id= or org_id="
            " (in the call, or once in Memory(...)); unscoped=True reads across all scopes"
        )


def _check_scope_id(value: object, name: str, limits: Limits) -> str:
    if not isinstance(value, str):
        raise ScopeError(f"{name} must be a string, not {type(value).__name__} {shorten(value)}")
    try:
        return check_text(value, limits.max_scope_bytes, name, "limits.max_scope_bytes").strip()
    except LimitError:
        raise
    except InvalidInputError as error:
        raise ScopeError(str(error)) from None


# -- fields -------------------------------------------------------------------------------


def check_memory_type(value: object) -> str:
    if isinstance(value, str) and value in MEMORY_TYPES:
        return str.__str__(value)
    raise InvalidInputError(f"memory_type {shorten(value)} is not one of {', '.join(MEMORY_TYPES)}")


def check_level(value: object, limits: Limits) -> str | int | None:
    """A level is the caller's own: None, a label or an integer (64 bits)."""
    if value is None or (type(value) is int and -(2**63) <= value < 2**63):
        return value
    if isinstance(value, str):
        return check_label(value, limits, "level")
    raise InvalidInputError(
        f"level must be a string or an integer of 64 bits, not {shorten(value)}"
    )


def check_importance(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInputError(f"importance must be a number from 0 to 1, not {shorten(value)}")
    return float(value)


def check_flag(value: object, what: str) -> bool:
    """A switch such as ``unscoped``: True or False, since ``"no"`` would be taken for yes."""
    if value is True or value is False:
        return value
    raise InvalidInputError(f"{what} must be True or False, not {shorten(value)}")


def check_progress(value: Progress | None) -> Progress | None:
    """What is called while a call gets on, or None."""
    if value is None or callable(value):
        return value
    raise InvalidInputError(
        f"progress is called with (done, total), so it must be a function, not {shorten(value)}"
    )


def check_count(value: object, most: int, what: str, setting: str) -> int:
    """A positive integer such as ``top_k`` or ``limit``."""
    if type(value) is not int or value < 1:
        raise InvalidInputError(f"{what} must be a positive integer, not {shorten(value)}")
    if value > most:
        raise LimitError(f"{what}={shorten(value)} is more than limits.{setting} = {most:,}")
    return value


# -- metadata -----------------------------------------------------------------------------


def check_metadata(value: object, limits: Limits) -> str | None:
    """Compact JSON of a metadata dictionary; None where it is None or empty.

    Raises:
        InvalidInputError: not a dictionary, or with something JSON cannot hold as it is
            (keys that are not strings, NaN, infinity, NUL, lone surrogates, other types).
        LimitError: more than ``limits.max_metadata_bytes`` of JSON.
    """
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidInputError(f"metadata must be a dictionary, not {shorten(value)}")
    if not value:
        return None
    _check_json(value, "metadata", 0)
    text = _to_json(value)
    if len(text) * 4 > limits.max_metadata_bytes:
        size = len(text.encode())
        if size > limits.max_metadata_bytes:
            raise LimitError(
                f"metadata has {size:,} bytes as JSON, more than limits.max_metadata_bytes ="
                f" {limits.max_metadata_bytes:,}; keep large values elsewhere and store a key"
            )
    return text


def _check_json(value: Any, where: str, depth: int) -> None:
    if isinstance(value, str):
        _check_json_text(value, where)
    elif isinstance(value, bool) or value is None:
        pass
    elif isinstance(value, int):
        if not -_MOST_INTEGER < value < _MOST_INTEGER:
            raise InvalidInputError(
                f"{where} is an integer of more than {_MOST_DIGITS} digits ({shorten(value)}),"
                " which not every Python reads back; store it as a string"
            )
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"{where} is {value!r}, which JSON cannot hold; use None")
    elif depth >= _MAX_JSON_DEPTH:
        raise InvalidInputError(f"{where} is nested deeper than {_MAX_JSON_DEPTH} levels")
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidInputError(
                    f"{where} has the key {shorten(key)}, which is not a string; JSON keys are"
                )
            _check_json_text(key, f"a key of {where}")
            _check_json(inner, f"{where}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            _check_json(inner, f"{where}[{i}]", depth + 1)
    else:
        remedy = "take its .tolist()" if hasattr(value, "tolist") else "make it a string or number"
        kind = type(value).__name__
        raise InvalidInputError(
            f"{where} is a {kind}, which JSON cannot hold: {shorten(value)}; {remedy}"
        )


def _check_json_text(text: str, where: str) -> None:
    if "\0" in text:
        raise InvalidInputError(f"{where} {shorten(text)} has a NUL character; remove it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError(
                f"{where} {shorten(text)} has a lone surrogate at position {error.start}; remove it"
            ) from None


# -- vectors ------------------------------------------------------------------------------


def check_vectors(
    value: object,
    n: int,
    dim: int,
    normalize: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    what: str = "vectors",
) -> NDArray[np.float32]:
    """``(n, dim)`` float32, L2-normalised, a copy of the caller's.

    ``normalize`` is the kernel (``_native.vectors.normalize``): in place, returns the norms.
    Rows whose norm leaves the range of float32 are computed in float64 instead.

    Raises:
        VectorError: not numbers, another shape, NaN or infinity, or a zero vector.
    """
    import numpy as np

    try:
        array = np.asarray(value)
    except ValueError:
        raise VectorError(f"{what} must not be ragged: every row needs {dim} numbers") from None
    if array.dtype.kind not in "fiu":
        raise VectorError(f"{what} must be numbers, not {array.dtype} {shorten(value)}")
    if array.shape != (n, dim):
        raise VectorError(
            f"{what} must have shape ({n}, {dim}), not {array.shape}: the store's embedder has"
            f" {dim} dimensions; give one row of {dim} numbers per text"
        )
    if array.dtype.itemsize <= 4:  # wider numbers may not fit float32 before they are scaled
        made = np.array(array, dtype=np.float32, order="C")
        norms = normalize(made)
        if np.all((norms > _TINY_NORM) & np.isfinite(norms)):
            return made
    return _normalize_wide(array, what)


def _normalize_wide(array: NDArray[Any], what: str) -> NDArray[np.float32]:
    import numpy as np

    wide = array.astype(np.float64)
    finite = np.isfinite(wide)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise VectorError(
            f"{_row(what, row, len(wide))} must be finite, and has {float(wide[row, column])} at"
            f" column {column}"
        )
    peak = np.abs(wide).max(axis=1, keepdims=True)
    if not peak.all():
        row = int(np.argmin(peak))
        raise VectorError(
            f"{_row(what, row, len(wide))} must not be a zero vector, which has no direction"
        )
    wide /= peak
    wide /= np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    return wide.astype(np.float32)


def _row(what: str, row: int, rows: int) -> str:
    return f"{what} row {row}" if rows > 1 else what


def check_vector(
    value: object,
    dim: int,
    normalize: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    what: str = "vector",
) -> NDArray[np.float32]:
    """The same for one vector, ``(dim,)`` or ``(1, dim)``; returns ``(1, dim)``."""
    import numpy as np

    try:
        array = np.asarray(value)
    except ValueError:
        raise VectorError(f"{what} must be {dim} numbers, not nested lists") from None
    if array.shape == (dim,):
        array = array[None, :]
    return check_vectors(array, 1, dim, normalize, what)
