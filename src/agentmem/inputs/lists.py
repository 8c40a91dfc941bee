"""Checks of lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentmem.errors import InvalidInputError
from agentmem.inputs.messages import shorten

__all__ = ["check_iterable"]


def check_iterable(value: Any, what: str) -> Iterator[Any]:
    """What a list, or anything else with items, gives one by one; ``what`` begins the message.

    Raises:
        InvalidInputError: a single text, a dictionary, or without items, such as an array of no
            dimension, which has the method and refuses it.
    """
    if not isinstance(value, str | bytes | Mapping):
        try:
            return iter(value)
        except TypeError:
            pass
    raise InvalidInputError(f"{what}, not {type(value).__name__} {shorten(value)}")
