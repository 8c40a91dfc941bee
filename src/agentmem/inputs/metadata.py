"""Checks of metadata."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from agentmem.errors import InvalidInputError, LimitError
from agentmem.inputs.messages import clip, shorten

if TYPE_CHECKING:
    from agentmem.config import Limits

__all__ = ["check_metadata"]

_MAX_JSON_DEPTH = 64
#: ``sys.int_info.str_digits_check_threshold``: so many digits every Python reads, whatever limit
#: somebody has set there.
_MOST_DIGITS = 640
_MOST_INTEGER = 10**_MOST_DIGITS
# Made once: ``json.dumps`` with settings makes an encoder at every call, for half its time.
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


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
            _check_json(inner, f"{where}.{clip(key)}", depth + 1)
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
