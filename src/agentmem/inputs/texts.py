"""Checks of texts, and of the short ones that are labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem.errors import InvalidInputError, LimitError
from agentmem.inputs.messages import shorten

if TYPE_CHECKING:
    from agentmem.config import Limits

__all__ = ["check_label", "check_text"]


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
