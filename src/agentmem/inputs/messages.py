"""Values as error messages show them."""

from __future__ import annotations

__all__ = ["clip", "shorten", "without_secrets"]

_SLICED = (str, bytes, bytearray, list, tuple)


def shorten(value: object, width: int = 60) -> str:
    """``repr`` of any value, cut to ``width`` characters for an error message.

    Never raises: the message is about something else than how the value shows itself.
    """
    try:
        # No more is looked at than can be shown of it.
        begin = value[: width + 1] if isinstance(value, _SLICED) else value
        text = str.__str__(repr(begin))
    except Exception:  # noqa: BLE001 - nested too deeply, thousands of digits, a caller's class
        text = f"a {type(value).__name__} that cannot be shown"
    return clip(text, width)


def clip(text: str, width: int = 60) -> str:
    """A text, such as a name that a caller made up, cut to ``width`` characters."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def without_secrets(uri: str) -> str:
    """A URI for a message: without the user, the password and the query."""
    head, mark, rest = uri.partition("://")
    if not mark:
        return uri
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{head}://{host.rpartition('@')[2]}{slash}{path}"
